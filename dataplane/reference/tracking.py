"""Does a node track connections?  Its hooks are there once something asks for them."""

from dataplane.node.iptables import Rule, Ruleset

# What makes the kernel track connections: these register conntrack's hooks when loaded.
TRACKING_MATCHES = frozenset(
    ["conntrack", "state", "connmark", "connbytes", "connlabel", "connlimit", "helper"]
)
TRACKING_TARGETS = frozenset(["CT", "NOTRACK", "CONNMARK", "CONNSECMARK", "SYNPROXY"])


def tracks_connections(rules: Ruleset) -> bool:
    return "nat" in rules.tables or any(
        _needs_conntrack(rule)
        for table in rules.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
    )


def _needs_conntrack(rule: Rule) -> bool:
    return any(match.name in TRACKING_MATCHES for match in rule.matches) or (
        rule.target is not None and rule.target.name in TRACKING_TARGETS
    )
