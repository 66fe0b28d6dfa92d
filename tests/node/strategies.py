"""What a node may hold, from small pools, so that things collide."""

from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

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
from dataplane.node.state import (
    ConntrackEntry,
    ConntrackTuple,
    FdbEntry,
    InterfaceAddress,
    Link,
    Neighbour,
    NextHop,
    NodeState,
    Route,
    RoutingRule,
    Vxlan,
)

DEVICES = ("lo", "eth0", "cni0", "flannel.1", "veth1a2b")
MACS = ("0a:58:0a:f4:01:02", "0a:58:c0:a8:32:0b", "00:00:00:00:00:00")
ADDRESSES4 = tuple(map(IPv4Address, ("10.244.1.2", "10.244.2.3", "10.96.0.10", "192.168.50.11")))
ADDRESSES6 = tuple(map(IPv6Address, ("fd00::1", "fe80::1", "2001:db8::ffff:1", "::ffff:1.2.3.4")))
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

addresses4 = st.sampled_from(ADDRESSES4)
addresses6 = st.sampled_from(ADDRESSES6)
addresses = addresses4 | addresses6
networks4 = st.sampled_from(NETWORKS4)
networks6 = st.sampled_from(NETWORKS6)
devices = st.sampled_from(DEVICES)
macs = st.sampled_from(MACS)
negated = st.booleans()
counts = st.integers(0, 3)


# iptables, in normal form.  With family 4 or 6, what a kernel of that family loads.


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


# Devices, addresses, routes.


def optional(strategy):
    return st.none() | strategy


vxlans = st.builds(
    Vxlan,
    id=st.integers(1, 3),
    port=st.sampled_from((4789, 8472)),
    local=optional(addresses),
    link=optional(devices),
    remote=optional(addresses | st.just(IPv4Address("239.1.1.1"))),
    port_low=st.sampled_from((0, 1000)),
    port_high=st.sampled_from((0, 2000)),
    ttl=st.sampled_from((0, 64)),
    tos=st.sampled_from((0, 1, 16)),
    df=st.sampled_from(("unset", "set", "inherit")),
    learning=st.booleans(),
    udp_csum=st.booleans(),
)


@st.composite
def one_link(draw):
    kind = draw(st.sampled_from(("", "veth", "bridge", "vxlan", "dummy")))
    master = draw(optional(devices))
    flags = st.lists(st.sampled_from(("BROADCAST", "UP", "LOWER_UP")), unique=True)
    return Link(
        index=draw(st.integers(1, 9)),
        name=draw(devices),
        mac=draw(macs | st.just("")),
        mtu=draw(st.sampled_from((1450, 1500, 65536))),
        kind=kind,
        link_type=draw(st.sampled_from(("ether", "loopback"))),
        flags=tuple(draw(flags)),
        master=master,
        hairpin=master is not None and draw(st.booleans()),
        vxlan=draw(optional(vxlans)) if kind == "vxlan" else None,
    )


links = st.lists(one_link(), max_size=4).map(tuple)


@st.composite
def one_address(draw):
    local = draw(addresses)
    return InterfaceAddress(
        dev=draw(devices),
        local=local,
        prefixlen=draw(st.sampled_from((24, 32))),
        scope=draw(st.sampled_from(("global", "link", "host"))),
        broadcast=draw(optional(addresses4)) if local.version == 4 else None,
        secondary=draw(st.booleans()),
    )


interface_addresses = st.lists(one_address(), max_size=4).map(tuple)

nexthops = st.builds(
    NextHop,
    dev=optional(devices),
    gateway=optional(addresses),
    weight=st.integers(1, 3),
    onlink=st.booleans(),
)


@st.composite
def one_route(draw, family=4):
    default = IPv4Network("0.0.0.0/0") if family == 4 else IPv6Network("::/0")
    own = addresses4 if family == 4 else addresses6
    several = draw(st.lists(nexthops, max_size=2).map(tuple))
    return Route(
        dst=draw((networks4 if family == 4 else networks6) | st.just(default)),
        type=draw(st.sampled_from(("unicast", "local", "blackhole", "broadcast"))),
        dev=None if several else draw(optional(devices)),
        gateway=None if several else draw(optional(addresses)),
        table=draw(st.sampled_from(("main", "local", "100"))),
        metric=draw(st.sampled_from((0, 256, 1024))),
        prefsrc=draw(optional(own)),
        scope=draw(st.sampled_from(("global", "link", "host"))),
        protocol=draw(st.sampled_from(("boot", "kernel", "static"))),
        onlink=draw(st.booleans()),
        nexthops=several,
    )


