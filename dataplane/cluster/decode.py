"""Documents to objects: Namespaces, Nodes and Pods; what all kinds share.

Services and EndpointSlices are in `decode_services`.  Everything not read here is ignored,
as an API server ignores what it has no use for.
"""

from dataplane.cluster.documents import Document
from dataplane.cluster.fields import Fields
from dataplane.cluster.labels import annotation_map, label_map
from dataplane.cluster.objects import (
    Address,
    ContainerPort,
    Metadata,
    Namespace,
    Network,
    Node,
    Pod,
)
from dataplane.cluster.validate import (
    PROTOCOLS,
    address,
    dns_label,
    dns_subdomain,
    network,
    port_name,
    port_number,
)
from dataplane.cluster.wording import dotted, printable

CLUSTER_SCOPED = ("Namespace", "Node")
PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


def open_object(document: Document, kind: str) -> Fields:
    """The fields of a document, with a subject that errors can name."""
    fields = Fields(document, kind, (), document.value)
    metadata = fields.mapping("metadata")
    name = metadata.string("name")
    namespace = "" if kind in CLUSTER_SCOPED else metadata.string("namespace") or "default"
    if not name:
        metadata.fail("metadata.name is missing")
    full_name = printable(f"{namespace}/{name}" if namespace else name, limit=320)
    fields.subject = f"{kind} {full_name}"
    return fields


def decode_metadata(fields: Fields, kind: str) -> Metadata:
    metadata = fields.mapping("metadata")
    rule = dns_label if kind in ("Namespace", "Service") else dns_subdomain
    name = metadata.check("name", metadata.string("name"), rule)
    namespace = ""
    if kind not in CLUSTER_SCOPED:
        namespace = metadata.string("namespace") or "default"
        metadata.check("namespace", namespace, dns_label)
    return Metadata(
        name=name,
        namespace=namespace,
        labels=label_map(metadata, "labels"),
        annotations=annotation_map(metadata, "annotations"),
        source=fields.document.source,
    )


def decode_namespace(fields: Fields) -> Namespace:
    metadata = decode_metadata(fields, "Namespace")
    # Set by the API server itself (KEP-2161); policies select namespaces by it.
    metadata.labels["kubernetes.io/metadata.name"] = metadata.name
    return Namespace(metadata)


def decode_node(fields: Fields) -> Node:
    addresses = list(fields.mapping("status").mappings("addresses"))
    return Node(
        metadata=decode_metadata(fields, "Node"),
        pod_cidrs=_pod_cidrs(fields.mapping("spec")),
        internal_ips=_node_addresses(addresses, "InternalIP"),
        external_ips=_node_addresses(addresses, "ExternalIP"),
        kernel_version=fields.mapping("status").mapping("nodeInfo").string("kernelVersion"),
    )


def decode_pod(fields: Fields) -> Pod:
    spec = fields.mapping("spec")
    status = fields.mapping("status")
    node = spec.string("nodeName")
    if node:
        spec.check("nodeName", node, dns_subdomain)
    phase = status.choice("phase", PHASES, "Running")
    return Pod(
        metadata=decode_metadata(fields, "Pod"),
        node=node,
        ips=_pod_addresses(status),
        host_network=spec.boolean("hostNetwork"),
        ports=_container_ports(spec),
        phase=phase,
        ready=_is_ready(status, default=phase == "Running"),
        terminating=bool(fields.mapping("metadata").string("deletionTimestamp")),
        owner=_owner(fields.mapping("metadata")),
    )


def addresses_of_one_family_each(fields: Fields, key: str, found: tuple[Address, ...]) -> None:
    """At most one address of each family, as in podIPs and clusterIPs."""
    versions = [address.version for address in found]
    if len(versions) != len(set(versions)):
        fields.fail(f"{key}: at most one address of each family allowed", key)


def ports_are_unique(fields: Fields, key: str, names: list[str]) -> None:
    """No name twice; each has one where there are several."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not name and len(names) > 1:
            where = dotted((*fields.path, key, index))
            fields.fail(f"{where}: name is missing, one of several ports needs it", key, index)
        if name in seen:
            fields.fail(f"duplicate port name {name}", key, index, "name")
        seen.add(name)


def _pod_cidrs(spec: Fields) -> tuple[Network, ...]:
    texts = spec.strings("podCIDRs")
    networks = tuple(
        spec.check("podCIDRs", text, network, index) for index, text in enumerate(texts)
    )
    single = spec.string("podCIDR")
    if not single:
        return networks
    first = spec.check("podCIDR", single, network)
    if networks and networks[0] != first:
        spec.fail(f"podCIDR {first}, but podCIDRs starts with {networks[0]}", "podCIDR")
    return networks or (first,)


def _node_addresses(entries: list[Fields], kind: str) -> tuple[Address, ...]:
    return tuple(
        entry.check("address", entry.required("address"), address)
        for entry in entries
        if entry.string("type") == kind
    )


def _pod_addresses(status: Fields) -> tuple[Address, ...]:
    entries = status.mappings("podIPs")
    found = tuple(entry.check("ip", entry.required("ip"), address) for entry in entries)
    addresses_of_one_family_each(status, "podIPs", found)
    single = status.string("podIP")
    if not single:
        return found
    first = status.check("podIP", single, address)
    if found and found[0] != first:
        status.fail(f"podIP {first}, but podIPs starts with {found[0]}", "podIP")
    return found or (first,)


def _container_ports(spec: Fields) -> tuple[ContainerPort, ...]:
    """Ports of the containers, then of the sidecars: the order FindPort looks in.

    pkg/api/v1/service/ports.go and KEP-753, v1.33
    """
    sidecars = [
        container
        for container in spec.mappings("initContainers")
        if container.string("restartPolicy") == "Always"
    ]
    containers = [*spec.mappings("containers"), *sidecars]
    return tuple(port for container in containers for port in _ports_of(container))


def _ports_of(container: Fields) -> list[ContainerPort]:
    ports = [_container_port(entry) for entry in container.mappings("ports")]
    seen: set[str] = set()
    for index, each in enumerate(ports):
        if each.name in seen:
            container.fail(f"duplicate port name {each.name}", "ports", index, "name")
        if each.name:
            seen.add(each.name)
    return ports


def _container_port(entry: Fields) -> ContainerPort:
    name = entry.string("name")
    if name:
        entry.check("name", name, port_name)
    return ContainerPort(
        port=port(entry, "containerPort"),
        protocol=entry.choice("protocol", PROTOCOLS, "TCP"),
        name=name,
    )


def port(fields: Fields, key: str) -> int:
    """A port number that must be there: 1 to 65535."""
    if fields.value.get(key) is None:
        fields.fail(f"{key} is missing", key)
    number = fields.integer(key)
    try:
        return port_number(number)
    except ValueError as error:
        fields.fail(f"{key} {error}", key)


def _is_ready(status: Fields, default: bool) -> bool:
    for condition in status.mappings("conditions"):
        if condition.string("type") == "Ready":
            return condition.string("status") == "True"
    return default


def _owner(metadata: Fields) -> str:
    for reference in metadata.mappings("ownerReferences"):
        if reference.boolean("controller"):
            return f"{reference.required('kind')}/{reference.required('name')}"
    return ""
