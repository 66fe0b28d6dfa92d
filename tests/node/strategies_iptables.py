"""iptables rule sets in normal form; `loadable` ones a fresh kernel of the family takes."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network

from hypothesis import strategies as st

from dataplane.node.iptables import (
    Chain,
    Interface,
    Match,
    Option,
    Prefix,
    Protocol,
    Rule,
    Ruleset,
    Table,
    Target,
)

NETWORKS4 = tuple(
    map(IPv4Network, ("10.244.0.0/16", "10.96.0.0/12", "10.244.1.2/32", "127.0.0.0/8"))
)
NETWORKS6 = tuple(map(IPv6Network, ("fd00::/64", "fe80::/10", "fd00::1/128")))
USER_CHAINS = ("KUBE-SERVICES", "KUBE-MARK-MASQ", "A", "weave-;|$!#[")
BUILTIN_CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
COMMENTS = ("x", "default/web:http", 'a "b"', "it's", "back\\slash", "-A", "!", "", "-j DROP", "é")
PORTS = ("53", "80", "1:1023", "30000:32767")

networks4 = st.sampled_from(NETWORKS4)
networks6 = st.sampled_from(NETWORKS6)
negated = st.booleans()
counts = st.integers(0, 3)


def options(name, values, negatable=True):
    return st.builds(Option, st.just(name), values, negated if negatable else st.just(False))


def one_of_values(*pool):
    return st.sampled_from(pool).map(lambda value: (value,))


@cache
def matches(family=4):
    """Matches that stand for any protocol."""
    return st.one_of(
        _match("comment", options("--comment", one_of_values(*COMMENTS), negatable=False)),
        _match("mark", options("--mark", one_of_values("0x1", "0x4000/0x4000", "0x0/0xff"))),
        _match(
            "conntrack",
            options("--ctstate", one_of_values("INVALID", "NEW", "RELATED,ESTABLISHED")),
        ),
        _match("addrtype", options("--dst-type", one_of_values("LOCAL", "UNICAST,LOCAL"))),
        st.sampled_from(("0.33333333349", "0.50000000000", "1.00000000000")).map(_random),
        st.sampled_from((("2", "0"), ("3", "2"))).map(_nth),
        _match("limit", options("--limit", one_of_values("3/hour", "1/sec"), negatable=False)),
        st.just(_recent(family)),
    )


def _match(name, *own):
    return st.builds(Match, st.just(name), st.tuples(*own))


def _random(probability):
    mode = Option("--mode", ("random",))
    return Match("statistic", (mode, Option("--probability", (probability,))))


def _nth(every_packet):
    every, packet = every_packet
    mode = Option("--mode", ("nth",))
    return Match("statistic", (mode, Option("--every", (every,)), Option("--packet", (packet,))))


def _recent(family):
    mask = "255.255.255.255" if family == 4 else "ffff:" * 7 + "ffff"
    values = (("--set",), ("--name", "x"), ("--mask", mask), ("--rsource",))
    return Match("recent", tuple(Option(name, tuple(value)) for name, *value in values))


@cache
def foreign_matches():
    """Matches that need more than a fresh kernel has, or that nothing is known of."""
    return st.one_of(
        _match("nfacct", options("--nfacct-name", one_of_values("ct_state_invalid", "a b"), False)),
        _match("set", options("--match-set", st.just(("weave-;|$!#[", "dst,src")))),
        _match("string", options("--string", one_of_values("x", 'a "b"'))),
        _match("foo", options("--bar", st.sampled_from(((), ("1",), ("1", "two"))))),
    )


@cache
def port_matches(name):
    port = one_of_values(*PORTS)
    plain = st.lists(st.sampled_from(("--sport", "--dport")), min_size=1, unique=True)
    own = plain.map(lambda names: sorted(names, reverse=True)).flatmap(
        lambda names: st.tuples(*(options(name, port) for name in names))
    )
    multiport = options("--dports", one_of_values("53", "80,443", "80,1000:2000"))
    return st.builds(Match, st.just(name), own) | _match("multiport", multiport)


@cache
def targets(table, family, chains):
    """Targets that the table's chains may have, jumps to `chains` among them."""
    plain = [Target("ACCEPT"), Target("RETURN")]
    if table != "nat":  # which iptables does not let drop
        plain.append(Target("DROP"))
    plain += [Target(chain) for chain in chains] + [Target(chain, goto=True) for chain in chains]
    if table == "mangle":
        plain.append(Target("MARK", (Option("--set-xmark", ("0x4000/0x4000",)),)))
    if table == "filter":
        kind = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
        plain.append(Target("REJECT", (Option("--reject-with", (kind,)),)))
        plain.append(Target("LOG", (Option("--log-prefix", ("it's ",)),)))
    return st.none() | st.sampled_from(plain)


