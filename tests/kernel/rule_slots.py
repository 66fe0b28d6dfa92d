"""Values of rules, drawn at random and written in one of their ways: see rule_grammar.

Pools are small and hold the ends of ranges.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from random import Random

NUMBERS = (0, 1, 2, 5, 7, 8, 10, 63, 64, 100, 255, 1000, 65535)


class Draw:
    """Values of one family."""

    def __init__(self, random: Random, family: int):
        self.random = random
        self.family = family
        self.names = 0

    def one(self, *pool: str) -> str:
        return self.random.choice(pool)

    def some(self, pool: str, most: int = 4) -> str:
        """A comma list of some of a list of words."""
        words = pool.split()
        return ",".join(self.random.sample(words, self.random.randint(1, min(most, len(words)))))

    # Numbers and ports.

    def number(self, most: int, least: int = 0) -> str:
        """As strtoul(…, 0) reads it."""
        value = self.random.choice([n for n in (*NUMBERS, most) if least <= n <= most])
        if self.random.random() < 0.3:
            value = self.random.randint(least, most)
        return self.one(str(value), str(value), hex(value), f"0X{value:X}", f"0{value:o}")

    def span(self, most: int, is_open: bool = True) -> str:
        """`5`, `5:9`, and with open ends `5:` and `:9`."""
        low, high = sorted(self.random.randint(0, most) for _ in range(2))
        if self.random.random() < 0.2:
            low, high = self.random.choice(((0, most), (0, high), (low, most), (low, low)))
        ways = [str(low), hex(low), f"{low}:{high}", f"{low:#x}:{high}"]
        return self.one(*ways, *([f"{low}:", f":{high}"] if is_open else []))

    def masked(self, most: int) -> str:
        value = self.number(most)
        return self.one(value, f"{value}/{self.number(most)}", f"{value}/{most:#x}")

    def port(self) -> str:
        return self.one("http", "ssh", "domain", "https", "ntp", self.number(65535))

    def ports(self) -> str:
        return self.one(self.span(65535), self.port(), self.port(), "ssh:http")

    def numeric_ports(self) -> str:
        """multiport's: not every protocol has names for them."""
        spans = (self.span(65535, is_open=False) for _ in range(self.random.randint(1, 5)))
        return ",".join(span for span in spans if len(set(span.split(":"))) == span.count(":") + 1)

    def found_port(self) -> str:
        """One that is asked of getaddrinfo."""
        return self.one("http", "domain", "0", "80", "010", "65535", "70000")

    def found_ports(self) -> str:
        low, high = self.found_port(), self.found_port()
        return self.one(low, low, f"{low}:{high}", f"{low}:", f":{high}")

    # Addresses.

    def address(self) -> str:
        bits = self.random.choice((0, 1, 9, 0x1FF, self.random.getrandbits(16)))
        if self.family == 4:
            return str(IPv4Address((self.random.choice((10, 192, 224)) << 24) | bits))
        high = self.random.choice((0xFD00, 0x2001, 0xFE80))
        address = IPv6Address((high << 112) | bits)
        return self.one(str(address), str(address).upper(), address.exploded, "::ffff:1.2.3.4")

    def prefix(self) -> str:
        """A length, or a mask."""
        width = 32 if self.family == 4 else 128
        length = self.random.choice((0, 1, 8, 15, 24, 31, 32, self.random.randint(0, width), width))
        kind = IPv4Address if self.family == 4 else IPv6Address
        return self.one(str(length), str(kind((1 << width) - (1 << (width - length)))))

    def network(self) -> str:
        return self.one(self.address(), f"{self.address()}/{self.prefix()}")

    def short_network(self) -> str:
        pools = {4: "10/8 10.1 10.1/16 0x0a000001 010.0.0.1/24 10.300 1.2.3.4/010 167772161",
                 6: "::1:0 ::1.2.3.4/96 ::ffff:0:0/96 FE80::/10 0:0:0:0:0:0:1:2/127"}  # fmt: skip
        return self.one(*pools[self.family].split())

    def mask(self) -> str:
        pools = {4: ("255.255.255.0", "255.0.0.255"), 6: ("ffff::", "FFFF:ffff::ff")}
        return self.one(*pools[self.family])

    def address_span(self) -> str:
        first, last = sorted((self.address(), self.address()), key=_address_number)
        return self.one(first, f"{first}-{last}", f"{first}-{first}")

    def reject(self) -> str:
        pools = {
            4: "icmp-net-unreachable host-unreach icmp-proto-unreachable port-unreach net-unreach"
            " icmp-net-prohibited host-prohib icmp-admin-prohibited proto-unreach admin-prohib"
            " icmp-host-unreach",
            6: "icmp6-no-route no-route adm-prohibited icmp6-adm-prohibited addr-unreach"
            " icmp6-addr-unreachable port-unreach icmp6-port-unreachable policy-fail"
            " icmp6-policy-fail reject-route icmp6-reject-route",
        }
        return self.one(*pools[self.family].split())

    # Rates and times.

    def rate(self) -> str:
        units = "/s /sec /second /m /min /minute /h /hour /d /day /DAY"
        count = self.one(*["1", "2", "3", "7", "10", "24", "59", "100", "1000", "9999", "10000"])
        return count + self.one("", *units.split())

    def byte_rate(self) -> str:
        count = self.one(*["1", "3", "10", "512", "1000", "1024", "4000", "65536"])
        return f"{count}{self.one('b', 'kb', 'mb', 'KB')}/{self.one('s', 'sec', 'second')}"

    def burst_bytes(self) -> str:
        return self.one("1", "3", "512", "1000", "4096") + self.one("", "b", "kb", "mb")

    def bit_rate(self) -> str:
        count = self.one("0", "1", "8", "300", "1000", "12345", "1.5")
        return count + self.one("", "bit", "kbit", "Mbit", "bps", "kbps", "mbps", "kibit", "gbit")

    def time_of_day(self) -> str:
        hour, minute, second = (self.random.randint(0, most) for most in (23, 59, 59))
        return self.one(
            f"{hour}:{minute}", f"{hour:02}:{minute:02}:{second:02}", "00:00", "23:59:59",
        )  # fmt: skip

    def date(self) -> str:
        year, month, day = (self.random.randint(*ends) for ends in ((1971, 2037), (1, 12), (1, 31)))
        text = f"{year}-{month:02}-{day:02}T{self.random.randint(0, 23):02}:05:09"
        return self.one(text, str(year), text[:7], text[:10], text[:13], text[:16], "1970")

    # Bytes.

    def u32_tests(self) -> str:
        tests = (self._u32_test() for _ in range(self.random.randint(1, 3)))
        return '"' + self.one("&&", " && ").join(tests) + '"'

    def _u32_test(self) -> str:
        where = self.number(100)
        for _ in range(self.random.randint(0, 3)):
            where += self.one("&", ">>", "<<", "@", " & ", " @ ") + self.number(31)
        values = [self.span(1 << 20, is_open=False) for _ in range(self.random.randint(1, 3))]
        return where + self.one("=", " = ") + self.one(",", ", ").join(values)

    def tcp_flags(self) -> str:
        pool = "SYN ack FIN RST PSH URG"
        return f"{self.one('ALL', self.some(pool))} {self.one('NONE', self.some(pool, 2), 'ALL')}"

    def sctp_chunks(self) -> str:
        pool = (
            "INIT DATA DATA:Be data:ub SACK ABORT:T HEARTBEAT ERROR COOKIE_ECHO ASCONF PAD I_DATA"
            " SHUTDOWN_COMPLETE:t FORWARD_TSN RE_CONFIG ASCONF_ACK SHUTDOWN_COMPLETE DATA:UBEi"
        )
        return f"{self.one('all', 'any', 'only')} {self.one('ALL', 'NONE', self.some(pool))}"

    def hmark_tuple(self) -> str:
        return self.some(self.one("src dst sport dport proto ct", "src spi d"), 3)

    # Words.

    def new_name(self) -> str:
        """One that no other rule has."""
        self.names += 1
        return f"n{self.random.getrandbits(30):x}-{self.names}"

    def text(self) -> str:
        return self.one(*TEXTS)


