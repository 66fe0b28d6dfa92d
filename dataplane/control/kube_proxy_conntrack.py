"""The conntrack sysctls that kube-proxy sets when it starts (cmd/kube-proxy, v1.36).

nf_conntrack_max is left out: kube-proxy makes it of the number of CPUs.
"""

import re
from collections.abc import Mapping
from typing import Any

from dataplane.errors import ObjectError

PREFIX = "net.netfilter.nf_conntrack_"
LIBERAL = PREFIX + "tcp_be_liberal"
# field of `conntrack` -> (sysctl, seconds that kube-proxy sets by default; 0 leaves it alone)
TIMEOUTS = {
    "tcpEstablishedTimeout": ("tcp_timeout_established", 86400),
    "tcpCloseWaitTimeout": ("tcp_timeout_close_wait", 3600),
    "udpTimeout": ("udp_timeout", 0),
    "udpStreamTimeout": ("udp_timeout_stream", 0),
}
UNIT_SECONDS = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def sysctls(conntrack: Mapping[str, Any]) -> dict[str, str]:
    """Of the `conntrack` section of a KubeProxyConfiguration; raises ObjectError."""
    found: dict[str, str] = {}
    for key, (name, default) in TIMEOUTS.items():
        value = conntrack.get(key)
        seconds = default if value is None else _duration(key, value)
        if seconds:
            found[PREFIX + name] = str(seconds)
    liberal = conntrack.get("tcpBeLiberal", False)
    if not isinstance(liberal, bool):
        raise _bad("tcpBeLiberal", liberal, "true or false")
    if liberal:
        found[LIBERAL] = "1"
    return found


def _duration(key: str, value: object) -> int:
    """Whole seconds of a Go duration: `24h0m0s`, `1.5h`, `0s`."""
    text = str(value)
    if text == "0":
        return 0
    if not re.fullmatch(f"(?:{PART.pattern})+", text):
        raise _bad(key, value, "a duration such as 1h30m")
    return int(sum(float(number) * UNIT_SECONDS[unit] for number, unit in PART.findall(text)))


def _bad(key: str, value: object, expected: str) -> ObjectError:
    return ObjectError(
        f"KubeProxyConfiguration: bad conntrack.{key} {value!r}, expected {expected}"
    )
