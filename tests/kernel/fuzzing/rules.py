"""Random rule sets over everything that iptables has and this project models.

One small function per match and target: `(random, place) -> words`, None where it cannot stand.
To add one, write it into MATCHES or TARGETS.  What the assembler does not model is left out of
nearly all rule sets, so the generator widens by itself as more is modelled.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from _fastpath.image import MatchKind, TargetKind
from dataplane.errors import DataplaneError
from dataplane.image.matches import match_rows
from dataplane.image.pools import Pools
from dataplane.image.targets import target_row
from dataplane.node import iptables
from tests.kernel.fuzzing.lab import (
    BEYOND,
    BEYOND6,
    CHAINS,
    DEVICES,
    PORTS,
    address,
    host_mac,
    node_mac,
)  # fmt: skip

UNMODELLED_ODDS = 0.003
PORT_POOL = (80, 443, 53, 1000, 1001, 2000, 5353)
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132, "udplite": 136, "dccp": 33, "icmp": 1}


class Place(NamedTuple):
    """Where a rule stands."""

    family: int
    flavour: str
    table: str
    hook: str  # of a user chain: the only hook that leads to it

    @property
    def has_in(self) -> bool:
        return self.hook in ("PREROUTING", "INPUT", "FORWARD")

    @property
    def has_out(self) -> bool:
        return self.hook in ("FORWARD", "OUTPUT", "POSTROUTING")


Words = Callable[[Random, Place], str | None]


def negated(r: Random, odds: float = 0.25) -> str:
    return "! " if r.random() < odds else ""


def some_address(r: Random, family: int) -> str:
    if r.random() < 0.15:
        return r.choice(BEYOND if family == 4 else BEYOND6)
    return address(r.randrange(3), r.choice((1, 2, 3, 4, 5)), family)


def prefix(r: Random, family: int) -> str:
    length = r.choice((32, 32, 31, 24, 16)) if family == 4 else r.choice((128, 128, 64, 48))
    return f"{some_address(r, family)}/{length}"


def port(r: Random) -> int:
    return r.choice(PORT_POOL)


def port_range(r: Random) -> str:
    low, high = sorted((port(r), port(r)))
    return r.choice((f"{low}", f"{low}:{high}", f"{low}:", f":{high}"))


def either(r: Random, *words: str) -> str:
    return r.choice(words)


# Matches.


def tcp(r: Random, p: Place) -> str:
    words = ["-p tcp -m tcp"]
    if r.random() < 0.4:
        words.append(f"{negated(r)}--sport {port_range(r)}")
    if r.random() < 0.5:
        words.append(f"{negated(r)}--dport {port_range(r)}")
    if r.random() < 0.3:
        mask = r.sample(("SYN", "ACK", "FIN", "RST", "PSH", "URG"), r.randint(1, 4))
        flags = r.sample(mask, r.randint(0, len(mask)))
        words.append(f"{negated(r)}--tcp-flags {','.join(mask)} {','.join(flags) or 'NONE'}")
    if r.random() < 0.15:
        words.append(f"{negated(r)}--tcp-option {r.choice((2, 3, 4, 8))}")
    return " ".join(words)


def ported(protocol: str) -> Words:
    def words(r: Random, p: Place) -> str:
        text = f"-p {protocol} -m {protocol}"
        if r.random() < 0.5:
            text += f" {negated(r)}--sport {port_range(r)}"
        if r.random() < 0.6:
            text += f" {negated(r)}--dport {port_range(r)}"
        return text

    return words


def sctp(r: Random, p: Place) -> str:
    text = ported("sctp")(r, p)
    if r.random() < 0.5:
        chunks = r.sample(("DATA", "INIT", "INIT_ACK", "SACK", "ABORT", "DATA:Be"), r.randint(1, 3))
        text += f" {negated(r)}--chunk-types {r.choice(('any', 'all', 'only'))} {','.join(chunks)}"
    return text


def dccp(r: Random, p: Place) -> str:
    text = ported("dccp")(r, p)
    if r.random() < 0.5:
        text += f" {negated(r)}--dccp-types {r.choice(('REQUEST', 'RESPONSE,DATA', 'RESET'))}"
    if r.random() < 0.3:
        text += f" {negated(r)}--dccp-option {r.choice((1, 32, 44))}"
    return text


def icmp(r: Random, p: Place) -> str:
    if p.family == 6:
        kind = r.choice(("128", "129", "1", "1/4", "2/0", "3", "135"))
        return f"-p ipv6-icmp -m icmp6 {negated(r)}--icmpv6-type {kind}"
    kind = r.choice(("8", "0", "3", "3/3", "11", "3/4", "any"))
    return f"-p icmp -m icmp {negated(r, 0.2 if kind != 'any' else 0)}--icmp-type {kind}"


def multiport(r: Random, p: Place) -> str:
    ports = ",".join(str(port(r)) for _ in range(r.randint(1, 4)))
    if r.random() < 0.4:
        low, high = sorted((port(r), port(r)))
        ports += f",{low}:{high}" if low < high else ""
    protocol = r.choice(("tcp", "udp", "sctp", "udplite"))
    return f"-p {protocol} -m multiport {negated(r)}--{r.choice(('dports', 'sports', 'ports'))} {ports}"


def conntrack(r: Random, p: Place) -> str:
    words = []
    if r.random() < 0.7:
        states = r.sample(("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "SNAT", "DNAT"),
                          r.randint(1, 3))  # fmt: skip
        words.append(f"{negated(r)}--ctstate {','.join(states)}")
    if r.random() < 0.3:
        status = r.sample(("SEEN_REPLY", "ASSURED", "CONFIRMED", "EXPECTED"), r.randint(1, 2))
        words.append(f"{negated(r)}--ctstatus {','.join(status)}")
    if r.random() < 0.15:
        words.append(f"{negated(r)}--ctproto {r.choice(('6', '17', '1'))}")
    for name in ("origsrc", "origdst", "replsrc", "repldst"):
        if r.random() < 0.08:
            words.append(f"{negated(r)}--ct{name} {prefix(r, p.family)}")
    for name in ("origsrcport", "origdstport", "replsrcport", "repldstport"):
        if r.random() < 0.05:
            words.append(f"{negated(r)}--ct{name} {port(r)}")
    if r.random() < 0.1:
        words.append(f"--ctdir {r.choice(('ORIGINAL', 'REPLY'))}")
    if r.random() < 0.08:
        # Whether a timeout of 60 s has 60 or 59 left at once hangs on the phase of the tick.
        words.append(f"{negated(r)}--ctexpire {r.choice(('100:200', '1:40', '59:60'))}")
    return f"-m conntrack {' '.join(words)}" if words else "-m conntrack --ctstate NEW"


def state(r: Random, p: Place) -> str:
    return f"-m state {negated(r)}--state {r.choice(('NEW', 'ESTABLISHED', 'RELATED,INVALID', 'UNTRACKED'))}"


def marked(name: str) -> Words:
    return lambda r, p: (
        f"-m {name} {negated(r)}--mark {r.choice(('0x1', '0x1/0x3', '0x0', '0x2/0x2', '0x10/0xff'))}"
    )


def addrtype(r: Random, p: Place) -> str:
    kinds = (
        "LOCAL",
        "UNICAST",
        "BROADCAST",
        "MULTICAST",
        "LOCAL,BROADCAST",
        "BLACKHOLE",
        "ANYCAST",
        "UNSPEC",
        "UNREACHABLE,PROHIBIT",
    )
    if p.family == 6:
        kinds = ("LOCAL", "UNICAST", "MULTICAST", "ANYCAST", "UNICAST,LOCAL", "UNREACHABLE",
                 "LOCAL,ANYCAST", "UNSPEC", "UNICAST,UNREACHABLE")  # fmt: skip
    words = [f"{negated(r)}--{r.choice(('src', 'dst'))}-type {r.choice(kinds)}"]
    if r.random() < 0.2:
        limits = [
            x for x, ok in (("--limit-iface-in", p.has_in), ("--limit-iface-out", p.has_out)) if ok
        ]
        words.append(r.choice(limits))
    return f"-m addrtype {' '.join(words)}"


def recent(r: Random, p: Place) -> str:
    verb = r.choice(("--set", "--rcheck", "--update", "--remove"))
    words = [negated(r, 0.2) + verb]
    if verb in ("--rcheck", "--update"):
        words += ["--seconds 3600"] if r.random() < 0.5 else []
        words += [f"--hitcount {r.choice((1, 2, 3, 5))}"] if r.random() < 0.5 else []
        words += ["--reap"] if "--seconds 3600" in words and r.random() < 0.3 else []
        words += ["--rttl"] if r.random() < 0.15 else []
    words.append(f"--name {r.choice(('DEFAULT', 'other'))} {r.choice(('--rsource', '--rdest'))}")
    return f"-m recent {' '.join(words)}"


def limit(r: Random, p: Place) -> str:
    return f"-m limit --limit 1/hour --limit-burst {r.choice((1, 2, 5, 20))}"


def hashlimit(r: Random, p: Place) -> str:
    mode = r.choice(("srcip", "dstip", "srcip,dstport", "srcip,srcport,dstip,dstport", ""))
    words = [f"--hashlimit-{r.choice(('upto', 'above'))} 1/hour",
             f"--hashlimit-burst {r.choice((1, 2, 5))}",
             f"--hashlimit-name h{r.randrange(1 << 30)}"]  # fmt: skip
    words += [f"--hashlimit-mode {mode}"] if mode else []
    words += (
        [f"--hashlimit-srcmask {24 if p.family == 4 else 64}"]
        if "srcip" in mode and r.random() < 0.3
        else []
    )
    return f"-m hashlimit {' '.join(words)}"


def connlimit(r: Random, p: Place) -> str | None:
    if r.random() < 0.7:
        return None  # rule sets with it take their time: see FuzzLab.run
    most = 32 if p.family == 4 else 128
    words = f"--connlimit-{r.choice(('upto', 'above'))} {r.choice((1, 2, 5))}"
    return f"-m connlimit {words} --connlimit-mask {r.choice((most, 0, most - 8))} {r.choice(('--connlimit-saddr', '--connlimit-daddr'))}"


def iprange(r: Random, p: Place) -> str:
    subnet = r.randrange(3)
    low, high = sorted((r.randint(1, 6), r.randint(1, 6)))
    span = f"{address(subnet, low, p.family)}-{address(subnet, high, p.family)}"
    return f"-m iprange {negated(r)}--{r.choice(('src', 'dst'))}-range {span}"


def mac(r: Random, p: Place) -> str | None:
    if p.hook not in ("PREROUTING", "INPUT", "FORWARD"):
        return None
    return f"-m mac {negated(r)}--mac-source {host_mac(r.randrange(3), r.choice((2, 3)))}"


def length(r: Random, p: Place) -> str:
    return f"-m length {negated(r)}--length {r.choice(('40', '0:60', '61:100', '100:', '28:40', '41:1000'))}"


def ttl(r: Random, p: Place) -> str:
    name, option = ("ttl", "ttl") if p.family == 4 else ("hl", "hl")
    operator = r.choice((f"{negated(r)}--{option}-eq", f"--{option}-lt", f"--{option}-gt"))
    return f"-m {name} {operator} {r.choice((1, 2, 63, 64, 128))}"


def tos(r: Random, p: Place) -> str:
    return f"-m tos {negated(r)}--tos {r.choice(('0x10/0x3f', '0x00', '0x08/0xff', '0x10'))}"


def dscp(r: Random, p: Place) -> str:
    return f"-m dscp {negated(r)}--dscp {r.choice(('0x00', '0x04', '0x2e'))}"


def ecn(r: Random, p: Place) -> str:
    return r.choice((
        f"-m ecn {negated(r)}--ecn-ip-ect {r.randrange(4)}",
        f"-p tcp -m ecn {negated(r)}--ecn-tcp-cwr", f"-p tcp -m ecn {negated(r)}--ecn-tcp-ece",
    ))  # fmt: skip


def physdev(r: Random, p: Place) -> str:
    words = []
    if r.random() < 0.5 and p.hook != "OUTPUT":
        words.append(f"{negated(r)}--physdev-in {r.choice((*PORTS, 'p+', 'eth0'))}")
    if r.random() < 0.3 and p.hook in ("FORWARD", "POSTROUTING"):
        words.append(f"--physdev-is-bridged {negated(r)}--physdev-out {r.choice((*PORTS, 'p+'))}")
    elif r.random() < 0.5:
        words.append(negated(r) + r.choice(("--physdev-is-in", "--physdev-is-out")
                     if p.hook in ("FORWARD", "POSTROUTING") else ("--physdev-is-in",)))  # fmt: skip
    return f"-m physdev {' '.join(words or ['--physdev-is-in'])}"


def rpfilter(r: Random, p: Place) -> str | None:
    if p.table not in ("raw", "mangle") or p.hook != "PREROUTING":
        return None
    options = r.sample(("--loose", "--validmark", "--accept-local", "--invert"), r.randint(0, 2))
    return " ".join(["-m rpfilter", *options])


def pkttype(r: Random, p: Place) -> str:
    return f"-m pkttype {negated(r)}--pkt-type {r.choice(('unicast', 'broadcast', 'multicast'))}"


def u32(r: Random, p: Place) -> str:
    tests = ("6&0xFF=6,17", "0>>22&0x3C@0>>16=1000", "0&0xFFFF=40:60", "0>>22&0x3C@12>>26&0x3C@0=0:0x61616161",
             "4&0x1FFF=0&&6&0xFF=17")  # fmt: skip
    return f'-m u32 {negated(r)}--u32 "{r.choice(tests)}"'


def string(r: Random, p: Place) -> str:
    text = r.choice(('--string "abc"', '--hex-string "|0050|"', '--string "ABC" --icase'))
    extent = r.choice(("", " --from 20", " --to 60", " --from 28 --to 50"))
    return f"-m string {negated(r)}{text} --algo {r.choice(('bm', 'kmp'))}{extent}"


def quota(r: Random, p: Place) -> str:
    return f"-m quota {negated(r)}--quota {r.choice((50, 200, 1000, 5000))}"


def time_of_day(r: Random, p: Place) -> str:
    return r.choice((
        f"-m time {negated(r, 0.3)}--weekdays {r.choice(('Mon,Tue,Wed', 'Sat,Sun', 'Tue'))}",
        "-m time --datestart 2020-01-01T00:00:00 --datestop 2021-01-01T00:00:00",
        "-m time --datestart 2020-01-01T00:00:00",
        f"-m time {negated(r, 0.3)}--monthdays {r.choice(('1,2,3', '1,10,20,24,25', '31'))}",
    ))  # fmt: skip


def statistic(r: Random, p: Place) -> str:
    every = r.choice((2, 3, 5))
    return f"-m statistic --mode nth {negated(r)}--every {every} --packet {r.randrange(every)}"


def spi(name: str) -> Words:
    return lambda r, p: (
        f"-p {name} -m {name} {negated(r)}--{name}spi {r.choice(('5', '1:10', '6:'))}"
    )


def frag(r: Random, p: Place) -> str | None:
    if p.family == 4:
        return negated(r, 0.5) + "-f"
    return "-m frag " + r.choice(
        (f"{negated(r)}--fragid 1:1000", "--fragfirst", "--fragmore", "--fraglast")
    )


def extension_headers(r: Random, p: Place) -> str | None:
    if p.family == 4:
        return None
    return r.choice((
        f"-m ipv6header --header {r.choice(('hop', 'dst', 'route', 'frag', 'none', 'prot'))} --soft",
        f"-m ipv6header --header {r.choice(('hop', 'frag,prot', 'dst,prot', 'prot'))}",
        f"-m rt {negated(r)}--rt-type {r.choice((0, 2))}",
        f"-m rt --rt-segsleft {r.choice(('0', '0:3', '1:'))}",
        f"-m hbh {negated(r)}--hbh-len 8", "-m hbh --hbh-opts 5:2",
        f"-m dst {negated(r)}--dst-len 8", "-m dst --dst-opts 1",
        f"-p mh -m mh {negated(r)}--mh-type 5",
    ))  # fmt: skip


def realm(r: Random, p: Place) -> str | None:
    if p.family == 6 or p.hook == "PREROUTING":
        return None
    realms = ("0x0", "0x1", "0x1/0x3", "0x20000/0xffff0000", "0x10000/0xffff0000", "0x0/0xffff")
    return f"-m realm {negated(r)}--realm {r.choice(realms)}"


def policy(r: Random, p: Place) -> str:
    ways = [way for way, is_there in (("in", p.has_in), ("out", p.has_out)) if is_there]
    return f"-m policy --dir {r.choice(ways)} --pol {r.choice(('none', 'none', 'ipsec'))}"


def tcpmss(r: Random, p: Place) -> str:
    return f"-p tcp -m tcp --tcp-flags SYN,RST SYN -m tcpmss {negated(r)}--mss {r.choice(('1460', '500:1400'))}"


def connbytes(r: Random, p: Place) -> str:
    return (f"-m connbytes {negated(r)}--connbytes {r.choice(('2:', '0:3', '100:1000', '200:'))} "
            f"--connbytes-mode {r.choice(('packets', 'bytes', 'avgpkt'))} "
            f"--connbytes-dir {r.choice(('original', 'reply', 'both'))}")  # fmt: skip


def owner(r: Random, p: Place) -> str | None:
    if p.hook not in ("OUTPUT", "POSTROUTING"):
        return None
    return f"-m owner {negated(r)}--{r.choice(('uid-owner 0', 'gid-owner 0', 'socket-exists'))}"


def devgroup(r: Random, p: Place) -> str | None:
    return f"-m devgroup {negated(r)}--src-group {r.choice((0, 1))}" if p.has_in else None


MATCHES: dict[str, Words] = {
    "tcp": tcp, "udp": ported("udp"), "sctp": sctp, "dccp": dccp,
    "icmp": icmp, "multiport": multiport, "conntrack": conntrack, "state": state,
    "mark": marked("mark"), "connmark": marked("connmark"), "addrtype": addrtype,
    "recent": recent, "limit": limit, "hashlimit": hashlimit, "connlimit": connlimit,
    "iprange": iprange, "mac": mac, "length": length, "ttl": ttl, "tos": tos, "dscp": dscp,
    "ecn": ecn, "physdev": physdev, "rpfilter": rpfilter, "pkttype": pkttype, "u32": u32,
    "string": string, "quota": quota, "time": time_of_day, "statistic": statistic,
    "ah": spi("ah"), "esp": spi("esp"), "frag": frag, "headers": extension_headers,
    "realm": realm, "tcpmss": tcpmss, "connbytes": connbytes, "owner": owner,
    "comment": lambda r, p: '-m comment --comment "why not"', "devgroup": devgroup,
    "policy": policy,
}  # fmt: skip
HEADER = {
    "protocol": lambda r, p: f"{negated(r)}-p {r.choice(('tcp', 'udp', 'icmp' if p.family == 4 else 'ipv6-icmp', 'sctp', '47'))}",
    "source": lambda r, p: f"{negated(r)}-s {prefix(r, p.family)}",
    "destination": lambda r, p: f"{negated(r)}-d {prefix(r, p.family)}",
    "in": lambda r, p: f"{negated(r)}-i {r.choice((*DEVICES, 'br0', 'eth+', 'p+'))}" if p.has_in else None,
    "out": lambda r, p: f"{negated(r)}-o {r.choice(('eth0', 'eth1', 'br0', 'eth+', 'lo'))}" if p.has_out else None,
}  # fmt: skip

# Targets.

IN_FILTER = ("INPUT", "FORWARD", "OUTPUT")
PORTED = ("tcp", "udp", "sctp", "dccp")


def verdict(name: str) -> Words:
    return lambda r, p: None if name == "DROP" and p.table == "nat" else f"-j {name}"


def reject(r: Random, p: Place) -> str | None:
    if p.table != "filter" or p.hook not in IN_FILTER:
        return None
    if r.random() < 0.3:
        return "-p tcp -j REJECT --reject-with tcp-reset"
    if p.family == 4:
        kinds = ("icmp-net-unreachable", "icmp-host-unreachable", "icmp-port-unreachable",
                 "icmp-proto-unreachable", "icmp-net-prohibited", "icmp-host-prohibited",
                 "icmp-admin-prohibited")  # fmt: skip
    else:
        kinds = ("icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable",
                 "icmp6-port-unreachable")  # fmt: skip
    return f"-j REJECT --reject-with {r.choice(kinds)}"


def set_mark(r: Random, p: Place) -> str:
    return "-j MARK " + r.choice((
        "--set-mark 0x1", "--set-xmark 0x2/0x3", "--or-mark 0x1", "--and-mark 0xfe", "--xor-mark 0x3",
        "--set-xmark 0x10/0xffffffff",
    ))  # fmt: skip


def connmark(r: Random, p: Place) -> str:
    return "-j CONNMARK " + r.choice((
        "--set-mark 0x1", "--set-xmark 0x3/0x1", "--save-mark", "--restore-mark",
        "--restore-mark --nfmask 0x1 --ctmask 0x3", "--save-mark --nfmask 0x3 --ctmask 0x1",
    ))  # fmt: skip


def track(r: Random, p: Place) -> str | None:
    if p.table != "raw":
        return None
    if p.hook == "OUTPUT":  # what is unknown of a packet that the node makes stands in no record
        return "-j CT --notrack"
    return "-j CT " + r.choice(("--notrack", "--notrack", "--zone 1", "--zone-orig 2", "--zone-reply 3",
                                "--zone mark"))  # fmt: skip


def addresses(r: Random, family: int) -> str:
    subnet = r.randrange(3)
    low = r.randint(2, 6)
    first = address(subnet, low, family)
    return (
        first if r.random() < 0.7 else f"{first}-{address(subnet, low + r.randint(1, 3), family)}"
    )


def translation(r: Random, p: Place, name: str, option: str) -> str:
    where, head = addresses(r, p.family), ""
    if r.random() < 0.5:
        head = f"-p {r.choice(PORTED)} "
        ports = r.choice((f"{port(r)}", f"{port(r)}", "1000-1003", "2000-2000"))
        if name == "DNAT" and r.random() < 0.3:
            ports = r.choice(("80-90/1000", "1000-1003/999", "8000-8100/443"))
        where = f"{where}:{ports}" if p.family == 4 else f"[{where}]:{ports}"
    how = r.choice(("", "", "", " --persistent", randomly(r, name)))
    return f"{head}-j {name} --{option} {where}{how}"


def randomly(r: Random, name: str) -> str:
    """A destination that Linux draws at random from few ports may leave no trace of the draw."""
    return "" if name == "DNAT" else r.choice((" --random", " --random-fully"))


def dnat(r: Random, p: Place) -> str | None:
    if p.table != "nat" or p.hook not in ("PREROUTING", "OUTPUT"):
        return None
    return translation(r, p, "DNAT", "to-destination")


def snat(r: Random, p: Place) -> str | None:
    if p.table != "nat" or p.hook not in ("POSTROUTING", "INPUT"):
        return None
    return translation(r, p, "SNAT", "to-source")


def masquerade(r: Random, p: Place) -> str | None:
    if p.table != "nat" or p.hook != "POSTROUTING":
        return None
    return r.choice(
        (
            "-j MASQUERADE",
            "-p udp -j MASQUERADE --to-ports 1000-1004",
            "-p tcp -j MASQUERADE --to-ports 3000-3100",
            "-j MASQUERADE --random",
            "-p udp -j MASQUERADE --to-ports 5000-5100 --random-fully",
        )
    )


def redirect(r: Random, p: Place) -> str | None:
    if p.table != "nat" or p.hook not in ("PREROUTING", "OUTPUT"):
        return None
    return r.choice(
        (
            "-j REDIRECT",
            f"-p tcp -j REDIRECT --to-ports {port(r)}",
            "-p udp -j REDIRECT --to-ports 1000-1005",
        )
    )


def netmap(r: Random, p: Place) -> str | None:
    if p.table != "nat":
        return None
    length = r.choice((24, 30, 32)) if p.family == 4 else r.choice((64, 112, 128))
    base = {24: 0, 64: 0}.get(length, 4)
    return f"-j NETMAP --to {address(r.randrange(3), base, p.family)}/{length}"


def tcpmss_target(r: Random, p: Place) -> str | None:
    if p.table != "mangle":
        return None
    how = (
        "--clamp-mss-to-pmtu"
        if p.has_out and r.random() < 0.5
        else f"--set-mss {r.choice((500, 1200, 1460))}"
    )
    return f"-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS {how}"


def set_ttl(r: Random, p: Place) -> str | None:
    if p.table != "mangle":
        return None
    name, option = ("TTL", "ttl") if p.family == 4 else ("HL", "hl")
    return f"-j {name} " + r.choice(
        (
            f"--{option}-set {r.choice((1, 2, 64, 255))}",
            f"--{option}-dec {r.choice((1, 5, 200))}",
            f"--{option}-inc {r.choice((1, 200))}",
        )
    )


def mangled(*choices: str) -> Words:
    return lambda r, p: r.choice(choices) if p.table == "mangle" else None


def ecn_target(r: Random, p: Place) -> str | None:
    return "-p tcp -j ECN --ecn-tcp-remove" if (p.table, p.family) == ("mangle", 4) else None


def tee(r: Random, p: Place) -> str | None:
    if p.table != "mangle" or not p.has_out:
        return None  # of a packet for the node: its processes answer then, policy or not
    oif = f" --oif {r.choice(('eth0', 'eth1', 'br0', 'none'))}" if r.random() < 0.2 else ""
    return f"-j TEE --gateway {address(r.randrange(3), r.choice((2, 3)), p.family)}{oif}"


def hmark(r: Random, p: Place) -> str | None:
    if p.table not in ("raw", "mangle"):
        return None
    most = 32 if p.family == 4 else 128
    masks = (
        f"--hmark-src-prefix {r.choice((most, 24))}", f"--hmark-dst-prefix {r.choice((most, 8))}",
        f"--hmark-sport-mask {r.choice(('0xffff', '0x00ff'))}", "--hmark-dport-mask 0xffff",
        "--hmark-dport 0x0050", "--hmark-proto-mask 0xff",
    )  # fmt: skip
    some = " ".join(mask for mask in masks if r.random() < 0.5) or masks[0]
    connection = " --hmark-tuple ct" if r.random() < 0.3 else ""
    return f"-j HMARK {some} --hmark-rnd 0x{r.randrange(1, 99):08x} --hmark-mod 4{connection}"


def tproxy(r: Random, p: Place) -> str | None:
    if (p.table, p.hook) != ("mangle", "PREROUTING"):
        return None
    return f"-p {r.choice(('tcp', 'udp'))} -j TPROXY --on-port {port(r)} --tproxy-mark 0x1/0x1"


def classify(r: Random, p: Place) -> str | None:
    return "-j CLASSIFY --set-class 1:2" if p.table == "mangle" and p.has_out else None


TARGETS: dict[str, tuple[float, Words]] = {
    "": (2, lambda r, p: ""),
    "ACCEPT": (3, verdict("ACCEPT")), "DROP": (1.5, verdict("DROP")), "RETURN": (1, verdict("RETURN")),
    "REJECT": (3, reject), "MARK": (1.5, set_mark), "CONNMARK": (1, connmark), "CT": (1, track),
    "DNAT": (6, dnat), "SNAT": (5, snat), "MASQUERADE": (3, masquerade), "REDIRECT": (2, redirect),
    "NETMAP": (1, netmap), "TCPMSS": (1, tcpmss_target), "TTL": (1, set_ttl),
    "TOS": (1, mangled("-j TOS --set-tos 0x10/0x3f", "-j TOS --set-tos 0x08/0xff", "-j TOS --or-tos 0x04")),
    "DSCP": (1, mangled("-j DSCP --set-dscp 0x04", "-j DSCP --set-dscp 0x2e")),
    "ECN": (0.5, ecn_target), "TEE": (0.5, tee), "TPROXY": (0.5, tproxy),
    "CLASSIFY": (0.3, classify), "CHECKSUM": (0.3, mangled("-p udp -j CHECKSUM --checksum-fill")),
    "HMARK": (0.7, hmark),
    "TCPOPTSTRIP": (0.4, mangled("-p tcp -j TCPOPTSTRIP --strip-options 2",
                                 "-p tcp -j TCPOPTSTRIP --strip-options 3,4,8")),
    "CONNSECMARK": (0.2, mangled("-j CONNSECMARK --save", "-j CONNSECMARK --restore")),
    "NFLOG": (0.3, lambda r, p: "-j NFLOG --nflog-group 7"), "AUDIT": (0.2, lambda r, p: "-j AUDIT --type accept"),
    "NFQUEUE": (0.2, lambda r, p: "-j NFQUEUE --queue-num 3 --queue-bypass"),
}  # fmt: skip


# Rule sets.


def rule(r: Random, place: Place, jumps: list[str]) -> str:
    """A rule's words behind `-A CHAIN`, nearly always of what is modelled."""
    for _ in range(60):
        words = _try_rule(r, place, jumps)
        if words is not None and (is_modelled(words, place) or r.random() < UNMODELLED_ODDS):
            return words
    return "-j ACCEPT"


