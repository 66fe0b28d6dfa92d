"""How a person names an end of a connection: `pod/NS/NAME`, `svc/NS/NAME:PORT`, an address.

    pod/default/client   pod/client   pod/web-1:http     a pod, and a port of its containers
    svc/default/web:80   svc/web:http  svc/kube-system/kube-dns:53/udp
    node/node-a          node/node-a:30080
    ip/10.1.2.3          10.1.2.3:80   [fd00::1]:80      any address

The namespace may be left out where it is `default`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from dataplane.cluster.objects import (
    Address,
    Cluster,
    ContainerPort,
    Pod,
    Service,
    ServicePort,
)
from dataplane.cluster.validate import PROTOCOLS, address, port_number
from dataplane.cluster.wording import printable, quoted
from dataplane.errors import UsageError

_KINDS = {
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "svc": "service",
    "service": "service",
    "services": "service",
    "node": "node",
    "nodes": "node",
    "no": "node",
    "ip": "ip",
}
_SHORT = {"service": "svc"}
_PORT = re.compile(r"(?P<rest>.*):(?P<port>[A-Za-z0-9-]+)(/(?P<protocol>[A-Za-z]+))?", re.DOTALL)
_FORMS = "pod/NS/NAME, svc/NS/NAME:PORT, node/NAME, ip/ADDRESS or ADDRESS[:PORT]"


@dataclass(frozen=True)
class Reference:
    """One end of a connection, found in a cluster."""

    kind: str  # pod | service | node | ip
    name: str  # "namespace/name", the node's name, or the address
    addresses: tuple[Address, ...]  # at least one; the first is the preferred one
    port: int = 0  # 0 = none was named
    protocol: str = ""  # TCP | UDP | SCTP; "" = none was named
    service_port: ServicePort | None = None

    @property
    def address(self) -> Address:
        return self.addresses[0]


@dataclass(frozen=True)
class _Port:
    """A port as written: a number or a name, perhaps with a protocol."""

    text: str = ""
    protocol: str = ""

    @property
    def number(self) -> int:
        return int(self.text) if self.text.isdecimal() else 0

    def __str__(self) -> str:
        return f"{self.text}/{self.protocol.lower()}" if self.protocol else self.text


def resolve(text: str, cluster: Cluster) -> Reference:
    """What `text` names in the cluster.

    raises  UsageError: not of one of the forms, or nothing of that name (close ones are told)
    """
    plain = _plain_address(text)
    if plain:
        return plain
    kind, slash, rest = text.partition("/")
    if not slash or kind.lower() not in _KINDS:
        raise UsageError(f"{quoted(text)} names nothing: expected {_FORMS}")
    kind = _KINDS[kind.lower()]
    if kind == "ip":
        return _address_reference(rest, text)
    name, port = _split_port(rest, text)
    if kind == "node":
        return _node(name, port, cluster)
    namespace, slash, name = name.rpartition("/")
    key = (namespace or "default", name)
    return _pod(key, port, cluster) if kind == "pod" else _service(key, port, cluster)


def _plain_address(text: str) -> Reference | None:
    if not re.match(r"[0-9\[]|[0-9A-Fa-f]*:", text):
        return None
    return _address_reference(text, text)


def _address_reference(text: str, whole: str) -> Reference:
    try:  # before a port is looked for: `fd00::80` is an address
        found = address(text.removeprefix("[").removesuffix("]"))
        return Reference("ip", str(found), (found,))
    except ValueError:
        host, port = _split_port(text, whole)
    try:
        found = address(host.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise UsageError(f"{quoted(whole)} names nothing: {error}") from None
    return Reference("ip", str(found), (found,), _number(port, whole), port.protocol)


def _split_port(text: str, whole: str) -> tuple[str, _Port]:
    found = _PORT.fullmatch(text)
    if not found:
        return text, _Port()
    protocol = (found["protocol"] or "").upper()
    if protocol and protocol not in PROTOCOLS:
        expected = ", ".join(PROTOCOLS).lower()
        raise UsageError(f"{quoted(whole)}: protocol {protocol.lower()}, but {expected} expected")
    port = _Port(found["port"], protocol)
    if port.text.isdecimal():
        _number(port, whole)
    return found["rest"], port


def _number(port: _Port, whole: str) -> int:
    if not port.text:
        return 0
    if not port.text.isdecimal():
        raise UsageError(f"{quoted(whole)}: port {port}, but a number expected")
    try:
        return port_number(int(port.text))
    except ValueError:
        raise UsageError(f"{quoted(whole)}: port {port.text[:20]}, but 1-65535 allowed") from None


def _pod(key: tuple[str, str], port: _Port, cluster: Cluster) -> Reference:
    pod = cluster.pods.get(key)
    if pod is None:
        raise _unknown("pod", key, cluster.pods)
    name = "/".join(key)
    if not pod.ips:
        raise UsageError(f"pod {name} has no address ({pod.phase}, node {pod.node or 'none'})")
    number, protocol = _pod_port(pod, port, name)
    return Reference("pod", name, pod.ips, number, protocol)


def _pod_port(pod: Pod, port: _Port, name: str) -> tuple[int, str]:
    """A number need not be declared: containers listen where they like."""
    if not port.text or port.number:
        return port.number, port.protocol
    found = [
        each
        for each in pod.ports
        if each.name == port.text and port.protocol in ("", each.protocol)
    ]
    if not found:
        raise UsageError(f"pod {name} has no port {port}{_ports_told(pod.ports)}")
    return found[0].port, found[0].protocol


def _service(key: tuple[str, str], port: _Port, cluster: Cluster) -> Reference:
    service = cluster.services.get(key)
    if service is None:
        raise _unknown("service", key, cluster.services)
    name = "/".join(key)
    if not service.cluster_ips:
        raise UsageError(f"Service {name} has no cluster IP ({_why_none(service)})")
    chosen = _service_port(service, port, name)
    if chosen is None:
        return Reference("service", name, service.cluster_ips)
    return Reference("service", name, service.cluster_ips, chosen.port, chosen.protocol, chosen)


def _why_none(service: Service) -> str:
    if service.type == "ExternalName":
        return "it is an ExternalName"
    return "it is headless" if service.headless else "spec.clusterIP is missing"


def _service_port(service: Service, port: _Port, name: str) -> ServicePort | None:
    """The port meant; the only one if none was named, None if it could be several."""
    if not port.text:
        return service.ports[0] if len(service.ports) == 1 else None
    found = [
        each
        for each in service.ports
        if (each.name == port.text or each.port == port.number)
        and port.protocol in ("", each.protocol)
    ]
    if not found:
        raise UsageError(f"Service {name} has no port {port}{_ports_told(service.ports)}")
    if len(found) > 1:
        choices = " or ".join(f"{each.port}/{each.protocol.lower()}" for each in found)
        raise UsageError(f"Service {name} port {port} is more than one: write {choices}")
    return found[0]


def _node(name: str, port: _Port, cluster: Cluster) -> Reference:
    node = cluster.nodes.get(name)
    if node is None:
        close = [f"node/{each}" for each in get_close_matches(name, cluster.nodes)]
        every = [f"node/{each}" for each in cluster.nodes]
        raise UsageError(f"no node {printable(name)}{_told(close, every)}")
    addresses = (*node.internal_ips, *node.external_ips)
    if not addresses:
        raise UsageError(f"node {name} has no address in status.addresses")
    return Reference("node", name, addresses, _number(port, f"node/{name}"), port.protocol)


def _unknown(kind: str, key: tuple[str, str], known: Iterable[tuple[str, str]]) -> UsageError:
    """Tells the same name in another namespace, or else names that are close."""
    prefix = f"{_SHORT.get(kind, kind)}/"
    by_name: dict[str, list[str]] = defaultdict(list)
    for namespace, name in known:
        by_name[name].append(f"{prefix}{namespace}/{name}")
    close = [key[1]] if key[1] in by_name else get_close_matches(key[1], by_name)
    meant = [full for name in close for full in by_name[name]]
    every = [full for names in by_name.values() for full in names]
    return UsageError(f"no {kind} {printable('/'.join(key))}{_told(meant, every)}")


def _told(meant: list[str], every: list[str]) -> str:
    if meant:
        return f"; did you mean {' or '.join(meant[:3])}?"
    if not every:
        return "; there are none"
    more = f" and {len(every) - 5} more" if len(every) > 5 else ""
    return f"; there are {', '.join(sorted(every)[:5])}{more}"


def _ports_told(ports: tuple[ServicePort, ...] | tuple[ContainerPort, ...]) -> str:
    if not ports:
        return ""
    told = [
        f"{each.port}/{each.protocol.lower()}" + (f" ({each.name})" if each.name else "")
        for each in ports
    ]
    return f"; it has {', '.join(told)}"
