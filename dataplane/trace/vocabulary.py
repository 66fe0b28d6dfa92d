"""The words for what happens: of steps, of conntrack's findings, of values that change."""

from dataplane.node.protocols import PROTOCOL_NAMES
from dataplane.reference.steps import EventKind, Generated, StepKind

BASE_CHAINS = frozenset(("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"))

KINDS = {
    StepKind.STEP_RULE: "rule",
    StepKind.STEP_DEVICE_IN: "device_in",
    StepKind.STEP_DEVICE_OUT: "device_out",
    StepKind.STEP_LOCAL_OUT: "local_out",
    StepKind.STEP_LOCAL_IN: "local_in",
    StepKind.STEP_CONNTRACK: "conntrack",
    StepKind.STEP_NAT: "nat",
    StepKind.STEP_ROUTE: "route",
    StepKind.STEP_NEIGHBOUR: "neighbour",
    StepKind.STEP_FDB: "fdb",
    StepKind.STEP_BRIDGE_PORT: "bridge_port",
    StepKind.STEP_BRIDGE_LOCAL: "bridge_local",
    StepKind.STEP_BRIDGE_FLOOD: "bridge_flood",
    StepKind.STEP_ENCAPSULATE: "encapsulate",
    StepKind.STEP_DECAPSULATE: "decapsulate",
    StepKind.STEP_GENERATE: "generate",
    StepKind.STEP_UNDECIDED: "undecided",
    StepKind.STEP_REASSEMBLE: "reassemble",
    StepKind.STEP_FRAGMENT: "fragment",
    StepKind.STEP_HOTDROP: "hotdrop",
    StepKind.STEP_RESUME: "resume",
    StepKind.STEP_UNKNOWN: "unknown",
}

# By ctinfo; the names of `-m conntrack --ctstate`, with the direction where there are two.
CTINFOS = (
    "ESTABLISHED",
    "RELATED",
    "NEW",
    "ESTABLISHED reply",
    "RELATED reply",
    "INVALID",
    "UNTRACKED",
)
FROM_RESPONDER = (3, 4)  # the ctinfos of packets that travel in reply direction

GENERATED = {
    Generated.GENERATED_ICMP_UNREACHABLE: "ICMP unreachable",
    Generated.GENERATED_ICMP_TIME_EXCEEDED: "ICMP time exceeded",
    Generated.GENERATED_ICMP_TOO_BIG: "ICMP packet too big",
    Generated.GENERATED_TCP_RESET: "TCP reset",
    Generated.GENERATED_ARP_REPLY: "ARP reply",
    Generated.GENERATED_ICMP_PARAMETER_PROBLEM: "ICMP parameter problem",
    Generated.GENERATED_ICMP_REDIRECT: "ICMP redirect",
    Generated.GENERATED_COPY: "copy",
}

CHANGES = {
    EventKind.EVENT_SRC: "src",
    EventKind.EVENT_DST: "dst",
    EventKind.EVENT_SPORT: "sport",
    EventKind.EVENT_DPORT: "dport",
    EventKind.EVENT_TTL: "ttl",
    EventKind.EVENT_MARK: "mark",
    EventKind.EVENT_TOS: "tos",
    EventKind.EVENT_CONNMARK: "connmark",
    EventKind.EVENT_MSS: "mss",
    EventKind.EVENT_OPTION: "TCP option",
    EventKind.EVENT_ETHER_SRC: "src MAC",
    EventKind.EVENT_ETHER_DST: "dst MAC",
    EventKind.EVENT_DRAW: "draw",
    EventKind.EVENT_OUTER_SPORT: "outer sport",
    EventKind.EVENT_IP_ID: "ip id",
}

TCP_FLAGS = ((1, "F"), (2, "S"), (4, "R"), (8, "P"), (16, "."), (32, "U"), (64, "E"), (128, "W"))

ICMP_TYPES = {
    (4, 0): "echo reply",
    (4, 3): "unreachable",
    (4, 5): "redirect",
    (4, 8): "echo request",
    (4, 11): "time exceeded",
    (4, 12): "parameter problem",
    (6, 1): "unreachable",
    (6, 2): "packet too big",
    (6, 3): "time exceeded",
    (6, 4): "parameter problem",
    (6, 128): "echo request",
    (6, 129): "echo reply",
    (6, 133): "router solicitation",
    (6, 134): "router advertisement",
    (6, 135): "neighbour solicitation",
    (6, 136): "neighbour advertisement",
}
ECHOES = frozenset(("echo request", "echo reply"))


def tcp_flags(flags: int) -> str:
    """As tcpdump writes them: `S`, `S.`, `P.`, `none`."""
    return "".join(letter for bit, letter in TCP_FLAGS if flags & bit) or "none"


def protocol(number: int) -> str:
    """tcp, udp, icmp, icmpv6, …; the number where there is no name."""
    if number == 58:
        return "icmpv6"
    return PROTOCOL_NAMES.get(number, str(number))