def _try_rule(r: Random, place: Place, jumps: list[str]) -> str | None:
    words: list[str | None] = []
    for name in r.sample(sorted(HEADER), r.choice((0, 0, 1, 1, 2))):
        words.append(HEADER[name](r, place))
    for name in r.sample(sorted(MATCHES), r.choice((0, 1, 1, 1, 2))):
        words.append(MATCHES[name](r, place))
    if jumps and r.random() < 0.3:
        words.append(f"-{r.choice('jjjg')} {r.choice(jumps)}")
    else:
        names = sorted(TARGETS)
        (name,) = r.choices(names, [TARGETS[name][0] for name in names])
        words.append(TARGETS[name][1](r, place))
    if None in words:
        return None
    text = " ".join(word for word in words if word)
    # Two protocols in a rule are refused, and so is a negated one before options of its own.
    return text if text.count("-p ") <= 1 else None


def is_modelled(words: str, place: Place) -> bool:
    own = {word for word in words.split() if word.startswith("c-")}
    heads = "".join(f":{chain} - [0:0]\n" for chain in ("X", *own))
    try:
        text = f"*filter\n{heads}-A X {words}\nCOMMIT\n"
        ruleset = iptables.parse(text, "rule", family=place.family)
    except DataplaneError:
        return False
    (found,) = ruleset.tables["filter"].chains["X"].rules
    rows = [row for m in found.matches for row in match_rows(m, Pools(), place.family)]
    if any(row[4] == MatchKind.MATCH_UNKNOWN for row in rows):
        return False
    if found.target is None or found.target.goto or found.target.name.startswith("c-"):
        return True
    return target_row(found.target, place.family, Pools())[0] != TargetKind.TARGET_UNKNOWN


