"""One node while packets cross it: its NodeState, and what packets change on it."""

from dataclasses import replace

from dataplane.node import realms
from dataplane.node.groups import joined
from dataplane.node.icmp_limits import icmp_limits
from dataplane.node.local_routes import all_routes
from dataplane.node.state import Address, NodeState, Route, RoutingRule
from dataplane.reference.conntrack_table import ConntrackTable
from dataplane.reference.fragment_queues import Waiting
from dataplane.reference.icmp_rate import Rates
from dataplane.reference.memory import CountedList, HashlimitTable, RecentTable
from dataplane.reference.set_table import Sets
from dataplane.reference.tracking import (
    gathers_fragments,
    tracks_connections,
    tracks_dccp,
    uses_match,
)

DEFAULT_RULES = (
    RoutingRule(0, "local"),
    RoutingRule(32766, "main"),
    RoutingRule(32767, "default"),
    RoutingRule(0, "local", family=6),
    RoutingRule(32766, "main", family=6),
    RoutingRule(32767, "default", family=6),
)
MERGED = ("local", "main")
Rule = tuple[int, str, str, int]  # family, table, chain, number
MatchOfRule = tuple[int, str, str, int, int]  # … and which of its matches


class Node:
    def __init__(self, state: NodeState):
        self.state = state
        self.name = state.name
        self.routes: tuple[Route, ...] = all_routes(state)
        defaults = (
            rule
            for rule in DEFAULT_RULES
            if not any(rule.family == listed.family for listed in state.rules)
        )
        self.rules = sorted((*state.rules, *defaults), key=lambda rule: rule.priority)
        asked = [replace(rule, protocol=None) for rule in self.rules if rule.family == 4]
        self.has_custom_rules = asked != [r for r in DEFAULT_RULES if r.family == 4]
        self.has_custom_local = any(  # fib_has_custom_local_routes
            route.type == "local" and route.protocol != "kernel" and route.dst.version == 4
            for route in state.routes
        )
        self.groups = joined(state)
        self.has_realms = any(realms.classes(state))  # fib_num_tclassid_users
        self.loopback = next(
            (link.name for link in state.links if link.link_type == "loopback"), "lo"
        )
        self.is_tracked = {
            4: tracks_connections(state.iptables),
            6: tracks_connections(state.ip6tables),
        }
        self.gathers_fragments = {
            4: gathers_fragments(state.iptables),
            6: gathers_fragments(state.ip6tables),
        }
        self.accounts = self.setting("net.netfilter.nf_conntrack_acct", 0) > 0 or any(
            uses_match(rules, "connbytes") for rules in (state.iptables, state.ip6tables)
        )
        self.tracks_dccp = tracks_dccp(state.kernel)
        self.sets = Sets(state.ipsets)
        self.conntrack = ConntrackTable()
        self.fragments = Waiting()  # the engine's nodes share one
        self.icmp_limits = icmp_limits(state)
        self.icmp_rates = Rates()  # which they share, too
        self.learned: dict[tuple[str, str], str] = {}  # (bridge, mac): port
        self.counters: dict[Rule, list[int]] = {}  # packets, bytes
        self.evaluations: dict[
            tuple[int, str, str, int, int], int
        ] = {}  # of `statistic --mode nth`
        self.credits: dict[MatchOfRule, tuple[int, int]] = {}  # of `limit`: credit, last time
        self.quotas: dict[MatchOfRule, int] = {}  # bytes left
        self.uncertain: set[tuple[object, ...]] = set()  # memories that may have been asked or not
        self.recent: dict[str, RecentTable] = {}
        # Of `connlimit`: by address and zone.
        self.counted: dict[MatchOfRule, dict[tuple[Address, int], CountedList]] = {}
        self.hashlimit: dict[tuple[int, str], HashlimitTable] = {}  # by family and name

    def tables_of(self, family: int, table: str) -> tuple[str, ...]:
        """The tables that are searched where one is asked: as long as nobody has asked for rules,
        IPv4's local and main tables are one (fib_trie_unmerge)."""
        is_one = family == 4 and not self.has_custom_rules and table in MERGED
        return MERGED if is_one else (table,)

    # Settings.

    def setting(self, name: str, default: int) -> int:
        """A sysctl's first number."""
        words = self.state.sysctls.get(name, "").split()
        return int(words[0]) if words else default

    def device_setting(self, device: str, name: str, default: int = 0) -> int:
        """net.ipv4.conf.DEVICE.NAME; a device starts with the value of conf.default."""
        initial = self.setting(f"net.ipv4.conf.default.{name}", default)
        return self.setting(f"net.ipv4.conf.{device}.{name}", initial)

    def either_setting(self, device: str, name: str, default: int = 0) -> bool:
        """IN_DEV_ORCONF: on for the device, or for all."""
        everywhere = self.setting(f"net.ipv4.conf.all.{name}", default)
        return bool(everywhere or self.device_setting(device, name, default))

    def both_settings(self, device: str, name: str, default: int = 0) -> bool:
        """IN_DEV_ANDCONF.  `default`: of the device."""
        everywhere = self.setting(f"net.ipv4.conf.all.{name}", 0)
        return bool(everywhere and self.device_setting(device, name, default))

    def strictness(self, device: str) -> int:
        """IN_DEV_RPFILTER"""
        everywhere = self.setting("net.ipv4.conf.all.rp_filter", 0)
        return max(everywhere, self.device_setting(device, "rp_filter"))

    def forwards_from(self, device: str) -> bool:
        """IN_DEV_FORWARD.  What is written to ip_forward is written to every device."""
        everywhere = int(self.forwards(4))
        return self.setting(f"net.ipv4.conf.{device}.forwarding", everywhere) > 0

    def forwards(self, family: int) -> bool:
        if family == 6:
            return self.setting("net.ipv6.conf.all.forwarding", 0) > 0
        # Where a dump says nothing, 1 is assumed, and said when it is loaded.
        everywhere = self.setting("net.ipv4.conf.all.forwarding", 1)
        return self.setting("net.ipv4.ip_forward", everywhere) > 0

    def calls_netfilter(self, family: int) -> bool:
        """br_netfilter shows bridged packets to iptables."""
        tables = "ip6tables" if family == 6 else "iptables"
        return self.setting(f"net.bridge.bridge-nf-call-{tables}", 1) > 0

    @property
    def default_ttl(self) -> int:
        return self.setting("net.ipv4.ip_default_ttl", 64)

    @property
    def local_ports(self) -> tuple[int, int]:
        words = self.state.sysctls.get("net.ipv4.ip_local_port_range", "32768 60999").split()
        return int(words[0]), int(words[1])
