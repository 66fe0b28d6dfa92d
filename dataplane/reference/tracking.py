"""Does a node track connections?  Its hooks are there once something asks for them.

nf_ct_netns_get's callers: a rule that looks at connections or translates.  A nat table without
such a rule does not track, and then meets no packet either (measured on 6.18).
"""

import re

from dataplane.node.iptables import Rule, Ruleset

# What makes the kernel track connections: these register conntrack's hooks when loaded.
TRACKING_MATCHES = frozenset(
    ["conntrack", "state", "connmark", "connbytes", "connlabel", "connlimit", "helper", "cluster"]
)
TRACKING_TARGETS = frozenset(
    [
        "CT",
        "CONNMARK",
        "CONNSECMARK",
        "SYNPROXY",
        "DNAT",
        "SNAT",
        "MASQUERADE",
        "REDIRECT",
        "NETMAP",
    ]
)


# These only need whole packets (nf_defrag_ipv4_enable, nf_defrag_ipv6_enable).
GATHERING_MATCHES, GATHERING_TARGETS = frozenset(["socket"]), frozenset(["TPROXY"])


def tracks_connections(rules: Ruleset) -> bool:
    return any(
        _needs_conntrack(rule)
        for table in rules.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
    )


def _needs_conntrack(rule: Rule) -> bool:
    if any(match.name in TRACKING_MATCHES for match in rule.matches):
        return True
    target = rule.target
    if target is None or target.name not in TRACKING_TARGETS:
        return False
    return {option.name for option in target.options} != {"--notrack"}


def gathers_fragments(rules: Ruleset) -> bool:
    return (
        tracks_connections(rules)
        or any(uses_match(rules, name) for name in GATHERING_MATCHES)
        or any(uses_target(rules, name) for name in GATHERING_TARGETS)
    )


def uses_target(rules: Ruleset, name: str) -> bool:
    return any(
        rule.target is not None and rule.target.name == name
        for table in rules.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
    )


def uses_match(rules: Ruleset, name: str) -> bool:
    return any(
        match.name == name
        for table in rules.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        for match in rule.matches
    )


def tracks_dccp(kernel: str) -> bool:
    """Linux forgot about DCCP with 6.16; before that it followed its ports.  "" is the newest."""
    version = re.match(r"(\d+)\.(\d+)", kernel)
    return version is not None and (int(version[1]), int(version[2])) < (6, 16)