@cache
def _match_lists(family, loadable):
    one = matches(family) if loadable else matches(family) | foreign_matches()
    return st.lists(one, max_size=3)


PREFIXES = {
    4: st.none() | st.builds(Prefix, networks4, negated),
    6: st.none() | st.builds(Prefix, networks6, negated),
}
INTERFACES = st.none() | st.builds(Interface, st.sampled_from(("eth0", "cni+")), negated)
FRAGMENT = st.sampled_from((None, True, False))
PROTOCOL_MATCH = {6: "tcp", 17: "udp", 132: "sctp"}


@cache  # building a strategy costs more than drawing from it
@st.composite
def rules(draw, table="filter", chain="FORWARD", family=4, loadable=False, chains=()):
    number = draw(st.sampled_from((None, 1 if family == 4 else 58, 6, 17, 47, 132)))
    found = draw(_match_lists(family, loadable))
    is_negated = number is not None and draw(negated)
    if number in PROTOCOL_MATCH and not is_negated and draw(negated):
        found = [draw(port_matches(PROTOCOL_MATCH[number])), *found]
    inward = chain in ("PREROUTING", "INPUT", "FORWARD") or not loadable
    outward = chain in ("FORWARD", "OUTPUT", "POSTROUTING") or not loadable
    return Rule(
        src=draw(PREFIXES[family]),
        dst=draw(PREFIXES[family]),
        in_interface=draw(INTERFACES) if inward else None,
        out_interface=draw(INTERFACES) if outward else None,
        protocol=None if number is None else Protocol(number, is_negated),
        fragment=draw(FRAGMENT) if family == 4 else None,
        matches=tuple(found),
        target=draw(targets(table, family, chains)),
        packets=draw(counts),
        bytes=draw(counts),
    )


@cache  # building a strategy costs more than drawing from it
@st.composite
def tables(draw, name="filter", family=4, loadable=False):
    """A table; its user chains jump only to those behind them, so that there is no loop."""
    users = draw(st.lists(st.sampled_from(USER_CHAINS), max_size=3, unique=True))
    builtins = BUILTIN_CHAINS[name]
    chains = {}
    for place, chain in enumerate((*builtins, *users)):
        targets_of = users if chain in builtins else users[place - len(builtins) + 1 :]
        own = rules(name, chain, family, loadable, tuple(targets_of))
        policy = draw(st.sampled_from(("ACCEPT", "DROP"))) if chain in builtins else None
        if loadable and name == "nat":
            policy = policy and "ACCEPT"  # nat's policies are not for dropping
        found = tuple(draw(st.lists(own, max_size=3)))
        chains[chain] = Chain(chain, policy, found, draw(counts) if policy else 0, 0)
    return Table(name, chains)


@cache  # building a strategy costs more than drawing from it
@st.composite
def rulesets(draw, family=4, loadable=False):
    names = draw(st.lists(st.sampled_from(sorted(BUILTIN_CHAINS)), max_size=2, unique=True))
    found = {name: draw(tables(name, family, loadable)) for name in names}
    return Ruleset(found, draw(st.sampled_from(("nft", "legacy"))) if found else "nft")
