"""kube-proxy's chains and rules that do not depend on Services (iptables mode, v1.36)."""

from dataplane.control import proxy_chain_names as names
from dataplane.control.proxy_sync import LOOPBACK, Sync
from dataplane.control.rules import (
    comment,
    ctstate,
    jump,
    mark,
    masquerade,
    nfacct,
    prefix,
    set_xmark,
)
from dataplane.node.iptables import Match, Rule

_FIREWALL = "kubernetes load balancer firewall"
_EXTERNAL = "kubernetes externally-visible service portals"
_PORTALS = "kubernetes service portals"

# (table, base chain, new connections only, comment, kube-proxy's chain), in the order the rules
# end up in: kube-proxy prepends them one by one, the last of these first.
JUMPS = (
    ("filter", "INPUT", False, "", names.FIREWALL),
    ("filter", "INPUT", True, _FIREWALL, names.PROXY_FIREWALL),
    ("filter", "INPUT", False, "kubernetes health check service ports", names.NODE_PORTS),
    ("filter", "INPUT", True, _EXTERNAL, names.EXTERNAL_SERVICES),
    ("filter", "FORWARD", True, _FIREWALL, names.PROXY_FIREWALL),
    ("filter", "FORWARD", False, "kubernetes forwarding rules", names.FORWARD),
    ("filter", "FORWARD", True, _PORTALS, names.SERVICES),
    ("filter", "FORWARD", True, _EXTERNAL, names.EXTERNAL_SERVICES),
    ("filter", "OUTPUT", False, "", names.FIREWALL),
    ("filter", "OUTPUT", True, _FIREWALL, names.PROXY_FIREWALL),
    ("filter", "OUTPUT", True, _PORTALS, names.SERVICES),
    ("nat", "PREROUTING", False, _PORTALS, names.SERVICES),
    ("nat", "OUTPUT", False, _PORTALS, names.SERVICES),
    ("nat", "POSTROUTING", False, "kubernetes postrouting rules", names.POSTROUTING),
)


def write_fixed(sync: Sync) -> None:
    tables = sync.tables
    for table in ("mangle", "filter", "nat"):
        tables.chain(table, names.CANARY)  # gone when something flushed the table
    for table, base, only_new, text, chain in JUMPS:
        matches: tuple[Match, ...] = (ctstate("NEW"),) if only_new else ()
        matches += (comment(text),) if text else ()
        tables.chain(table, chain)
        tables.append(table, base, Rule(matches=matches, target=jump(chain)))
    tables.chain("nat", names.NODE_PORTS)
    _write_masquerade(sync)
    _write_forward(sync)
    if sync.localhost_node_ports:
        _write_localhost_guard(sync)


def _write_masquerade(sync: Sync) -> None:
    bit = sync.options.masquerade_mark
    required = (comment("kubernetes service traffic requiring SNAT"),)
    sync.tables.append("nat", names.MARK_MASQ, Rule(target=set_xmark(bit, bit)))
    sync.tables.append(
        "nat",
        names.POSTROUTING,
        Rule(matches=(mark(bit, negated=True),), target=jump("RETURN")),
        # Flips the bit off: the packet may come this way again, wrapped in VXLAN.
        Rule(target=set_xmark(bit, 0)),
        Rule(matches=required, target=masquerade(random_fully=sync.host.random_fully)),
    )


def _write_forward(sync: Sync) -> None:
    # A packet that conntrack cannot place would leave with its NAT undone, and the peer would
    # answer it with a RST (kubernetes issue 74839).
    if not sync.host.tcp_be_liberal:
        matches: tuple[Match, ...] = (ctstate("INVALID"),)
        matches += (nfacct("ct_state_invalid_dropped_pkts"),) if sync.host.nfacct else ()
        sync.tables.append("filter", names.FORWARD, Rule(matches=matches, target=jump("DROP")))
    marked = (comment("kubernetes forwarding rules"), mark(sync.options.masquerade_mark))
    known = (comment("kubernetes forwarding conntrack rule"), ctstate("RELATED,ESTABLISHED"))
    sync.tables.append(
        "filter",
        names.FORWARD,
        Rule(matches=marked, target=jump("ACCEPT")),
        Rule(matches=known, target=jump("ACCEPT")),
    )


def _write_localhost_guard(sync: Sync) -> None:
    # route_localnet=1 would let neighbours reach services bound to 127.0.0.1 (issue 90259).
    loopback = LOOPBACK[4]
    matches = (
        comment("block incoming localnet connections"),
        ctstate("RELATED,ESTABLISHED,DNAT", negated=True),
    )
    sync.tables.append(
        "filter",
        names.FIREWALL,
        Rule(
            src=prefix(loopback, negated=True),
            dst=prefix(loopback),
            matches=matches,
            target=jump("DROP"),
        ),
    )
