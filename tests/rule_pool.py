"""Matches and targets for random rules: each asks for what some packet of the tests has.

`{a}` and `{b}` stand for two devices of the node.
"""

BOTH_FAMILIES = [
    "", "-p tcp", "! -p tcp", "-p udp", "-i {a}", "! -i {a}", "-i {b}+", "-o {b}", "-o +",
    "! -o {b}",
    "-p tcp -m tcp --dport 80", "-p tcp -m tcp ! --dport 80:90",
    "-p tcp -m tcp --tcp-flags SYN,ACK SYN", "-p tcp -m tcp --tcp-option 2",
    "-p udp -m udp --sport 1000 --dport 80", "-p udp -m udp ! --sport 1000",
    "-p udp -m udp --dport 90:70", "-p udp -m udp ! --dport 90:70", "-p tcp -m tcp ! --dport 0:80",
    "-p udp -m udp ! --sport 0:80", "-m length --length 60:40", "-m length ! --length 60:40",
    "-p esp -m esp --espspi 9:6",
    "-p tcp -m multiport --dports 80,443", "-p tcp -m multiport ! --ports 1:100",
    "-m mark --mark 0x1", "-m mark ! --mark 0x1/0x3", "-m comment --comment x",
    "-m length --length 40:50", "-m length ! --length 60:65535",
    "-m tos --tos 0x10/0x3f", "-m tos ! --tos 0x00/0xff", "-m dscp --dscp 0x0a",
    "-m dscp ! --dscp 0x00", "-m ecn --ecn-ip-ect 2", "-m ecn ! --ecn-ip-ect 0",
    "-p tcp -m ecn --ecn-tcp-cwr", "-p tcp -m ecn ! --ecn-tcp-ece --ecn-tcp-cwr",
    "-m mac --mac-source 02:00:00:00:00:02", "-m mac ! --mac-source 02:00:00:00:00:02",
    "-p tcp -m tcpmss --mss 1460", "-p tcp -m tcpmss ! --mss 1:1000",
    "-p esp -m esp --espspi 5", "-p esp -m esp ! --espspi 6:9", "-p sctp -m sctp --dport 80",
    "-p sctp -m sctp --chunk-types any DATA:Be,INIT",
    "-p sctp -m sctp --chunk-types only SACK,DATA",
    "-p sctp -m sctp ! --chunk-types all INIT,DATA:B",
    "-p dccp -m dccp --dport 80", "-p dccp -m dccp ! --dport 80 --dccp-types REQUEST",
    "-p dccp -m dccp ! --dccp-types REQUEST,DATA", "-p dccp -m dccp --dccp-types SYNCACK,INVALID",
    "-p dccp -m dccp --dccp-option 32", "-p dccp -m dccp --sport 1000 ! --dccp-option 44",
    "-p dccp -m dccp --dccp-types RESET,DATAACK --dccp-option 1",
    '-m u32 --u32 "0x6&0xff=0x6,0x11"', '-m u32 ! --u32 "0x0>>0x16&0x3c@0x0>>0x10=0x3e8"',
    '-m u32 --u32 "0x0>>0x16&0x3c@0xc>>0x1a&0x3c@0x0=0x0:0x61616161"',
    '-m u32 --u32 "0x0<<0x8=0x0:0xffff&&0x40=0x0"', '-m u32 ! --u32 "0x0@0x0=0x0"',
    '-m string --string "aa" --algo bm', '-m string ! --string "Aa" --algo kmp --to 60 --icase',
    '-m string --hex-string "|0050|" --algo bm --from 20 --to 24',
    "-m pkttype --pkt-type unicast", "-m pkttype ! --pkt-type multicast",
]  # fmt: skip
IPV4 = [
    "-p ah -m ah --ahspi 5", "-p ah -m ah ! --ahspi 6:9",
    "-s 10.0.0.0/24", "! -s 10.0.0.2/32", "-d 10.0.1.2/32", "-f", "! -f",
    "-p icmp -m icmp --icmp-type 8/0", "-p icmp -m icmp ! --icmp-type 8",
    "-m iprange ! --dst-range 10.0.1.9-10.0.1.1",
    "-m iprange --src-range 10.0.0.1-10.0.0.2", "-m iprange ! --dst-range 10.0.1.3-10.0.1.9",
    "-m iprange ! --src-range 10.0.0.3-10.0.0.9 --dst-range 10.0.1.2-10.0.1.2",
    "-m ttl --ttl-eq 63", "-m ttl ! --ttl-eq 63", "-m ttl --ttl-lt 64", "-m ttl --ttl-gt 2",
]  # fmt: skip
IPV6 = [
    "-s fd00:0::/64", "! -s fd00::2/128", "-d fd00:1::2/128",
    "-p ipv6-icmp -m icmp6 --icmpv6-type 128/0", "-p ipv6-icmp -m icmp6 ! --icmpv6-type 129",
    "-m iprange --src-range fd00::1-fd00::2", "-m iprange ! --dst-range fd00:1::3-fd00:1::9",
    "-m hl --hl-eq 63", "-m hl ! --hl-eq 63", "-m hl --hl-lt 64", "-m hl --hl-gt 2",
    "-m frag", "-m frag --fragid 5", "-m frag --fragid 8:5", "-m frag ! --fragid 8:5",
    "-m rt --rt-segsleft 3:1", "-m ah ! --ahspi 9:6",
    "-m frag ! --fragid 5:8 --fragmore", "-m frag --fragres",
    "-m frag --fragfirst --fraglen 40", "-m frag --fraglast", "-m rt", "-m rt --rt-type 0",
    "-m rt ! --rt-type 0 --rt-segsleft 2", "-m rt ! --rt-segsleft 1:3 --rt-len 40",
    "-m rt --rt-type 0 --rt-0-res --rt-0-addrs fd00::1,fd00::2",
    "-m rt --rt-type 0 --rt-0-addrs fd00::2 --rt-0-not-strict", "-m rt ! --rt-len 8",
    "-m hbh", "-m hbh --hbh-len 8 --hbh-opts 1:4", "-m hbh ! --hbh-len 16 --hbh-opts 1,5",
    "-m dst", "-m dst ! --dst-len 8", "-m dst --dst-opts 1:2,0,0", "-m dst --dst-opts 1",
    "-m dst --dst-opts 0,1:3", "-m dst --dst-len 8 --dst-opts 30:2,0", "-m ah",
    "-m ah --ahspi 5 --ahres", "-m ah ! --ahspi 6:9 ! --ahlen 12", "-m ah --ahlen 24",
    "-p mobility-header -m mh", "-p mobility-header -m mh --mh-type 5",
    "-p mobility-header -m mh ! --mh-type 3:5", "-m ipv6header --header ipv6-opts,protocol",
    "-m ipv6header ! --header hop-by-hop", "-m ipv6header --header ipv6-frag,ah --soft",
    "-m ipv6header ! --header ipv6-opts,ipv6-route --soft", "-m ipv6header --header protocol",
    "-m ipv6header --header ipv6-nonxt --soft", "-m ipv6header --header ipv6-opts",
    "-m ipv6header --header ipv6-opts,esp", "-m ipv6header --header esp",
]  # fmt: skip
CONNTRACK = [
    "-m conntrack --ctstate NEW", "-m conntrack ! --ctstate ESTABLISHED,RELATED",
    "-m conntrack --ctorigdstport 90:70", "-m conntrack ! --ctreplsrcport 90:70",
    "-m conntrack --ctstate INVALID", "-m state --state ESTABLISHED",
]  # fmt: skip
PLACE = ["-m addrtype --dst-type LOCAL", "-m addrtype ! --src-type UNICAST,LOCAL"]
# `{side}`: of a hook that has such a device.
ADDRESS_TYPES = [
    f"-m addrtype {words}{limit}"
    for words in (
        "--src-type LOCAL", "--dst-type LOCAL", "! --dst-type LOCAL", "--src-type UNICAST",
        "--dst-type UNICAST,LOCAL", "--dst-type MULTICAST", "--src-type UNSPEC",
        "--dst-type ANYCAST", "! --dst-type ANYCAST,LOCAL", "--dst-type UNREACHABLE",
        "! --src-type UNREACHABLE", "--dst-type UNREACHABLE,LOCAL,ANYCAST",
        "--src-type LOCAL --dst-type UNICAST", "--src-type UNICAST --dst-type UNREACHABLE",
    )
    for limit in ("", " --limit-iface-{side}")
]  # fmt: skip
ADDRESS_TYPES_IPV4 = [
    f"-m addrtype --{end}-type {words}{limit}"
    for end in ("src", "dst")
    for words in ("BROADCAST", "BLACKHOLE", "PROHIBIT,THROW", "LOCAL,BROADCAST")
    for limit in ("", " --limit-iface-{side}")
]
REVERSE_PATHS = [
    f"-m rpfilter{words}"
    for words in (
        "", " --loose", " --validmark", " --accept-local", " --invert", " --loose --accept-local",
        " --loose --validmark", " --loose --accept-local --invert",
    )
]  # fmt: skip
REALMS = [
    "-m realm --realm 0x5", "-m realm ! --realm 0x5", "-m realm --realm 0x0",
    "-m realm --realm 0x7/0xffff", "-m realm --realm 0x30000/0xffff0000",
    "-m realm ! --realm 0x0/0xffff", "-m realm --realm 0x0/0xffff0000",
]  # fmt: skip
# `{a}`, `{b}`: ports of a bridge.  Not in OUTPUT.
BRIDGE_PORTS = [
    "-m physdev --physdev-in {a}", "-m physdev ! --physdev-in {a}", "-m physdev --physdev-in {b}+",
    "-m physdev --physdev-is-in", "-m physdev ! --physdev-is-in",
    "-m physdev --physdev-is-bridged", "-m physdev ! --physdev-is-bridged",
    "-m physdev --physdev-is-out", "-m physdev ! --physdev-is-out",
    "-m physdev --physdev-out {b}", "-m physdev ! --physdev-out {b}", "-m physdev --physdev-out +",
    "-m physdev --physdev-in {a} ! --physdev-is-bridged",
    "-m physdev ! --physdev-in {b} --physdev-is-bridged ! --physdev-out {a}",
    "-m physdev ! --physdev-is-in ! --physdev-out {a}",
]  # fmt: skip
CHANCE = ["-m statistic --mode random --probability 0.5"]
MEMORY = ["-m statistic --mode nth --every 2 --packet 1"]
TARGETS = [
    "", "-j ACCEPT", "-j DROP", "-j RETURN", "-j LOG", "-j MARK --set-xmark 0x1/0x1",
    "-j MARK --set-xmark 0x1/0x0", "-j MARK --set-xmark 0x3/0xffffffff",
]  # fmt: skip
# Targets that change a packet or a mark: of a mangle table.
EDITS = [
    "-j TOS --set-tos 0x10/0xff", "-j TOS --set-tos 0x08/0x3f", "-j DSCP --set-dscp 0x0a",
    "-j MARK --set-xmark 0x3/0xffffffff", "-j CONNMARK --set-xmark 0x1/0x3",
    "-j CONNMARK --save-mark --nfmask 0x3 --ctmask 0x3",
    "-j CONNMARK --restore-mark --nfmask 0x1 --ctmask 0x3",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 500",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "-j CHECKSUM --checksum-fill",
    "-p tcp -j TCPOPTSTRIP --strip-options 2", "-p tcp -j TCPOPTSTRIP --strip-options 3,8",
    "-j HMARK --hmark-proto-mask 0xffff --hmark-rnd 0x00000007 --hmark-mod 2 --hmark-offset 2",
    "-j HMARK --hmark-sport-mask 0xffff --hmark-dport-mask 0xffff --hmark-rnd 0xdeadbeef "
    "--hmark-mod 3 --hmark-offset 1",
    "-j HMARK --hmark-src-prefix 30 --hmark-sport-mask 0x00ff --hmark-dport 0x0050 "
    "--hmark-rnd 0x00000001 --hmark-mod 3 --hmark-offset 1",
    "-j HMARK --hmark-src-prefix 32 --hmark-dst-prefix 32 --hmark-sport-mask 0xffff "
    "--hmark-dport-mask 0xffff --hmark-proto-mask 0xffff --hmark-rnd 0x00000009 --hmark-mod 3 "
    "--hmark-offset 1 --hmark-tuple ct",
    "-j HMARK --hmark-spi-mask 0xff00ffff --hmark-spi 0x00000007 --hmark-rnd 0x00000001 "
    "--hmark-mod 3 --hmark-offset 1",
    "-j NFLOG --nflog-group 7", "-j AUDIT --type accept", "-j CONNSECMARK --save",
]  # fmt: skip
EDITS_IPV4 = [
    "-j TTL --ttl-set 9", "-j TTL --ttl-inc 250", "-j TTL --ttl-dec 70",
    "-p tcp -j ECN --ecn-tcp-remove",
]  # fmt: skip
EDITS_IPV6 = ["-j HL --hl-set 9", "-j HL --hl-inc 250", "-j HL --hl-dec 70"]
# Copies for a host on {a}'s or {b}'s link, and for one beyond.
COPIES = {
    4: ["-j TEE --gateway 10.0.0.3", "-j TEE --gateway 10.0.1.4",
        "-p udp -j TEE --gateway 192.0.2.1",
        "-j TEE --gateway 10.0.1.2 --oif {b}", "-j TEE --gateway 10.0.0.5 --oif {b}",
        "-j TEE --gateway 10.0.1.2 --oif none"],
    6: ["-j TEE --gateway fd00::3", "-j TEE --gateway fd00:1::4",
        "-p udp -j TEE --gateway 2001:db8::1", "-j TEE --gateway fd00:1::2 --oif {b}",
        "-j TEE --gateway fd00::5 --oif {b}", "-j TEE --gateway fd00:1::2 --oif none"],
}  # fmt: skip
# Translations, by chain: of packets from 10.0.0.0/24 (fd00::/64) to 10.0.1.0/24 (fd00:1::/64).
DESTINATIONS = {
    4: [
        "-j DNAT --to-destination 10.0.1.2-10.0.1.6", "-j NETMAP --to 10.0.1.0/28",
        "-j DNAT --to-destination 10.0.1.2-10.0.1.6 --persistent",
    ],
    6: [
        "-j DNAT --to-destination fd00:1::2-fd00:1::6", "-j NETMAP --to fd00:1::/124",
        "-j DNAT --to-destination fd00:1::2-fd00:1::6 --persistent",
        "-j DNAT --to-destination fd00:1::2-fd00:1:1::6",
    ],
}  # fmt: skip
SOURCES = {
    4: [
        "-j SNAT --to-source 10.0.1.5-10.0.1.8", "-j NETMAP --to 10.0.1.0/28",
        "-j SNAT --to-source 10.0.1.5-10.0.1.8 --persistent",
    ],
    6: [
        "-j SNAT --to-source fd00:1::5-fd00:1::8", "-j NETMAP --to fd00:1::/124",
        "-j SNAT --to-source fd00:1::5-fd00:1::8 --persistent",
    ],
}  # fmt: skip


