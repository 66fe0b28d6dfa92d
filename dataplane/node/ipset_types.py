"""Types of sets: what their elements are made of, and which options a `create` line may have.

ip_set_hash_*.c, ip_set_bitmap_*.c, ip_set_list_set.c, v6.18; options as ipset 7.17 takes them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SetType:
    options: frozenset[str]  # words of the create line, but for `family`
    has_family: bool
    has_nomatch: bool = False


FLAGS = frozenset(("counters", "comment", "skbinfo", "forceadd"))
EXTENSIONS = frozenset(("timeout", "counters", "comment", "skbinfo"))
HASH = EXTENSIONS | {"hashsize", "maxelem", "forceadd", "bucketsize", "initval"}
MASKED = frozenset(("netmask", "bitmask"))
IGNORED = frozenset(("gc", "probes", "resize"))  # of old releases, taken and forgotten

TYPES: dict[str, SetType] = {
    "hash:ip": SetType(HASH | MASKED, True),
    "hash:net": SetType(HASH, True, has_nomatch=True),
    "hash:ip,port": SetType(HASH | MASKED, True),
    "hash:ip,port,ip": SetType(HASH, True),
    "hash:ip,port,net": SetType(HASH, True, has_nomatch=True),
    "hash:net,port": SetType(HASH, True, has_nomatch=True),
    "hash:net,net": SetType(HASH | MASKED, True, has_nomatch=True),
    "hash:net,port,net": SetType(HASH, True, has_nomatch=True),
    "hash:net,iface": SetType(HASH, True, has_nomatch=True),
    "hash:mac": SetType(HASH, False),
    "hash:ip,mark": SetType(HASH | {"markmask"}, True),
    "hash:ip,mac": SetType(HASH, True),
    "bitmap:ip": SetType(EXTENSIONS | {"range", "netmask"}, False),
    "bitmap:ip,mac": SetType(EXTENSIONS | {"range"}, False),
    "bitmap:port": SetType(EXTENSIONS | {"range"}, False),
    "list:set": SetType(EXTENSIONS | {"size"}, False),
}
ALIASES = {  # libipset names older than ipset 4's
    "iphash": "hash:ip",
    "nethash": "hash:net",
    "ipporthash": "hash:ip,port",
    "ipportiphash": "hash:ip,port,ip",
    "ipportnethash": "hash:ip,port,net",
    "netporthash": "hash:net,port",
    "netnethash": "hash:net,net",
    "netportnethash": "hash:net,port,net",
    "netifacehash": "hash:net,iface",
    "machash": "hash:mac",
    "ipmarkhash": "hash:ip,mark",
    "ipmap": "bitmap:ip",
    "macipmap": "bitmap:ip,mac",
    "portmap": "bitmap:port",
    "setlist": "list:set",
}
FAMILIES = {"inet": 4, "ipv4": 4, "-4": 4, "inet6": 6, "ipv6": 6, "-6": 6}