def ruleset(r: Random, family: int, flavour: str) -> str:
    """The text of an iptables-restore file; every packet is traced from raw on."""
    tables = {"raw"} | {
        name for name in CHAINS if r.random() < (0.6 if name != "security" else 0.1)
    }
    return "".join(_table(r, name, family, flavour) for name in CHAINS if name in tables)


def _table(r: Random, table: str, family: int, flavour: str) -> str:
    lines, heads = [], []
    for hook in CHAINS[table].split():
        policy = "DROP" if table != "nat" and r.random() < 0.06 else "ACCEPT"
        heads.append(f":{hook} {policy} [0:0]")
        place = Place(family, flavour, table, hook)
        own = [f"c-{hook.lower()}-{number}" for number in range(r.choice((0, 0, 1, 2)))]
        heads += [f":{chain} - [0:0]" for chain in own]
        for depth, chain in enumerate([hook, *own]):
            if table == "raw" and chain in ("PREROUTING", "OUTPUT"):
                lines.append(f"-A {chain} -j TRACE")
            jumps = own[depth:]
            for _ in range(r.choice((0, 1, 2, 3, 5))):
                lines.append(f"-A {chain} {rule(r, place, jumps)}")
    return "\n".join([f"*{table}", *heads, *lines, "COMMIT", ""])


