"""What each node's kernel is set to: sysctls, and what stands at its hooks."""

import re
from collections.abc import Iterable, Iterator, Mapping

from _fastpath.image import Hook, HookKind, Tick
from _fastpath.state import CtTimeout
from dataplane.errors import TableError
from dataplane.image.rules import BaseChain, RuleTables
from dataplane.node.icmp_limits import icmp_limits
from dataplane.node.iptables import Chain, Ruleset, Target
from dataplane.node.state import NodeState

HOOKS = {
    "PREROUTING": Hook.HOOK_PREROUTING,
    "INPUT": Hook.HOOK_INPUT,
    "FORWARD": Hook.HOOK_FORWARD,
    "OUTPUT": Hook.HOOK_OUTPUT,
    "POSTROUTING": Hook.HOOK_POSTROUTING,
}
TABLES = {"raw": 0, "mangle": 1, "nat": 2, "filter": 3, "security": 4}
NO_CHAIN = 0xFFFFFFFF

# enum nf_ip_hook_priorities
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
NFT_SECURITY_PRIORITY = 150  # iptables-nft: behind source NAT, not before it
DEFRAG_PRIORITY, CONNTRACK_PRIORITY, CONFIRM_PRIORITY = -400, -200, 2**31 - 1
NAT_PRIORITIES = {"PREROUTING": -100, "OUTPUT": -100, "INPUT": 100, "POSTROUTING": 100}

# What makes a network namespace track connections: nf_ct_netns_get's callers, all of them rules.
TRACKING_MATCHES = {
    "conntrack", "state", "connmark", "connbytes", "connlimit", "connlabel", "helper", "cluster",
}  # fmt: skip
TRACKING_TARGETS = {
    "CT", "CONNMARK", "CONNSECMARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP",
    "SYNPROXY",
}  # fmt: skip

# These put fragments together without tracking: nf_defrag_ipv4_enable, nf_defrag_ipv6_enable.
GATHERING = {"socket", "TPROXY"}

HookRow = tuple[int, int, int, int, int, int]  # HOOK

TIMEOUTS = {
    CtTimeout.TIMEOUT_TCP_SYN_SENT: ("tcp_timeout_syn_sent", 120),
    CtTimeout.TIMEOUT_TCP_SYN_RECV: ("tcp_timeout_syn_recv", 60),
    CtTimeout.TIMEOUT_TCP_ESTABLISHED: ("tcp_timeout_established", 432000),
    CtTimeout.TIMEOUT_TCP_FIN_WAIT: ("tcp_timeout_fin_wait", 120),
    CtTimeout.TIMEOUT_TCP_CLOSE_WAIT: ("tcp_timeout_close_wait", 60),
    CtTimeout.TIMEOUT_TCP_LAST_ACK: ("tcp_timeout_last_ack", 30),
    CtTimeout.TIMEOUT_TCP_TIME_WAIT: ("tcp_timeout_time_wait", 120),
    CtTimeout.TIMEOUT_TCP_CLOSE: ("tcp_timeout_close", 10),
    CtTimeout.TIMEOUT_TCP_SYN_SENT2: ("tcp_timeout_syn_sent2", 120),  # no sysctl has that name
    CtTimeout.TIMEOUT_TCP_RETRANS: ("tcp_timeout_max_retrans", 300),
    CtTimeout.TIMEOUT_TCP_UNACK: ("tcp_timeout_unacknowledged", 300),
    CtTimeout.TIMEOUT_UDP: ("udp_timeout", 30),
    CtTimeout.TIMEOUT_UDP_STREAM: ("udp_timeout_stream", 120),
    CtTimeout.TIMEOUT_ICMP: ("icmp_timeout", 30),
    CtTimeout.TIMEOUT_ICMPV6: ("icmpv6_timeout", 30),
    CtTimeout.TIMEOUT_GENERIC: ("generic_timeout", 600),
    CtTimeout.TIMEOUT_GRE: ("gre_timeout", 30),
    CtTimeout.TIMEOUT_GRE_STREAM: ("gre_timeout_stream", 180),
    CtTimeout.TIMEOUT_SCTP + 1: ("sctp_timeout_closed", 10),
    CtTimeout.TIMEOUT_SCTP + 2: ("sctp_timeout_cookie_wait", 3),
    CtTimeout.TIMEOUT_SCTP + 3: ("sctp_timeout_cookie_echoed", 3),
    CtTimeout.TIMEOUT_SCTP + 4: ("sctp_timeout_established", 210),
    CtTimeout.TIMEOUT_SCTP + 5: ("sctp_timeout_shutdown_sent", 3),
    CtTimeout.TIMEOUT_SCTP + 6: ("sctp_timeout_shutdown_recd", 3),
    CtTimeout.TIMEOUT_SCTP + 7: ("sctp_timeout_shutdown_ack_sent", 3),
    CtTimeout.TIMEOUT_SCTP + 8: ("sctp_timeout_heartbeat_sent", 30),
}


