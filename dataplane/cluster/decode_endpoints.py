"""Documents to objects: EndpointSlices, and the older Endpoints as slices."""

from collections.abc import Iterator

from dataplane.cluster.decode import decode_metadata, port, ports_are_unique
from dataplane.cluster.endpoints import MANAGED_BY, SERVICE_NAME
from dataplane.cluster.fields import Fields
from dataplane.cluster.objects import (
    Address,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Metadata,
)
from dataplane.cluster.validate import PROTOCOLS, dns_label, dns_subdomain, endpoint_address


def decode_endpoint_slice(fields: Fields) -> EndpointSlice:
    metadata = decode_metadata(fields, "EndpointSlice")
    fields.required("addressType")
    address_type = fields.choice("addressType", ("IPv4", "IPv6", "FQDN"), "")
    entries = list(fields.mappings("endpoints"))
    if len(entries) > 1000:  # discovery/validation, maxEndpoints
        fields.fail(f"{len(entries)} endpoints, but 1000 allowed", "endpoints")
    return EndpointSlice(
        metadata=metadata,
        service=metadata.labels.get(SERVICE_NAME, ""),
        address_type=address_type,
        ports=_endpoint_ports(fields),
        endpoints=tuple(_endpoint(entry, address_type) for entry in entries),
    )


def decode_endpoints(fields: Fields) -> tuple[EndpointSlice, ...]:
    """An Endpoints object as the slices that the mirroring controller makes of it.

    One per subset and family (KEP-1672; pkg/controller/endpointslicemirroring, v1.33).
    """
    metadata = decode_metadata(fields, "Endpoints")
    return tuple(
        EndpointSlice(
            metadata=_mirror_metadata(metadata, f"{version}-{index}"),
            service=metadata.name,
            address_type=f"IPv{version}",
            ports=_endpoint_ports(subset),
            endpoints=tuple(found),
        )
        for index, subset in enumerate(fields.mappings("subsets"))
        for version in (4, 6)
        if (found := [each for each in _legacy(subset) if each.addresses[0].version == version])
    )


def _endpoint_ports(fields: Fields) -> tuple[EndpointPort, ...]:
    ports = tuple(_endpoint_port(entry) for entry in fields.mappings("ports"))
    ports_are_unique(fields, "ports", [each.name for each in ports])
    return ports


def _endpoint_port(entry: Fields) -> EndpointPort:
    name = entry.string("name")
    if name:
        entry.check("name", name, dns_label)
    return EndpointPort(
        port=0 if entry.value.get("port") is None else port(entry, "port"),
        protocol=entry.choice("protocol", PROTOCOLS, "TCP"),
        name=name,
    )


def _endpoint(entry: Fields, address_type: str) -> Endpoint:
    conditions = entry.mapping("conditions")
    ready = conditions.boolean("ready", True)  # unknown counts as ready (discovery/v1)
    hints = entry.mapping("hints")
    return Endpoint(
        addresses=_endpoint_addresses(entry, address_type),
        ready=ready,
        serving=conditions.boolean("serving", ready),
        terminating=conditions.boolean("terminating"),
        node=_node_name(entry) or entry.mapping("topology").string("kubernetes.io/hostname"),
        zone=entry.string("zone"),
        target=_target(entry),
        hints_zones=tuple(zone.required("name") for zone in hints.mappings("forZones")),
        hints_nodes=tuple(node.required("name") for node in hints.mappings("forNodes")),
    )


def _endpoint_addresses(entry: Fields, address_type: str) -> tuple[Address, ...]:
    texts = entry.strings("addresses")
    if not 1 <= len(texts) <= 100:
        entry.fail(f"{len(texts)} addresses, but 1-100 allowed", "addresses")
    if address_type == "FQDN":
        return ()  # no proxy handles them (discovery/v1, AddressTypeFQDN)
    found = tuple(
        entry.check("addresses", text, endpoint_address, index) for index, text in enumerate(texts)
    )
    for index, each in enumerate(found):
        if f"IPv{each.version}" != address_type:
            entry.fail(f"address {each}, but addressType {address_type}", "addresses", index)
    return found


def _node_name(entry: Fields) -> str:
    name = entry.string("nodeName")
    return entry.check("nodeName", name, dns_subdomain) if name else ""


def _target(entry: Fields) -> str:
    reference = entry.mapping("targetRef")
    if reference.string("kind") != "Pod":
        return ""
    namespace = reference.string("namespace") or _own_namespace(entry)
    return f"{namespace}/{reference.required('name')}"


def _own_namespace(entry: Fields) -> str:
    metadata = entry.document.value.get("metadata")
    return (metadata or {}).get("namespace") or "default"


def _legacy(subset: Fields) -> Iterator[Endpoint]:
    for key, ready in (("addresses", True), ("notReadyAddresses", False)):
        for entry in subset.mappings(key):
            found = entry.check("ip", entry.required("ip"), endpoint_address)
            yield Endpoint(
                addresses=(found,),
                ready=ready,
                serving=ready,
                node=_node_name(entry),
                target=_target(entry),
            )


def _mirror_metadata(metadata: Metadata, suffix: str) -> Metadata:
    own = {
        SERVICE_NAME: metadata.name,
        MANAGED_BY: "endpointslicemirroring-controller.k8s.io",
    }
    return Metadata(
        name=f"{metadata.name}-mirrored-ipv{suffix}",
        namespace=metadata.namespace,
        labels=metadata.labels | own,
        annotations=metadata.annotations,
        source=metadata.source,
    )
