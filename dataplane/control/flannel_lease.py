"""A node's lease in flannel's network: its subnet and how others reach it.

flanneld publishes it in annotations of the Node (pkg/subnet/kube); what is missing is derived.
"""

import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from dataplane.cluster.objects import Node
from dataplane.control import mac_addresses, underlay
from dataplane.errors import ObjectError, UsageError

ANNOTATION = "flannel.alpha.coreos.com/"
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


@dataclass(frozen=True)
class Lease:
    node: Node
    subnet: IPv4Network
    public_ip: IPv4Address  # outer address of its VXLAN packets
    vtep_mac: str
    vni: int = 0  # 0 = not published


def lease(node: Node) -> Lease:
    """raises  ObjectError for a node without podCIDR or InternalIP, or with bad annotations"""
    kind = node.metadata.annotations.get(ANNOTATION + "backend-type", "vxlan")
    if kind != "vxlan":
        raise UsageError(f"Node {node.metadata.name}: flannel backend {kind!r} is not modelled yet")
    subnet = _subnet(node)
    data = _backend_data(node)
    mac = data.get("VtepMAC") or mac_addresses.of_address(subnet.network_address)
    vni = data.get("VNI") or 0
    if not isinstance(mac, str) or not MAC.match(mac.lower()):
        raise _bad(node, f"bad VtepMAC {mac!r} in {ANNOTATION}backend-data")
    if not isinstance(vni, int) or not 0 <= vni < 1 << 24:
        raise _bad(node, f"bad VNI {vni!r} in {ANNOTATION}backend-data")
    return Lease(node, subnet, _public_ip(node), mac.lower(), vni)


def _subnet(node: Node) -> IPv4Network:
    for network in node.pod_cidrs:
        if isinstance(network, IPv4Network):
            if network.prefixlen > 30:
                raise _bad(node, f"podCIDR {network} has no room for pods")
            return network
    raise _bad(node, "no IPv4 range in spec.podCIDR or spec.podCIDRs")


def _public_ip(node: Node) -> IPv4Address:
    text = node.metadata.annotations.get(ANNOTATION + "public-ip")
    if text is None:
        return underlay.node_address(node)
    try:
        return IPv4Address(text)
    except ValueError:
        raise _bad(node, f"bad {ANNOTATION}public-ip {text!r}") from None


def _backend_data(node: Node) -> dict[str, Any]:
    text = node.metadata.annotations.get(ANNOTATION + "backend-data", "{}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _bad(node, f"bad {ANNOTATION}backend-data {text!r}, expected a JSON object")
    return data


def _bad(node: Node, message: str) -> ObjectError:
    return ObjectError(f"Node {node.metadata.name}: {message}", node.metadata.source)