def timeouts(state: NodeState) -> list[int]:
    """Seconds, by CtTimeout."""
    seconds = [0] * CtTimeout.TIMEOUTS
    for index, (name, default) in TIMEOUTS.items():
        seconds[index] = sysctl(state, f"net.netfilter.nf_conntrack_{name}", default, 2**32 - 1)
    return seconds


# By FragmentClass: how long fragments wait, and how much memory they may take.
FRAGMENT_TIMES = (
    ("net.ipv4.ipfrag_time", 30), ("net.netfilter.nf_conntrack_frag6_timeout", 60),
    ("net.ipv6.ip6frag_time", 60),
)  # fmt: skip
FRAGMENT_MEMORY = (
    "net.ipv4.ipfrag_high_thresh", "net.netfilter.nf_conntrack_frag6_high_thresh",
    "net.ipv6.ip6frag_high_thresh",
)  # fmt: skip


def fragment_settings(state: NodeState) -> tuple[list[int], int, list[int]]:
    """Seconds by FragmentClass; ipfrag_max_dist; by FragmentClass, whether any may wait."""
    return (
        [sysctl(state, name, default, 2**31 - 1) for name, default in FRAGMENT_TIMES],
        sysctl(state, "net.ipv4.ipfrag_max_dist", 64, 2**31 - 1),
        [int(sysctl(state, name, 4194304, 2**63 - 1) > 0) for name in FRAGMENT_MEMORY] + [0],
    )


