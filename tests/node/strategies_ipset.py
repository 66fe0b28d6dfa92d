"""Sets of every type, from small pools; `ipset restore` takes them all."""

from ipaddress import IPv4Network, IPv6Network, ip_address

from hypothesis import strategies as st

from dataplane.node.ipset_rows import Ipset, SetElement, SetEntry
from dataplane.node.ipset_types import TYPES

HOSTS = {4: ("10.0.0.2", "10.0.1.2", "10.0.0.77"), 6: ("fd00::2", "fd00:1::2", "::ffff:1.2.3.4")}
NETS = {
    4: ("10.0.0.0/24", "10.0.0.2/32", "10.0.0.0/31", "10.0.0.0/8", "0.0.0.0/1"),
    6: ("fd00::/64", "fd00::2/128", "fd00::/16", "8000::/1"),
}
COMMON_PORTS = ((6, 80), (6, 443), (17, 80), (132, 80), (136, 80), (47, 0), (2, 0))
PORTS = {4: (*COMMON_PORTS, (1, 0x800), (1, 0x2A07)), 6: (*COMMON_PORTS, (58, 0x8000))}
MACS = ("02:00:00:00:00:02", "02:00:00:00:01:02", "0a:58:c0:a8:32:0b")
SIMPLE = tuple(name for name in TYPES if name != "list:set")
# What a kernel may lack: 6.18 as Debian builds it for the cloud has no such modules.
NAMES = ("a", "b", "weave-;|$!#[", "KUBE-LOOP-BACK")
COMMENTS = ("x", "it's", "a b", "-A !", "\\")


def _networks(family, texts):
    kind = IPv4Network if family == 4 else IPv6Network
    return st.sampled_from([kind(text) for text in texts[family]])


@st.composite
def elements(draw, type_, family, options):
    parts = type_.partition(":")[2].split(",")
    if type_ == "bitmap:port":
        return SetElement(port=draw(st.sampled_from((80, 443, 85))))
    found = {}
    for at, part in enumerate(parts):
        if part in ("ip", "net"):
            pool = HOSTS if part == "ip" else NETS
            network = draw(_networks(family, pool))
            if type_ == "hash:net,iface" and draw(st.booleans()):
                network = type(network)((0, 0))
            found["network" if at == 0 else "second"] = _masked(network, at, options)
        elif part == "port":
            found["protocol"], found["port"] = draw(st.sampled_from(PORTS[family]))
        elif part == "mac":
            found["mac"] = draw(st.sampled_from(MACS))
        elif part == "mark":
            found["mark"] = draw(st.sampled_from((1, 0x100))) & int(
                options.get("markmask", "0xffffffff"), 0
            )
        elif part == "iface":
            found["device"] = draw(st.sampled_from(("a", "b", "eth0")))
            found["is_physical"] = draw(st.booleans())
    return SetElement(**found)


def _masked(network, at, options):
    """netmask and bitmask hold for the first address, and for both of net,net."""
    number, width = int(network.network_address), network.max_prefixlen
    mask = (1 << width) - 1
    if "netmask" in options:
        mask ^= (1 << (width - int(options["netmask"]))) - 1
    if "bitmask" in options:
        mask = int(ip_address(options["bitmask"]))
    if not {"netmask", "bitmask"} & set(options):
        return network
    masked = number & mask or int(ip_address("fd00::"))  # a hash:ip holds no null address
    return type(network)((masked, network.prefixlen)) if at == 0 else network


@st.composite
def entries(draw, type_, family, options):
    wanted = {"element": draw(elements(type_, family, options))}
    if "timeout" in options:
        wanted["timeout"] = draw(st.sampled_from((0, 600, 2147483)))
    if "counters" in options:
        wanted["packets"], wanted["bytes"] = draw(st.sampled_from(((0, 0), (3, 252), (1, 5000))))
    if "comment" in options:
        wanted["comment"] = draw(st.none() | st.sampled_from(COMMENTS))
    if "skbinfo" in options:
        wanted["skbmark"] = draw(st.sampled_from((None, (1, 0xFFFFFFFF), (0x10, 0xFF), (0, 1))))
        wanted["skbprio"] = draw(st.sampled_from((None, (1, 0x10))))
        wanted["skbqueue"] = draw(st.sampled_from((None, 3)))
    if TYPES[type_].has_nomatch:
        wanted["nomatch"] = draw(st.booleans())
    return SetEntry(**wanted)


@st.composite
def create_options(draw, type_, family):
    found = {}
    known = TYPES[type_].options
    if "range" in known:
        found["range"] = "0-1000" if type_ == "bitmap:port" else "10.0.0.0-10.0.1.255"
    if "hashsize" in known:
        found |= {"hashsize": "64", "maxelem": draw(st.sampled_from(("65536", "4")))}
    if "markmask" in known and draw(st.booleans()):
        found["markmask"] = "0x000000ff"
    if "size" in known:
        found["size"] = "8"
    if type_ == "hash:ip" and draw(st.booleans()):
        found["netmask"] = "24" if family == 4 else "64"
    if draw(st.booleans()):
        found["timeout"] = draw(st.sampled_from(("0", "600")))
    for flag in ("counters", "comment", "skbinfo"):
        if draw(st.booleans()):
            found[flag] = ""
    return found


@st.composite
def one_set(draw, name, types=SIMPLE, families=(4, 6)):
    type_ = draw(st.sampled_from(types))
    family = draw(st.sampled_from(families)) if TYPES[type_].has_family else 4
    options = draw(create_options(type_, family))
    found = draw(st.lists(entries(type_, family, options), max_size=4))
    unique = {entry.element: entry for entry in found}
    if type_ == "bitmap:ip,mac":
        unique = {entry.element.network: entry for entry in found}
    return Ipset(name, type_, family, tuple(options.items()), tuple(unique.values()))


@st.composite
def lists(draw, name, members):
    """A list:set of sets that are there."""
    options = draw(create_options("list:set", 4))
    chosen = draw(st.lists(st.sampled_from(members), max_size=3, unique=True)) if members else []
    found = [
        draw(entries("list:set", 4, options).map(lambda e, m=member: _member(e, m)))
        for member in chosen
    ]
    return Ipset(name, "list:set", 4, tuple(options.items()), tuple(found))


def _member(entry, name):
    return SetEntry(**(entry.__dict__ | {"element": SetElement(set_name=name)}))


@st.composite
def ipsets(draw, types=SIMPLE, families=(4, 6)):
    names = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
    simple = [draw(one_set(name, types, families)) for name in names]
    with_list = draw(st.booleans())
    return (*simple, *((draw(lists("all", names)),) if with_list else ()))
