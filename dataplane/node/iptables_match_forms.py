"""The form of every option of every match: what it was written as, to what is printed.

Asked of iptables 1.8.9.  An option without a form stays as it is written.
"""

from collections.abc import Callable
from functools import partial

from dataplane.node import iptables_forms as forms
from dataplane.node import iptables_forms_address as addresses
from dataplane.node import iptables_forms_bytes as patterns
from dataplane.node import iptables_forms_ipv6 as ipv6
from dataplane.node import iptables_forms_names as names
from dataplane.node import iptables_forms_rate as rates
from dataplane.node import iptables_forms_time as times
from dataplane.node.iptables_names import (
    ADDRESS_TYPES,
    CT_STATES,
    CT_STATUSES,
    DCCP_TYPES,
    HASHLIMIT_MODES,
    ICMP6_TYPES,
    ICMP_TYPES,
)
from dataplane.node.iptables_rules import Option

Form = Callable[[Option], Option | None]

LONG = (1 << 64) - 1
BYTE = partial(forms.number, most=255)
SHORT = partial(forms.number, most=65535)
EVERY_PORT: dict[str, Form] = {"--sport": forms.every_port, "--dport": forms.every_port}
PORTS: dict[str, Form] = {"--sport": forms.ports, "--dport": forms.ports}
FOUND_PORTS: dict[str, Form] = dict.fromkeys(("--sport", "--dport"), forms.found_ports_unless_all)
SIDES = ("origsrc", "origdst", "replsrc", "repldst")