SYSCTLS: dict[str, tuple[str, ...]] = {
    "net.netfilter.nf_conntrack_tcp_be_liberal": ("0", "1"),
    "net.netfilter.nf_conntrack_tcp_loose": ("1", "0"),
    "net.netfilter.nf_conntrack_checksum": ("1", "0"),
    "net.netfilter.nf_conntrack_udp_timeout": ("30", "77"),
    "net.netfilter.nf_conntrack_icmp_timeout": ("30", "55"),
    "net.netfilter.nf_conntrack_generic_timeout": ("600", "66"),
    "net.netfilter.nf_conntrack_tcp_timeout_established": ("432000", "1000"),
    "net.netfilter.nf_conntrack_tcp_timeout_syn_sent": ("120", "99"),
    "net.ipv4.conf.all.rp_filter": ("0", "1", "2"),
    "net.ipv4.conf.all.route_localnet": ("0", "1"),
    "net.ipv4.conf.all.accept_local": ("0", "1"),
    "net.bridge.bridge-nf-call-iptables": ("1", "0"),
    "net.bridge.bridge-nf-call-ip6tables": ("1", "0"),
    "net.ipv4.ip_forward": ("1", "1", "1", "0"),
    "net.ipv6.conf.all.forwarding": ("1", "1", "1", "0"),
}


def sysctls(r: Random) -> dict[str, str]:
    return {name: r.choice(values) for name, values in SYSCTLS.items() if r.random() < 0.15}


def own_mac(device: str) -> str:
    """The address to which a host on that device sends what the node is to route."""
    return node_mac("br0" if device in PORTS else device)
