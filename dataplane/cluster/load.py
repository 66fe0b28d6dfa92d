"""Manifests to a Cluster: what an API server and its controllers would make of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dataplane.cluster import agents, decode, decode_endpoints, decode_services, derive, documents
from dataplane.cluster.documents import Document
from dataplane.cluster.fields import Fields
from dataplane.cluster.objects import Cluster, EndpointSlice, Service
from dataplane.cluster.validate import dns_subdomain, kind_name
from dataplane.cluster.wording import printable
from dataplane.errors import Source
from dataplane.node.lasting import lasting

Warn = Callable[[str], None]
Key = tuple[str, str]

# (API group, kind): the same kind name in another group is another thing (Knative's Service).
_DECODERS: dict[tuple[str, str], Callable[[Fields], Any]] = {
    ("", "Namespace"): decode.decode_namespace,
    ("", "Node"): decode.decode_node,
    ("", "Pod"): decode.decode_pod,
    ("", "Service"): decode_services.decode_service,
    ("discovery.k8s.io", "EndpointSlice"): decode_endpoints.decode_endpoint_slice,
}


def _silent(message: str) -> None:
    """The default `warn`: what there is to say is also in Cluster.notes and .ignored."""


def load(paths: Sequence[str], warn: Warn = _silent) -> Cluster:
    """The Cluster declared in files, directories and `-`.

    warn    is called with each thing derived, and once with what was ignored
    raises  ParseError, ObjectError, UsageError
    """
    with lasting():
        return _build(documents.read(paths), warn)


def loads(text: str, path: str = "<text>", warn: Warn = _silent) -> Cluster:
    """The same from text."""
    with lasting():
        return _build(documents.parse(text, path), warn)


class _Collected:
    """Objects by kind, and where each was declared."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[Key, Any]] = {kind: {} for _, kind in _DECODERS}
        self.mirrored: list[EndpointSlice] = []  # from Endpoints; used where slices are missing
        self.claimed: dict[str, Source] = {}
        self.ignored: Counter[str] = Counter()
        self.kube_proxy: dict[str, Any] = {}
        self.flannel: dict[str, Any] = {}

    def declare(self, fields: Fields) -> None:
        self.claim(fields.subject, fields, "already declared at", "metadata", "name")

    def claim(self, what: str, fields: Fields, problem: str, *steps: str | int) -> None:
        """Only one may have `what`."""
        first = self.claimed.setdefault(what, fields.document.source)
        if first is not fields.document.source:
            fields.fail(f"{problem} {first}", *steps)


def _build(found: Iterable[Document], warn: Warn) -> Cluster:
    collected = _Collected()
    for document in found:
        _collect(collected, document)
    if collected.ignored:
        warn("ignored: " + ", ".join(_counted(collected.ignored)))
    cluster = derive.complete(_cluster(collected), collected.mirrored)
    for note in cluster.notes:
        warn(note)
    return cluster


def _counted(ignored: Counter[str]) -> list[str]:
    return [f"{count} {kind}" for kind, count in sorted(ignored.items())]


def _collect(collected: _Collected, document: Document) -> None:
    group, kind = _group_and_kind(document)
    if (group, kind) in _DECODERS:
        fields = decode.open_object(document, kind)
        decoded = _DECODERS[group, kind](fields)
        collected.declare(fields)
        metadata = decoded.metadata
        collected.objects[kind][metadata.namespace, metadata.name] = decoded
        if kind == "Service":
            _allocate(collected, decoded, fields)
    elif (group, kind) == ("", "Endpoints"):
        fields = decode.open_object(document, kind)
        collected.mirrored += decode_endpoints.decode_endpoints(fields)
        collected.declare(fields)
    elif (group, kind) == ("", "ConfigMap"):
        fields = decode.open_object(document, kind)
        collected.declare(fields)
        _collect_config_map(collected, fields)
    elif (group, kind) == agents.KUBE_PROXY:
        _collect_kube_proxy(collected, Fields(document, kind, (), document.value))
    else:
        known = any(kind == each for _, each in _DECODERS)
        collected.ignored[f"{kind}.{group}" if known else kind] += 1


def _allocate(collected: _Collected, service: Service, fields: Fields) -> None:
    """Cluster IPs and node ports belong to one Service (pkg/registry/core/service/storage)."""
    for ip in service.cluster_ips:
        problem = f"clusterIP {ip} is already taken at"
        collected.claim(f"clusterIP {ip}", fields, problem, "spec", "clusterIP")
    for index, port in enumerate(service.ports):
        if port.node_port:
            what = f"nodePort {port.node_port}/{port.protocol}"
            steps = ("spec", "ports", index, "nodePort")
            collected.claim(what, fields, f"{what} is already taken at", *steps)


def _group_and_kind(document: Document) -> tuple[str, str]:
    fields = Fields(document, "object", (), document.value)
    kind = fields.check("kind", fields.required("kind"), kind_name)
    fields.subject = kind
    group, _, version = fields.required("apiVersion").rpartition("/")
    if group:
        fields.check("apiVersion", group, dns_subdomain)
    if not group and version != "v1":
        fields.fail(f"apiVersion {printable(version)}, but v1 expected", "apiVersion")
    return group, kind


def _collect_config_map(collected: _Collected, fields: Fields) -> None:
    name = fields.subject.removeprefix("ConfigMap ")
    if name == "kube-system/kube-proxy":
        config = agents.embedded(fields, "config.conf")
        if config is not None:
            _collect_kube_proxy(collected, config)
    elif name.endswith("/kube-flannel-cfg"):
        config = agents.embedded(fields, "net-conf.json")
        if config is not None:
            collected.flannel = agents.check_flannel(config)
    else:
        collected.ignored["ConfigMap"] += 1


def _collect_kube_proxy(collected: _Collected, fields: Fields) -> None:
    collected.claim("KubeProxyConfiguration", fields, "already given at")
    collected.kube_proxy = agents.check_kube_proxy(fields)


def _cluster(collected: _Collected) -> Cluster:
    """Sorted by name, so that the order of files changes nothing."""
    found = {kind: dict(sorted(each.items())) for kind, each in collected.objects.items()}
    return Cluster(
        nodes={name: node for (_, name), node in found["Node"].items()},
        namespaces={name: namespace for (_, name), namespace in found["Namespace"].items()},
        pods=found["Pod"],
        services=found["Service"],
        endpoint_slices=found["EndpointSlice"],
        kube_proxy=collected.kube_proxy,
        flannel=collected.flannel,
        ignored=dict(sorted(collected.ignored.items())),
    )