def _address_number(text: str) -> int:
    return int(IPv6Address(text) if ":" in text else IPv4Address(text))


TEXTS = ("a", "a-b", '"a b"', "a/b", '"it\'s"', '"a\\"b"', "!")
LISTS = {
    "ct_states": "NEW established RELATED INVALID UNTRACKED SNAT DNAT est",
    "states": "NEW established RELATED INVALID UNTRACKED rel",
    "ct_statuses": "NONE EXPECTED seen_reply ASSURED CONFIRMED conf",
    "types": "LOCAL unicast BROADCAST MULTICAST ANYCAST UNSPEC BLACKHOLE UNREACHABLE PROHIBIT "
    "THROW NAT XRESOLVE loc",
    "dccp_types": "REQUEST response DATA ACK DATAACK CLOSEREQ CLOSE RESET SYNC SYNCACK INVALID",
    "hash_modes": "srcip dstip srcport dstport",
    "ct_events": "new related destroy reply assured protoinfo helper mark natseqinfo secmark",
    "tcp_options": "wscale sack-permitted sack timestamp md5 9 0xa 255 2 30",
    "opts": "1:2 5 2:0 0x1e:10 255:255 1 194:4 0",
    "headers": "hop hop-by-hop dst ipv6-opts route ipv6-route frag ipv6-frag auth ah esp none "
    "ipv6-nonxt prot protocol 0 43 60 50 255",
    "weekdays": "Mon Tue Wed 4 Fri Sa 7 Sunday 1",
    "monthdays": " ".join(map(str, range(1, 32))),
    "set_flags": "src dst",
}
POOLS = {
    "protocol": "tcp UDP 6 0x11 47 sctp 94 esp 1 254 icmp",
    "prefix": "0 1 8 24 31 32",
    "mac": "02:00:00:AB:cd:01 00:00:00:00:00:00 2:0:0:a:b:c",
    "interface": "eth0 eth+ lo cni0 veth1234567890a a.b",
    "icmp_type": "any echo-request 3 3/4 255 255/255 pong network-unreachable 0x8 0/0 8/0 ping "
    "12/1 fragmentation-needed TTL-exceeded host-unr timestamp-reply address-mask-request redirect",
    "icmp6_type": "echo-request 1 1/4 255 255/255 no-route packet-too-big 128/0 bad-header 0x80 "
    "neighbor-advertisement beyond-scope router-solicitation redirect port-unr pong 0",
    "mh_type": "binding-refresh-request brr home-test-init hoti coti bu binding-acknowledgement "
    "BA be 0:3 5 :4 3: 255 0x3 bu:be hot:5 cot 4:4 10:200",
    "dscp_class": "EF af21 CS0 cs7 BE AF43 af11",
    "tos_name": "Minimize-Delay maximize-throughput Minimize-Cost Normal-Service "
    "maximize-reliability",
    "pkt_type": "unicast broadcast multicast HOST bcast Mcast",
    "log_level": "emerg panic alert crit error warning notice info debug 0 4 7 0x6",
    "genre": "Linux Windows SunOS",
    "class": "1:10 0:0 ffff:FFFF 0001:000a a:b",
    "probability": "0 1 0.5 0.25 0.3333 .1 1e-3 1.0 0.9999999999",
    "interval": "250ms 0.4s 1s 2sec 3s 500000us 260000 250msec",
    "ewma": "5s 10s 20s 7000ms",
    "name": "a x1 a-b a_b a.b a/b !x it's",
}
QUOTED = {  # words that may need quotes
    "string": ("abc", '"a b"', "GET", '"x\\"y"', '"it\'s"', '"|41|"', '"back\\\\slash"', "é",
               '"ends with \\\\"'),
    "hex_string": ('"|0050|"', '"|00 ff|ab"', "abc", '"a|41|c"', '"|00|x|FF|"', '"GET |2f|"',
                   '"|616263|"', '"a\\\\b"'),
    "comment": ("x", '"a b"', '"it\'s \\"a\\" -A !"', '"!"', '""', "-j", '"a,b"', "é",
                '"kube-system/dns:dns-tcp"', '"$x;|"', "a\\\\b"),
    "prefix_text": ("x", '"a b "', '"[DROP] "', '"it\'s"', "a:b", '"\\"q\\""'),
}  # fmt: skip
SLOTS: dict[str, Callable[[Draw], str]] = {
    "u8": lambda draw: draw.number(255),
    "u16": lambda draw: draw.number(65535),
    "u32": lambda draw: draw.number(0xFFFFFFFF),
    "u64": lambda draw: draw.number((1 << 64) - 1),
    "few": lambda draw: draw.number(30, 1),
    "decimal": lambda draw: str(draw.random.choice(NUMBERS)),
    "u16_span": lambda draw: draw.span(65535),
    "u16_closed": lambda draw: draw.span(65535, is_open=False),
    "u32_span": lambda draw: draw.span(0xFFFFFFFF),
    "u64_span": lambda draw: draw.span(1 << 40),
    "mark": lambda draw: draw.masked(0xFFFFFFFF),
    "u8_masked": lambda draw: draw.masked(255),
    "dscp": lambda draw: draw.number(63),
    "odd": lambda draw: f"{draw.address()}/{draw.mask()}",
    "port_dash": lambda draw: draw.one(draw.number(65535, 1), "1000-2000", "http", "5-5"),
    "bracketed": lambda draw: f"[{draw.address_span()}]",
    "address_list": lambda draw: ",".join(draw.address() for _ in range(draw.random.randint(1, 4))),
    **{
        method.__name__: method
        for method in (
            Draw.ports, Draw.numeric_ports, Draw.found_port, Draw.found_ports, Draw.address,
            Draw.network, Draw.short_network, Draw.mask, Draw.address_span, Draw.reject, Draw.rate,
            Draw.byte_rate,
            Draw.burst_bytes, Draw.bit_rate, Draw.time_of_day, Draw.date, Draw.u32_tests,
            Draw.tcp_flags, Draw.sctp_chunks, Draw.hmark_tuple, Draw.new_name, Draw.text,
        )
    },
    **{name: lambda draw, pool=pool: draw.some(pool) for name, pool in LISTS.items()},
    **{name: lambda draw, pool=pool: draw.one(*pool.split()) for name, pool in POOLS.items()},
    **{name: lambda draw, pool=pool: draw.one(*pool) for name, pool in QUOTED.items()},
}  # fmt: skip
