"""The names of kube-proxy's own chains, those of iptables mode (proxier.go, v1.36)."""

from base64 import b32encode
from functools import lru_cache
from hashlib import sha256

from dataplane.control.services import ProxiedPort, ServiceEndpoint

SERVICES = "KUBE-SERVICES"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
POSTROUTING = "KUBE-POSTROUTING"
FORWARD = "KUBE-FORWARD"
MARK_MASQ = "KUBE-MARK-MASQ"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
CANARY = "KUBE-PROXY-CANARY"
FIREWALL = "KUBE-FIREWALL"  # shared with the kubelet of old


def cluster_policy(port: ProxiedPort) -> str:
    return "KUBE-SVC-" + _hash(port.name + port.protocol)


def local_policy(port: ProxiedPort) -> str:
    return "KUBE-SVL-" + _hash(port.name + port.protocol)


def external(port: ProxiedPort) -> str:
    return "KUBE-EXT-" + _hash(port.name + port.protocol)


def firewall(port: ProxiedPort) -> str:
    return "KUBE-FW-" + _hash(port.name + port.protocol)


def separate_endpoint(port: ProxiedPort, endpoint: ServiceEndpoint) -> str:
    return "KUBE-SEP-" + _hash(f"{port.name}{port.protocol}{endpoint.text}")


@lru_cache(maxsize=1 << 17)  # all nodes have the same chains
def _hash(text: str) -> str:
    # Sixteen letters keep every chain name within the kernel's 28 (XT_EXTENSION_MAXNAMELEN).
    # Ten bytes make sixteen letters; kube-proxy encodes all of them, and cuts.
    return b32encode(sha256(text.encode()).digest()[:10]).decode()