def _translations(family: int) -> list[str]:
    """Small ranges that run out, of packets between {a} and {b}."""

    def at(side: int, low: int, high: int = 0, ports: str = "") -> str:
        hosts = [f"10.0.{side}.{n}" if family == 4 else f"fd00:{side}::{n}" for n in (low, high)]
        text = "-".join(hosts[: 2 if high else 1])
        if not ports:
            return text
        return f"{text}:{ports}" if family == 4 else f"[{text}]:{ports}"

    return [
        "POSTROUTING -o eth1 -j MASQUERADE", "POSTROUTING -j MASQUERADE --random",
        "POSTROUTING -p tcp -j MASQUERADE --to-ports 1000-1002",
        "POSTROUTING -p udp -j MASQUERADE --to-ports 1000-1001 --random-fully",
        f"POSTROUTING -o eth1 -j SNAT --to-source {at(1, 5)}",
        f"POSTROUTING -p tcp -j SNAT --to-source {at(1, 5, ports='1000')}",
        f"POSTROUTING -p tcp -j SNAT --to-source {at(1, 5, ports='1001-1002')}",
        f"POSTROUTING -p udp -j SNAT --to-source {at(1, 5, 6, '53-54')} --persistent",
        f"POSTROUTING -j SNAT --to-source {at(1, 5, 6)} --random",
        f"PREROUTING -i eth0 -j DNAT --to-destination {at(1, 2)}",
        f"PREROUTING -p tcp -j DNAT --to-destination {at(1, 2, ports='1000')}",
        f"PREROUTING -p tcp -j DNAT --to-destination {at(1, 2, ports='8080-8090/80')}",
        f"PREROUTING -p udp -j DNAT --to-destination {at(1, 2, 3, '80-81/1000')}",
        f"PREROUTING -p udp -j DNAT --to-destination {at(1, 2, ports='90-190')} --random",
        "PREROUTING -p tcp -j DNAT --to-destination :70-90/1000 --persistent",
        "PREROUTING -p udp -j REDIRECT", "PREROUTING -p tcp -j REDIRECT --to-ports 80-81",
        "PREROUTING -p tcp -j REDIRECT --to-ports 90-190 --random",
        f"POSTROUTING -o eth0 -j NETMAP --to {at(0, 4)}/{30 if family == 4 else 126}",
        f"PREROUTING -i eth1 -j NETMAP --to {at(0, 4)}/{30 if family == 4 else 126}",
    ]  # fmt: skip


TRANSLATIONS = {family: _translations(family) for family in (4, 6)}
