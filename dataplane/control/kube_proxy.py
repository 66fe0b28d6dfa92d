"""kube-proxy's options (KubeProxyConfiguration v1alpha1), and what it asks of its node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import Any

from dataplane.cluster.objects import Address, Network, Node
from dataplane.control import kube_proxy_conntrack
from dataplane.errors import ObjectError, UsageError

DETECT_LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
MODES = ("iptables", "ipvs", "nftables")
ANY = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


@dataclass(frozen=True)
class KubeProxyOptions:
    mode: str = "iptables"
    cluster_cidrs: tuple[Network, ...] = ()
    detect_local_mode: str = "ClusterCIDR"
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    localhost_node_ports: bool = True
    node_port_addresses: tuple[str, ...] = ()  # CIDRs, or the word "primary"
    conntrack_sysctls: Mapping[str, str] = field(
        default_factory=lambda: kube_proxy_conntrack.sysctls({})
    )

    @property
    def masquerade_mark(self) -> int:
        return 1 << self.masquerade_bit

    def node_port_ranges(self, host: "ProxyHost", family: int) -> list[Network]:
        """Where NodePorts answer; the zero network alone if on every address.

        A family that no range is given for answers everywhere (nodeport_addresses.go).
        """
        ranges: list[Network] = []
        for text in self.node_port_addresses:
            if text == "primary":
                primary = host.node_ip(family)
                ranges += [ip_network(primary)] if primary else []
            elif (network := ip_network(text, strict=False)).version == family:
                ranges.append(network)
        if not ranges or any(network.prefixlen == 0 for network in ranges):
            return [ANY[family]]
        return ranges


@dataclass(frozen=True)
class ProxyHost:
    """The node that a kube-proxy runs on."""

    node: Node
    addresses: tuple[Address, ...] = ()  # of all its devices, the loopback's too
    nfacct: bool = True  # the kernel has xt_nfacct, and kube-proxy could make its counters
    random_fully: bool = True  # iptables knows MASQUERADE --random-fully (1.6.2)
    sysctls: Mapping[str, str] = field(default_factory=dict)

    def node_ip(self, family: int) -> Address | None:
        return next((ip for ip in self.node.internal_ips if ip.version == family), None)

    @property
    def tcp_be_liberal(self) -> bool:
        return self.sysctls.get(kube_proxy_conntrack.LIBERAL, "0") != "0"


def options(configuration: Mapping[str, Any]) -> KubeProxyOptions:
    """Read from a KubeProxyConfiguration; what is not set has kube-proxy's default.

    raises  ObjectError for values that kube-proxy would refuse to start with
    """
    iptables = _mapping(configuration, "iptables")
    detect = _mapping(configuration, "detectLocal")
    return KubeProxyOptions(
        mode=_choice(configuration, "mode", MODES),
        cluster_cidrs=_networks(configuration),
        detect_local_mode=_choice(configuration, "detectLocalMode", DETECT_LOCAL_MODES),
        bridge_interface=_text(detect, "bridgeInterface"),
        interface_name_prefix=_text(detect, "interfaceNamePrefix"),
        masquerade_all=_boolean(iptables, "masqueradeAll", False),
        masquerade_bit=_masquerade_bit(iptables),
        localhost_node_ports=_boolean(iptables, "localhostNodePorts", True),
        node_port_addresses=_node_port_addresses(configuration),
        conntrack_sysctls=kube_proxy_conntrack.sysctls(_mapping(configuration, "conntrack")),
    )


def check_mode(mode: str) -> None:
    if mode != "iptables":
        raise UsageError(f"kube-proxy mode {mode!r} is not modelled yet; only 'iptables' is")


def _error(message: str) -> ObjectError:
    return ObjectError(f"KubeProxyConfiguration: {message}")


def _mapping(configuration: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = configuration.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _error(f"{key} is not a mapping")
    return value


def _text(configuration: Mapping[str, Any], key: str) -> str:
    value = configuration.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _error(f"bad {key} {value!r}, expected a string")
    return value


def _choice(configuration: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = _text(configuration, key) or choices[0]
    if value not in choices:
        raise _error(f"bad {key} {value!r}, expected one of {', '.join(choices)}")
    return value


def _boolean(configuration: Mapping[str, Any], key: str, default: bool) -> bool:
    value = configuration.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _error(f"bad {key} {value!r}, expected true or false")
    return value


def _masquerade_bit(iptables: Mapping[str, Any]) -> int:
    value = iptables.get("masqueradeBit")
    if value is None:
        return 14
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 31:
        raise _error(f"bad iptables.masqueradeBit {value!r}, expected 0 to 31")
    return value


def _networks(configuration: Mapping[str, Any]) -> tuple[Network, ...]:
    texts = [text for text in _text(configuration, "clusterCIDR").split(",") if text.strip()]
    return tuple(_network("clusterCIDR", text.strip()) for text in texts)


def _node_port_addresses(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    values = configuration.get("nodePortAddresses") or []
    if not isinstance(values, list):
        raise _error("nodePortAddresses is not a list")
    for value in values:
        if value != "primary":
            _network("nodePortAddresses", value)
    return tuple(values)


def _network(key: str, value: object) -> Network:
    try:
        # A bare address would be read as a host route; kube-proxy insists on the length.
        if not isinstance(value, str) or "/" not in value:
            raise ValueError
        return ip_interface(value).network
    except ValueError:
        raise _error(f"bad {key} {value!r}, expected a CIDR") from None
