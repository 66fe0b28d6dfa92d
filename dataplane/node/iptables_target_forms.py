"""The form of every option of every target: what it was written as, to what is printed.

Asked of iptables 1.8.9.  An option without a form stays as it is written.
"""

from functools import partial

from dataplane.node import iptables_forms as forms
from dataplane.node import iptables_forms_address as addresses
from dataplane.node import iptables_forms_names as names
from dataplane.node.iptables_match_forms import BYTE, SHORT, Form
from dataplane.node.iptables_names import CT_EVENTS, TCP_OPTIONS
from dataplane.node.iptables_rules import Option


def _zone(option: Option) -> Option:
    return option if option.values[0] == "mark" else forms.number(option, 65535)


def _events(option: Option) -> Option:
    return names.exact_names(CT_EVENTS, option)


def _delay(option: Option) -> Option | None:
    """LED's, in milliseconds; -1 is for ever."""
    if option.values[0] in ("inf", "-1"):
        return forms.valued(option, "-1")
    return forms.number_unless(option, 0)


TARGET_FORMS: dict[str, dict[str, Form]] = {
    # addresses and ports
    "DNAT": {"--to-destination": addresses.nat_range},
    "SNAT": {"--to-source": addresses.nat_range},
    "MASQUERADE": {"--to-ports": addresses.to_ports},
    "REDIRECT": {"--to-ports": addresses.to_ports},
    "NETMAP": {"--to": addresses.mapped_network},
    "TPROXY": {
        "--on-port": forms.found_port,
        "--on-ip": addresses.found_address,
        "--tproxy-mark": forms.masked_mark,
    },
    "DNPT": dict.fromkeys(("--src-pfx", "--dst-pfx"), addresses.masked_address),
    "SNPT": dict.fromkeys(("--src-pfx", "--dst-pfx"), addresses.masked_address),
    "CLUSTERIP": {
        "--clustermac": lambda option: forms.valued(option, names.mac(option).values[0].upper()),
        "--total-nodes": SHORT,
        "--local-node": SHORT,
        "--hash-init": forms.number,
    },
    # marks
    **{
        target: {
            "--set-xmark": partial(forms.set_xmark, "xset"),
            **{
                f"--{verb}-mark": partial(forms.set_xmark, verb)
                for verb in ("set", "and", "or", "xor")
            },
        }
        for target in ("MARK", "CONNMARK")
    },
    "CLASSIFY": {"--set-class": names.handle},
    "SET": {"--timeout": forms.number},
    "HMARK": {
        "--hmark-sport-mask": partial(forms.hex_number, digits=4, most=65535),
        "--hmark-dport-mask": partial(forms.hex_number, digits=4, most=65535),
        "--hmark-spi-mask": partial(forms.hex_number, digits=8),
        "--hmark-sport": partial(forms.hex_number, digits=4, most=65535),
        "--hmark-dport": partial(forms.hex_number, digits=4, most=65535),
        "--hmark-spi": partial(forms.hex_number, digits=8),
        "--hmark-proto-mask": partial(forms.hex_number, digits=2, most=65535),
        "--hmark-rnd": partial(forms.hex_number, digits=8),
        "--hmark-mod": forms.number,
        "--hmark-offset": forms.number,
    },
    # connections
    "CT": {
        "--zone": _zone,
        "--zone-orig": _zone,
        "--zone-reply": _zone,
        "--ctevents": _events,
        "--expevents": _events,
    },
    "SYNPROXY": {"--wscale": BYTE, "--mss": SHORT},
    # header edits
    "TCPMSS": {"--set-mss": SHORT},
    "TCPOPTSTRIP": {"--strip-options": partial(names.numbers_of, TCP_OPTIONS)},
    "TTL": {"--ttl-set": BYTE, "--ttl-dec": BYTE, "--ttl-inc": BYTE},
    "HL": {"--hl-set": BYTE, "--hl-dec": BYTE, "--hl-inc": BYTE},
    "DSCP": {"--set-dscp": forms.dscp, "--set-dscp-class": forms.dscp_class},
    "TOS": {
        "--set-tos": forms.tos,
        **{f"--{verb}-tos": partial(forms.set_tos, verb) for verb in ("and", "or", "xor")},
    },
    "ECN": {
        "--ecn-tcp-ece": partial(forms.number, most=1),
        "--ecn-tcp-cwr": partial(forms.number, most=1),
        "--ecn-ip-ect": partial(forms.number, most=3),
    },
    # answers and reports
    "LOG": {"--log-level": names.log_level},
    "NFLOG": {
        "--nflog-group": partial(forms.number_unless, silent=0, most=65535),
        "--nflog-range": partial(forms.number_unless, silent=0),
        "--nflog-size": forms.number,
        "--nflog-threshold": partial(forms.number_unless, silent=0, most=65535),
    },
    "ULOG": {
        "--ulog-nlgroup": partial(forms.number_unless, silent=1, most=32),
        "--ulog-cprange": partial(forms.number_unless, silent=0),
        "--ulog-qthreshold": partial(forms.number_unless, silent=1, most=50),
    },
    "NFQUEUE": {"--queue-num": SHORT, "--queue-balance": forms.ordered_range},
    "AUDIT": {"--type": partial(names.one_name, ("accept", "drop", "reject"))},
    "TEE": {"--gateway": addresses.found_address},
    "IDLETIMER": {"--timeout": forms.number},
    "LED": {"--led-delay": _delay},
}
