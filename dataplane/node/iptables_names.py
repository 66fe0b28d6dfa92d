"""Names that iptables takes for numbers, and the order in which it prints lists of names."""

# Printed in the order of these (libxt_conntrack.c, print_state and print_status, v1.8.9).
CT_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
CT_STATUSES = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
ADDRESS_TYPES = (
    "UNSPEC",
    "UNICAST",
    "LOCAL",
    "BROADCAST",
    "ANYCAST",
    "MULTICAST",
    "BLACKHOLE",
    "UNREACHABLE",
    "PROHIBIT",
    "THROW",
    "NAT",
    "XRESOLVE",
)
HASHLIMIT_MODES = ("srcip", "srcport", "dstip", "dstport")
DCCP_TYPES = (
    "REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC",
    "SYNCACK", "INVALID",
)  # fmt: skip
SCTP_CHUNKS = (
    "DATA", "INIT", "INIT_ACK", "SACK", "HEARTBEAT", "HEARTBEAT_ACK", "ABORT", "SHUTDOWN",
    "SHUTDOWN_ACK", "ERROR", "COOKIE_ECHO", "COOKIE_ACK", "ECN_ECNE", "ECN_CWR",
    "SHUTDOWN_COMPLETE", "I_DATA", "ASCONF_ACK", "RE_CONFIG", "PAD", "FORWARD_TSN", "ASCONF",
)  # fmt: skip
# Their letters in the order in which they are printed: from bit 7 of the flags down.
SCTP_FLAGS = {"DATA": "IUBE", "I_DATA": "IUBE", "ABORT": "T", "SHUTDOWN_COMPLETE": "T"}
CT_EVENTS = (
    "new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo",
    "secmark",
)  # fmt: skip
PACKET_TYPES = {
    "unicast": "unicast", "host": "unicast", "broadcast": "broadcast", "bcast": "broadcast",
    "multicast": "multicast", "mcast": "multicast", "otherhost": "otherhost",
}  # fmt: skip
TCP_OPTIONS = {"mss": 2, "wscale": 3, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}
# HMARK's tuple to the mask of each of its parts (None: of the family's length).
HMARK_PARTS: dict[str, tuple[str, str | None]] = {
    "src": ("--hmark-src-prefix", None),
    "dst": ("--hmark-dst-prefix", None),
    "sport": ("--hmark-sport-mask", "0xffff"),
    "dport": ("--hmark-dport-mask", "0xffff"),
    "proto": ("--hmark-proto-mask", "0xffff"),
    "spi": ("--hmark-spi-mask", "0xffffffff"),
    "ct": ("--hmark-tuple", "ct"),
}

# type, or type/code: what iptables-save prints.
ICMP_TYPES = {
    "any": "any",
    "echo-reply": "0",
    "pong": "0",
    "destination-unreachable": "3",
    "network-unreachable": "3/0",
    "host-unreachable": "3/1",
    "protocol-unreachable": "3/2",
    "port-unreachable": "3/3",
    "fragmentation-needed": "3/4",
    "source-route-failed": "3/5",
    "network-unknown": "3/6",
    "host-unknown": "3/7",
    "network-prohibited": "3/9",
    "host-prohibited": "3/10",
    "tos-network-unreachable": "3/11",
    "tos-host-unreachable": "3/12",
    "communication-prohibited": "3/13",
    "host-precedence-violation": "3/14",
    "precedence-cutoff": "3/15",
    "source-quench": "4",
    "redirect": "5",
    "network-redirect": "5/0",
    "host-redirect": "5/1",
    "tos-network-redirect": "5/2",
    "tos-host-redirect": "5/3",
    "echo-request": "8",
    "ping": "8",
    "router-advertisement": "9",
    "router-solicitation": "10",
    "time-exceeded": "11",
    "ttl-exceeded": "11",
    "ttl-zero-during-transit": "11/0",
    "ttl-zero-during-reassembly": "11/1",
    "parameter-problem": "12",
    "ip-header-bad": "12/0",
    "required-option-missing": "12/1",
    "timestamp-request": "13",
    "timestamp-reply": "14",
    "address-mask-request": "17",
    "address-mask-reply": "18",
}
ICMP6_TYPES = {
    "destination-unreachable": "1",
    "no-route": "1/0",
    "communication-prohibited": "1/1",
    "beyond-scope": "1/2",
    "address-unreachable": "1/3",
    "port-unreachable": "1/4",
    "failed-policy": "1/5",
    "reject-route": "1/6",
    "packet-too-big": "2",
    "time-exceeded": "3",
    "ttl-exceeded": "3",
    "ttl-zero-during-transit": "3/0",
    "ttl-zero-during-reassembly": "3/1",
    "parameter-problem": "4",
    "bad-header": "4/0",
    "unknown-header-type": "4/1",
    "unknown-option": "4/2",
    "echo-request": "128",
    "ping": "128",
    "echo-reply": "129",
    "pong": "129",
    "router-solicitation": "133",
    "router-advertisement": "134",
    "neighbour-solicitation": "135",
    "neighbor-solicitation": "135",
    "neighbour-advertisement": "136",
    "neighbor-advertisement": "136",
    "redirect": "137",
}

# Short names of `--reject-with`, by family; the long names follow.
REJECTS: dict[int, dict[str, str]] = {
    4: {
        "net-unreach": "icmp-net-unreachable",
        "host-unreach": "icmp-host-unreachable",
        "proto-unreach": "icmp-proto-unreachable",
        "port-unreach": "icmp-port-unreachable",
        "net-prohib": "icmp-net-prohibited",
        "host-prohib": "icmp-host-prohibited",
        "admin-prohib": "icmp-admin-prohibited",
        "tcp-rst": "tcp-reset",
    },
    6: {
        "no-route": "icmp6-no-route",
        "adm-prohibited": "icmp6-adm-prohibited",
        "addr-unreach": "icmp6-addr-unreachable",
        "icmp6-addr-unreach": "icmp6-addr-unreachable",
        "port-unreach": "icmp6-port-unreachable",
        "policy-fail": "icmp6-policy-fail",
        "reject-route": "icmp6-reject-route",
        "tcp-reset": "tcp-reset",
    },
}
LOG_LEVELS = {
    "emerg": 0,
    "panic": 0,
    "alert": 1,
    "crit": 2,
    "error": 3,
    "warning": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}
TOS_NAMES = {
    "minimize-delay": 0x10,
    "maximize-throughput": 0x08,
    "maximize-reliability": 0x04,
    "minimize-cost": 0x02,
    "normal-service": 0x00,
}
# RFC 2474, RFC 2597 (AFxy = 8x + 2y) and RFC 3246.
DSCP_CLASSES = {
    "be": 0,
    "ef": 0x2E,
    **{f"cs{number}": 8 * number for number in range(8)},
    **{f"af{x}{y}": 8 * x + 2 * y for x in range(1, 5) for y in range(1, 4)},
}
