"""Documents to objects: Services."""

from dataplane.cluster.decode import (
    addresses_of_one_family_each,
    decode_metadata,
    port,
    ports_are_unique,
)
from dataplane.cluster.fields import Fields
from dataplane.cluster.labels import label_map
from dataplane.cluster.objects import (
    Address,
    Network,
    Service,
    ServicePort,
)
from dataplane.cluster.validate import (
    PROTOCOLS,
    address,
    dns_label,
    endpoint_address,
    network,
    port_name,
    port_number,
)
from dataplane.cluster.wording import quoted

TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
POLICIES = ("Cluster", "Local")
DEFAULT_AFFINITY_SECONDS = 10800  # pkg/apis/core/types.go, DefaultClientIPServiceAffinitySeconds


def decode_service(fields: Fields) -> Service:
    spec = fields.mapping("spec")
    kind = spec.choice("type", TYPES, "ClusterIP")
    cluster_ips, headless = _cluster_ips(spec)
    service = Service(
        metadata=decode_metadata(fields, "Service"),
        type=kind,
        cluster_ips=cluster_ips,
        headless=headless,
        ports=_service_ports(spec, kind),
        selector=label_map(spec, "selector"),
        external_ips=_external_ips(spec),
        session_affinity_seconds=_affinity_seconds(spec),
        internal_traffic_policy=spec.choice("internalTrafficPolicy", POLICIES, "Cluster"),
        external_traffic_policy=spec.choice("externalTrafficPolicy", POLICIES, "Cluster"),
        publish_not_ready_addresses=spec.boolean("publishNotReadyAddresses"),
        ip_families=_ip_families(spec, cluster_ips),
        load_balancer_ips=_load_balancer_ips(fields),
        load_balancer_source_ranges=_source_ranges(spec),
        traffic_distribution=spec.string("trafficDistribution"),
        spec=spec.value,
        status=fields.mapping("status").value,
    )
    _check_type(service, spec)
    return service


def _cluster_ips(spec: Fields) -> tuple[tuple[Address, ...], bool]:
    single = spec.string("clusterIP")
    several = spec.strings("clusterIPs")
    if several and single and several[0] != single:
        spec.fail(
            f"clusterIP {quoted(single)}, but clusterIPs starts with {quoted(several[0])}",
            "clusterIP",
        )
    texts = several or ((single,) if single else ())
    if texts == ("None",):
        return (), True
    key = "clusterIPs" if several else "clusterIP"
    steps = [(index,) if several else () for index in range(len(texts))]
    found = tuple(
        spec.check(key, text, address, *step) for text, step in zip(texts, steps, strict=True)
    )
    addresses_of_one_family_each(spec, key, found)
    return found, False


def _ip_families(spec: Fields, cluster_ips: tuple[Address, ...]) -> tuple[str, ...]:
    families = spec.strings("ipFamilies")
    for index, family in enumerate(families):
        if family not in ("IPv4", "IPv6") or family in families[:index]:
            spec.fail("spec.ipFamilies: expected IPv4 or IPv6, each once", "ipFamilies", index)
    for family, each in zip(families, cluster_ips, strict=False):
        if family != f"IPv{each.version}":
            spec.fail(f"clusterIP {each}, but ipFamilies says {family}", "clusterIP")
    return families


def _service_ports(spec: Fields, kind: str) -> tuple[ServicePort, ...]:
    entries = list(spec.mappings("ports"))
    ports = tuple(_service_port(entry, kind) for entry in entries)
    ports_are_unique(spec, "ports", [each.name for each in ports])
    _check_once(spec, "port", [(each.port, each.protocol) for each in ports])
    _check_once(spec, "nodePort", [(each.node_port, each.protocol) for each in ports])
    return ports


def _check_once(spec: Fields, key: str, numbers: list[tuple[int, str]]) -> None:
    seen: set[tuple[int, str]] = set()
    for index, (number, protocol) in enumerate(numbers):
        if (number, protocol) in seen:
            spec.fail(f"duplicate {key} {number}/{protocol}", "ports", index, key)
        if number:
            seen.add((number, protocol))


def _service_port(entry: Fields, kind: str) -> ServicePort:
    name = entry.string("name")
    if name:
        entry.check("name", name, dns_label)
    return ServicePort(
        port=port(entry, "port"),
        protocol=entry.choice("protocol", PROTOCOLS, "TCP"),
        name=name,
        target_port=_target_port(entry),
        node_port=_node_port(entry, kind),
        app_protocol=entry.string("appProtocol"),
    )


def _target_port(entry: Fields) -> int | str:
    value = entry.value.get("targetPort")
    if isinstance(value, str) and value:
        return entry.check("targetPort", value, port_name)
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        entry.expected("a port number or the name of a container port", "targetPort", value)
    # 0 is what an unset IntOrString looks like; the API server replaces it by `port`.
    return value and port(entry, "targetPort")


def _node_port(entry: Fields, kind: str) -> int:
    """Not held to 30000-32767: --service-node-port-range may say otherwise."""
    number = entry.integer("nodePort")
    if not number:
        return 0
    try:
        port_number(number)
    except ValueError as error:
        entry.fail(f"nodePort {error}", "nodePort")
    if kind not in ("NodePort", "LoadBalancer"):
        entry.fail(f"nodePort {number}, but the Service is of type {kind}", "nodePort")
    return number


def _external_ips(spec: Fields) -> tuple[Address, ...]:
    texts = spec.strings("externalIPs")
    return tuple(
        spec.check("externalIPs", text, endpoint_address, index) for index, text in enumerate(texts)
    )


def _affinity_seconds(spec: Fields) -> int:
    if spec.choice("sessionAffinity", ("None", "ClientIP"), "None") == "None":
        return 0
    client_ip = spec.mapping("sessionAffinityConfig").mapping("clientIP")
    seconds = client_ip.integer("timeoutSeconds", DEFAULT_AFFINITY_SECONDS)
    if not 1 <= seconds <= 86400:
        client_ip.fail(f"timeoutSeconds {seconds}, but 1-86400 allowed", "timeoutSeconds")
    return seconds


def _load_balancer_ips(fields: Fields) -> tuple[Address, ...]:
    """ipMode Proxy means: the traffic comes back to the node port, leave the VIP alone.

    KEP-1860
    """
    entries = fields.mapping("status").mapping("loadBalancer").mappings("ingress")
    return tuple(
        entry.check("ip", entry.string("ip"), address)
        for entry in entries
        if entry.string("ip") and entry.choice("ipMode", ("VIP", "Proxy"), "VIP") == "VIP"
    )


def _source_ranges(spec: Fields) -> tuple[Network, ...]:
    key = "loadBalancerSourceRanges"
    # Blanks around a range have always been let through (validation.go, TrimSpace).
    return tuple(
        spec.check(key, text.strip(), network, index)
        for index, text in enumerate(spec.strings(key))
    )


def _check_type(service: Service, spec: Fields) -> None:
    """Which fields go together (ValidateService)."""
    if service.type == "ExternalName":
        spec.required("externalName")
        return
    if not service.ports and not service.headless:
        spec.fail("spec.ports is missing", "ports")
    if service.headless and service.type != "ClusterIP":
        spec.fail(f"clusterIP None, but the Service is of type {service.type}", "clusterIP")
    is_external = service.type != "ClusterIP" or bool(service.external_ips)
    if service.external_traffic_policy == "Local" and not is_external:
        spec.fail("externalTrafficPolicy Local, but nothing external", "externalTrafficPolicy")
