"""What an API server refuses in names, labels, ports and addresses.

Each rule takes the value as written, gives it back (parsed, where it stands for something)
and raises ValueError with what was expected.  Sources: apimachinery util/validation and
pkg/apis/core/validation, v1.33.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from dataplane.cluster.objects import Address, Network
from dataplane.cluster.wording import quoted

PROTOCOLS = ("TCP", "UDP", "SCTP")

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_DOTTED_QUAD = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){3}")


def dns_label(name: str) -> str:
    """RFC 1123 label: Namespaces, Services, names of ports of a Service."""
    if len(name) > 63 or not _LABEL.fullmatch(name):
        raise ValueError(
            f'{quoted(name)} is not a DNS label (a-z, 0-9 and "-" inside, at most 63 characters)'
        )
    return name


def dns_subdomain(name: str) -> str:
    """RFC 1123 subdomain: Nodes, Pods, EndpointSlices."""
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} is not a DNS name"
            ' (a-z, 0-9, "-" and "." inside, at most 253 characters)'
        )
    return name


def port_name(name: str) -> str:
    """IANA service name, RFC 6335 section 5.1: container ports and targetPort."""
    if name.isdecimal():
        raise ValueError(f"{quoted(name)} is a string: write a port number without quotes")
    letters = any(letter.isalpha() for letter in name)
    if len(name) > 15 or not letters or "--" in name or not _LABEL.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} is not a port name"
            ' (a-z, 0-9 and single "-" inside, a letter, at most 15 characters)'
        )
    return name


def kind_name(kind: str) -> str:
    if not _KIND.fullmatch(kind):
        raise ValueError(f"{quoted(kind)} is not a kind")
    return kind


def label_key(key: str) -> str:
    """`name` or `prefix/name`."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        dns_subdomain(prefix)
    if len(name) > 63 or not _QUALIFIED.fullmatch(name):
        raise ValueError(
            f"{quoted(key)} is not a label key"
            ' (letters, digits, "-", "_" and "." inside, at most 63 characters)'
        )
    return key


def label_value(value: str) -> str:
    if value and (len(value) > 63 or not _QUALIFIED.fullmatch(value)):
        raise ValueError(
            f"{quoted(value)} is not a label value"
            ' (letters, digits, "-", "_" and "." inside, at most 63 characters)'
        )
    return value


def port_number(number: int) -> int:
    if not 1 <= number <= 65535:
        raise ValueError(f"{number}, but 1-65535 allowed")
    return number


def address(text: str) -> Address:
    """An IP address as netutils.ParseIPSloppy reads it.

    Leading zeros are decimal, an IPv4-mapped address is IPv4, a zone (`%eth0`) is refused.
    """
    try:
        parsed = ip_address(_without_leading_zeros(text))
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IP address") from None
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            raise ValueError(f"{quoted(text)} is not an IP address without a zone")
        return parsed.ipv4_mapped or parsed
    return parsed


def endpoint_address(text: str) -> Address:
    """An address that traffic can be sent to (ValidateNonSpecialIP)."""
    parsed = address(text)
    special = {
        "unspecified": parsed.is_unspecified,
        "loopback": parsed.is_loopback,
        "link-local": parsed.is_link_local,
        "link-local multicast": parsed.is_multicast and _is_link_local_multicast(parsed),
    }
    for kind, applies in special.items():
        if applies:
            raise ValueError(f"{parsed} is {kind}, which an endpoint may not be")
    return parsed


def network(text: str) -> Network:
    """A CIDR; bits behind the prefix are cleared, as net.ParseCIDR does."""
    host, slash, length = text.partition("/")
    if slash and re.fullmatch("[0-9]{1,3}", length) and "%" not in host:
        try:
            return ip_network(f"{_without_leading_zeros(host)}/{int(length)}", strict=False)
        except ValueError:
            pass
    raise ValueError(f"{quoted(text)} is not a CIDR (as 10.244.1.0/24)")


def _is_link_local_multicast(parsed: Address) -> bool:
    if isinstance(parsed, IPv4Address):
        return parsed in ip_network("224.0.0.0/24")
    return parsed in ip_network("ff02::/16")


def _without_leading_zeros(text: str) -> str:
    if _DOTTED_QUAD.fullmatch(text):
        return ".".join(str(int(part)) for part in text.split("."))
    return text