def routes(family=4):
    return st.lists(one_route(family), max_size=4).map(tuple)


@st.composite
def one_routing_rule(draw, family=4):
    prefixes = optional(networks4 if family == 4 else networks6)
    mark = draw(optional(st.sampled_from((0, 1, 0x4000))))
    return RoutingRule(
        priority=draw(st.sampled_from((0, 100, 32766))),
        table=draw(optional(st.sampled_from(("main", "local", "100")))),
        action=draw(st.sampled_from(("", "blackhole", "unreachable", "nop"))),
        family=family,
        negated=draw(st.booleans()),
        src=draw(prefixes),
        dst=draw(prefixes),
        fwmark=mark,
        fwmask=0xFFFFFFFF if mark is None else draw(st.sampled_from((0x4000, 0xFFFFFFFF))),
        iif=draw(optional(devices)),
        oif=draw(optional(devices)),
    )


def routing_rules(family=4):
    return st.lists(one_routing_rule(family), max_size=4).map(tuple)


neighbours = st.lists(
    st.builds(
        Neighbour,
        dst=addresses,
        dev=devices,
        lladdr=optional(macs),
        state=st.sampled_from((("PERMANENT",), ("REACHABLE",), ("FAILED",), ())),
    ),
    max_size=4,
).map(tuple)

fdb = st.lists(
    st.builds(
        FdbEntry,
        mac=macs,
        dev=devices,
        master=optional(devices),
        dst=optional(addresses),
        state=st.sampled_from(("", "permanent", "static")),
        flags=st.sampled_from(((), ("self",))),
    ),
    max_size=4,
).map(tuple)

sysctls = st.dictionaries(
    st.sampled_from(
        ("net.ipv4.ip_forward", "net.ipv4.conf.eth0/5.rp_filter", "net.ipv4.ip_local_port_range")
    ),
    st.sampled_from(("0", "1", "32768 60999", "")),
)


# Connections.


@st.composite
def one_connection(draw):
    protocol = draw(st.sampled_from((1, 6, 17, 47, 50, 58, 132)))
    own = addresses6 if protocol == 58 else draw(st.sampled_from((addresses4, addresses6)))
    states = ("ESTABLISHED", "SYN_SENT", "TIME_WAIT") if protocol in (6, 132) else ("",)
    return ConntrackEntry(
        protocol=protocol,
        original=draw(_directions(protocol, own)),
        reply=draw(_directions(protocol, own)),
        timeout=draw(st.sampled_from((0, 29, 431999))),
        state=draw(st.sampled_from(states)),
        unreplied=draw(st.booleans()),
        assured=draw(st.booleans()),
        mark=draw(st.sampled_from((0, 0x4000))),
        use=draw(st.integers(1, 2)),
    )


def _directions(protocol, own):
    small = st.integers(0, 2)
    if protocol in (1, 58):
        kinds = {"icmp_type": small, "icmp_code": small, "icmp_id": small}
        return st.builds(ConntrackTuple, src=own, dst=own, **kinds)
    ports = {} if protocol == 50 else {"sport": small, "dport": small}
    return st.builds(ConntrackTuple, src=own, dst=own, **ports)


connections = st.lists(one_connection(), max_size=4).map(tuple)


@st.composite
def node_states(draw, name="node-a"):
    """Nodes as a folder holds them: IPv4 before IPv6, and no route twice."""
    found = dict.fromkeys((*draw(routes(4)), *draw(routes(6))))
    return NodeState(
        name=name,
        links=draw(links),
        addresses=draw(interface_addresses),
        routes=tuple(found),
        rules=draw(routing_rules(4)) + draw(routing_rules(6)),
        neighbours=draw(neighbours),
        fdb=draw(fdb),
        iptables=draw(rulesets(4)),
        ip6tables=draw(rulesets(6)),
        sysctls=draw(sysctls),
        conntrack=draw(connections),
        kernel=draw(st.sampled_from(("", "6.1.0-28-amd64"))),
    )