MATCH_FORMS: dict[str, dict[str, Form]] = {
    # protocols
    "tcp": PORTS | {"--tcp-option": BYTE, "--tcp-flags": names.tcp_flags, "--syn": names.syn},
    "udp": FOUND_PORTS,
    "udplite": FOUND_PORTS,
    "sctp": EVERY_PORT | {"--chunk-types": names.sctp_chunks},
    "dccp": {
        "--sport": forms.found_ports,
        "--dport": forms.found_ports,
        "--dccp-types": partial(names.names, DCCP_TYPES),
        "--dccp-option": BYTE,
    },
    "icmp": {"--icmp-type": partial(names.icmp_type, ICMP_TYPES)},
    "icmp6": {"--icmpv6-type": partial(names.icmp_type, ICMP6_TYPES)},
    "ah": {
        "--ahspi": forms.range_unless_all,
        "--ahlen": lambda option: (
            forms.number(option) if option.negated else forms.number_unless(option, 0)
        ),
    },
    "esp": {"--espspi": forms.range_unless_all},
    "ipcomp": {"--ipcompspi": partial(forms.number_range, most=forms.WORD)},
    "mh": {"--mh-type": ipv6.mh_type},
    "multiport": dict.fromkeys(("--sports", "--dports", "--ports"), forms.port_list),
    # the packet
    "mark": {"--mark": forms.mark},
    "length": {"--length": forms.number_range},
    "mac": {"--mac-source": names.mac},
    "pkttype": {"--pkt-type": names.packet_type},
    "ttl": {"--ttl-eq": BYTE, "--ttl-lt": BYTE, "--ttl-gt": BYTE},
    "hl": {"--hl-eq": BYTE, "--hl-lt": BYTE, "--hl-gt": BYTE},
    "tos": {"--tos": forms.tos},
    "dscp": {"--dscp": forms.dscp, "--dscp-class": forms.dscp_class},
    "ecn": {"--ecn-ip-ect": partial(forms.number, most=3)},
    "tcpmss": {"--mss": forms.ordered_range},
    "string": {
        "--string": patterns.text_pattern,
        "--hex-string": patterns.hex_pattern,
        "--from": partial(forms.number_unless, silent=0, most=65535),
        "--to": partial(forms.number_unless, silent=65535, most=65535),
    },
    "u32": {"--u32": patterns.u32_tests},
    "bpf": {"--bytecode": patterns.bytecode},
    # addresses and devices
    "addrtype": {
        "--src-type": partial(names.begun_names, ADDRESS_TYPES),
        "--dst-type": partial(names.begun_names, ADDRESS_TYPES),
    },
    "iprange": {"--src-range": addresses.address_range, "--dst-range": addresses.address_range},
    "set": {
        "--update-counters": forms.unless,
        "--update-subcounters": forms.unless,
        **dict.fromkeys(
            [f"--{what}-{how}" for what in ("packets", "bytes") for how in ("eq", "lt", "gt")],
            partial(forms.number, most=LONG),
        ),
    },
    "devgroup": dict.fromkeys(("--src-group", "--dst-group"), partial(forms.named_mark, "default")),
    "realm": {"--realm": partial(forms.named_mark, "cosmos")},
    "policy": {
        "--reqid": forms.number,
        "--spi": partial(forms.hex_number, digits=1),
        "--proto": names.named_protocol,
        "--tunnel-src": addresses.tested_address,
        "--tunnel-dst": addresses.tested_address,
    },
    # connections
    "conntrack": {
        "--ctstate": partial(names.begun_names, CT_STATES),
        "--ctstatus": partial(names.statuses, CT_STATUSES),
        "--ctproto": names.protocol,
        "--ctdir": partial(names.one_name, ("ORIGINAL", "REPLY")),
        "--ctexpire": partial(forms.number_range, most=forms.WORD),
        **{f"--ct{side}": addresses.tested_address for side in SIDES},
        **{f"--ct{side}port": forms.found_ports for side in SIDES},
    },
    "state": {"--state": partial(names.begun_names, CT_STATES[:5])},
    "connmark": {"--mark": forms.mark},
    "connbytes": {"--connbytes": forms.open_range},
    "connlimit": {"--connlimit-upto": forms.number, "--connlimit-above": forms.number},
    "ipvs": {
        "--vproto": names.protocol,
        "--vaddr": addresses.tested_address,
        "--vport": forms.found_port,
        "--vportctl": forms.found_port,
        "--vdir": partial(names.one_name, ("ORIGINAL", "REPLY")),
        "--vmethod": partial(names.one_name, ("GATE", "IPIP", "MASQ")),
    },
    "cluster": {
        "--cluster-local-nodemask": partial(forms.hex_number, digits=8),
        "--cluster-total-nodes": partial(forms.number, most=32),
        "--cluster-hash-seed": partial(forms.hex_number, digits=8),
    },
    # the sender
    "owner": {"--uid-owner": forms.id_range, "--gid-owner": forms.id_range},
    "cgroup": {"--cgroup": forms.number},
    "cpu": {"--cpu": forms.number},
    # memories and counters
    "limit": {"--limit": rates.limit_rate, "--limit-burst": rates.burst},
    "hashlimit": {
        "--hashlimit-mode": partial(names.exact_names, HASHLIMIT_MODES),
        "--hashlimit-htable-size": partial(forms.number_unless, silent=0),
        "--hashlimit-htable-max": partial(forms.number_unless, silent=0),
        "--hashlimit-htable-gcinterval": partial(forms.number_unless, silent=1000),
        "--hashlimit-htable-expire": forms.number,
        "--hashlimit-rate-interval": forms.decimal,
    },
    "recent": {
        "--seconds": forms.number,
        "--hitcount": forms.number,
        "--mask": addresses.found_address,
    },
    "statistic": {
        "--mode": names.lower,
        "--probability": forms.probability,
        "--every": forms.number,
        "--packet": forms.number,
    },
    "quota": {"--quota": partial(forms.number, most=LONG)},
    "time": {
        "--datestart": times.first_date,
        "--datestop": times.date,
        "--timestart": times.time_of_day,
        "--timestop": times.time_of_day,
        "--weekdays": times.weekdays,
        "--monthdays": times.monthdays,
    },
    # IPv6 headers
    "ipv6header": {"--header": ipv6.headers},
    "frag": {"--fragid": forms.range_unless_all, "--fraglen": forms.number},
    "dst": {"--dst-len": SHORT, "--dst-opts": ipv6.header_options},
    "hbh": {"--hbh-len": SHORT, "--hbh-opts": ipv6.header_options},
    "rt": {
        "--rt-type": BYTE,
        "--rt-segsleft": forms.range_unless_all,
        "--rt-len": forms.number,
        "--rt-0-addrs": addresses.address_list,
    },
    "srh": {
        "--srh-tag": SHORT,
        "--srh-next-hdr": BYTE,
        **dict.fromkeys(
            [
                f"--srh-{what}-{how}"
                for what in ("hdr-len", "segs-left", "last-entry")
                for how in ("eq", "gt", "lt")
            ],
            BYTE,
        ),
        **{f"--srh-{which}sid": addresses.masked_address for which in "pnl"},
    },
}