def icmp_settings(state: NodeState) -> list[object]:
    """NODE's last columns: limits in ticks, masks in words."""
    limits = icmp_limits(state)
    words = [[0], [0] * 8]
    for mask, types in zip(words, limits.ratemask, strict=True):
        for kind in types:
            mask[kind // 32] |= 1 << kind % 32
    ticks = [
        (milliseconds * Tick.TICKS_PER_SECOND + 999) // 1000 for milliseconds in limits.ratelimit
    ]
    inbound = sysctl(state, "net.ipv4.icmp_errors_use_inbound_ifaddr", 0, 1)
    return [ticks, words[0][0], words[1], limits.per_second, limits.burst, inbound, limits.scales]


def sysctl(state: NodeState, name: str, default: int, most: int) -> int:
    """Value of a numeric sysctl.  Raises TableError when it is none, or out of range."""
    text = state.sysctls.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise TableError(
            f"node {state.name}: {name} = {text!r}, but 0-{most} expected", state.source
        )
    return value


def accounts(state: NodeState) -> bool:
    """Does conntrack count packets and bytes?  A connbytes rule turns that on."""
    return sysctl(state, "net.netfilter.nf_conntrack_acct", 0, 1) > 0 or any(
        "connbytes" in _match_names(ruleset) for ruleset in (state.iptables, state.ip6tables)
    )


def tracks_dccp(state: NodeState) -> bool:
    """Linux forgot about DCCP with 6.16; before that it followed its ports and states."""
    version = re.match(r"(\d+)\.(\d+)", state.kernel)
    return version is not None and (int(version[1]), int(version[2])) < (6, 16)


def port_range(state: NodeState) -> tuple[int, int]:
    text = state.sysctls.get("net.ipv4.ip_local_port_range", "32768 60999")
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise TableError(f"node {state.name}: ip_local_port_range = {text!r}", state.source)
    low, high = int(words[0]), int(words[1])
    if not 1 <= low <= high <= 65535:
        raise TableError(f"node {state.name}: ip_local_port_range = {text!r}", state.source)
    return low, high


def hook_rows(rules: RuleTables, node: str, family: int, ruleset: Ruleset) -> list[list[HookRow]]:
    """For each Hook, its entries by priority."""
    rows: list[list[HookRow]] = [[] for _ in range(Hook.HOOKS)]
    has_nat = "nat" in ruleset.tables
    is_tracked = tracks_connections(ruleset)
    is_gathered = is_tracked or gathers_fragments(ruleset)
    for name, hook in HOOKS.items():
        entries = list(_table_entries(rules, node, family, name, ruleset))
        if has_nat and name in NAT_PRIORITIES:
            chain = rules.base_chains.get((node, family, "nat", name))
            entry, underflow = chain or (NO_CHAIN, NO_CHAIN)
            entries.append((NAT_PRIORITIES[name], entry, underflow, int(HookKind.ENTRY_NAT), 2, 0))
        if is_tracked:
            entries += _conntrack_entries(name)
        if name in ("PREROUTING", "OUTPUT") and is_gathered:
            entries.append((DEFRAG_PRIORITY, NO_CHAIN, NO_CHAIN, int(HookKind.ENTRY_DEFRAG), 0, 0))
        rows[hook] = sorted(entries)
    return rows


def _table_entries(
    rules: RuleTables, node: str, family: int, hook: str, ruleset: Ruleset
) -> Iterator[HookRow]:
    for table in ruleset.tables:
        if table == "nat":
            continue
        chain: BaseChain | None = rules.base_chains.get((node, family, table, hook))
        if chain is None:
            continue
        if table not in PRIORITIES:
            raise TableError(f"node {node}: no such table: {table!r}")
        is_moved = table == "security" and ruleset.flavour == "nft"
        yield (
            NFT_SECURITY_PRIORITY if is_moved else PRIORITIES[table], chain.entry, chain.underflow,
            int(HookKind.ENTRY_TABLE), TABLES[table], 0,
        )  # fmt: skip


def _conntrack_entries(hook: str) -> Iterator[HookRow]:
    if hook in ("PREROUTING", "OUTPUT"):
        yield (CONNTRACK_PRIORITY, NO_CHAIN, NO_CHAIN, int(HookKind.ENTRY_CONNTRACK), 0, 0)
    if hook in ("INPUT", "POSTROUTING"):
        yield (CONFIRM_PRIORITY, NO_CHAIN, NO_CHAIN, int(HookKind.ENTRY_CONFIRM), 0, 0)


def tracks_connections(ruleset: Ruleset) -> bool:
    return not _match_names(ruleset).isdisjoint(TRACKING_MATCHES) or any(
        _is_tracking(target) for target in _targets(ruleset)
    )


def gathers_fragments(ruleset: Ruleset) -> bool:
    targets = {target.name for target in _targets(ruleset)}
    return not (_match_names(ruleset) | targets).isdisjoint(GATHERING)


def _chains(ruleset: Ruleset) -> Iterator[Chain]:
    for table in ruleset.tables.values():
        yield from table.chains.values()


def _match_names(ruleset: Ruleset) -> set[str]:
    return {
        match.name for chain in _chains(ruleset) for rule in chain.rules for match in rule.matches
    }


def _targets(ruleset: Ruleset) -> Iterable[Target]:
    """Each that is written, once."""
    targets = (rule.target for chain in _chains(ruleset) for rule in chain.rules)
    return {id(target): target for target in targets if target is not None}.values()


def _is_tracking(target: Target) -> bool:
    """CT as no more than NOTRACK asks for nothing."""
    return target.name in TRACKING_TARGETS and (
        {option.name for option in target.options} != {"--notrack"}
    )


def base_chain_problem(node: str, rules: Mapping[tuple[str, int, str, str], BaseChain]) -> None:
    """A base chain at a hook that its table does not have would silently never run."""
    for owner, _, table, chain in rules:
        if owner == node and chain not in HOOKS:
            raise TableError(f"node {node}: {table} has a policy for {chain!r}, which is no hook")
