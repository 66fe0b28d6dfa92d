"""What kube-proxy writes for one Service port (iptables mode, v1.36, syncProxyRules).

Traffic to the cluster IP is *internal*, to anything else *external*; each has its policy.
All external traffic enters the port's KUBE-EXT chain, which knows the short cuts of pods and
of the node itself around policy Local; then it falls to the chain of the policy.
"""

from dataclasses import replace

from dataplane.cluster.objects import Address
from dataplane.control import proxy_chain_names as names
from dataplane.control.endpoints import Endpoints, ServiceEndpoint
from dataplane.control.local_traffic import from_others, from_pods
from dataplane.control.proxy_sync import LOOPBACK, Sync
from dataplane.control.rules import (
    addrtype,
    aimed,
    comment,
    dnat,
    dport,
    host,
    jump,
    nfacct,
    one_of,
    prefix,
    protocol,
    recent_check,
    recent_set,
    reject,
)
from dataplane.control.services import ProxiedPort
from dataplane.node.iptables import Match, Rule, Target


def write_service_port(sync: Sync, port: ProxiedPort) -> None:
    _capture_cluster_ip(sync, port)
    for address in port.external_ips:
        _capture_external_ip(sync, port, address)
    _capture_load_balancer(sync, port)
    if port.port.node_port:
        _capture_node_port(sync, port)
    if port.health_check_node_port:
        _accept_health_checks(sync, port)
    _write_chains(sync, port)


# --- the way in: rules of chains that all Services share ---------------------------------------


def _capture_cluster_ip(sync: Sync, port: ProxiedPort) -> None:
    if port.has_internal_endpoints:
        rule = _to(port, port.cluster_ip, f"{port.name} cluster IP")
        _append(sync, port, "nat", names.SERVICES, rule, jump(_internal_chain(port)))
    else:
        _refuse(sync, port, names.SERVICES, _to(port, port.cluster_ip, _refusal(port)))


def _capture_external_ip(sync: Sync, port: ProxiedPort, address: Address) -> None:
    if port.endpoints.exist:
        rule = _to(port, address, f"{port.name} external IP")
        _append(sync, port, "nat", names.SERVICES, rule, jump(names.external(port)))
    if not port.has_external_endpoints:
        _refuse(sync, port, names.EXTERNAL_SERVICES, _to(port, address, _refusal(port)))


def _capture_load_balancer(sync: Sync, port: ProxiedPort) -> None:
    firewall = names.firewall(port)
    chain = firewall if _uses_firewall(port) else names.external(port)
    for address in port.load_balancer_ips:
        if port.endpoints.exist:
            rule = _to(port, address, f"{port.name} loadbalancer IP")
            _append(sync, port, "nat", names.SERVICES, rule, jump(chain))
        if _uses_firewall(port):
            rule = _to(port, address, f"{port.name} traffic not accepted by {firewall}")
            _append(sync, port, "filter", names.PROXY_FIREWALL, rule, jump("DROP"))
    if not port.has_external_endpoints:
        for address in port.load_balancer_ips:
            _refuse(sync, port, names.EXTERNAL_SERVICES, _to(port, address, _refusal(port)))


def _capture_node_port(sync: Sync, port: ProxiedPort) -> None:
    number = dport(port.protocol, port.port.node_port)
    if port.endpoints.exist:
        # NodePorts know no source ranges: they enter KUBE-EXT, never KUBE-FW.
        rule = Rule(protocol=protocol(port.protocol), matches=(comment(port.name), number))
        target = jump(names.external(port))
        if sync.localhost_node_ports and sync.host.nfacct:
            counted = (*rule.matches, nfacct("localhost_nps_accepted_pkts"))
            local = replace(rule, dst=prefix(LOOPBACK[4]), matches=counted)
            _append(sync, port, "nat", names.NODE_PORTS, local, target)
        _append(sync, port, "nat", names.NODE_PORTS, rule, target)
    if not port.has_external_endpoints:
        matches = (comment(_refusal(port)), addrtype("--dst-type", "LOCAL"), number)
        rule = Rule(protocol=protocol(port.protocol), matches=matches)
        _refuse(sync, port, names.EXTERNAL_SERVICES, rule)


def _accept_health_checks(sync: Sync, port: ProxiedPort) -> None:
    text = comment(f"{port.name} health check node port")
    matches = (text, dport("tcp", port.health_check_node_port))
    rule = Rule(protocol=protocol("tcp"), matches=matches)
    _append(sync, port, "filter", names.NODE_PORTS, rule, jump("ACCEPT"))


def _refusal(port: ProxiedPort) -> str:
    some = "local endpoints" if port.endpoints.exist else "endpoints"
    return f"{port.name} has no {some}"


def _refuse(sync: Sync, port: ProxiedPort, chain: str, rule: Rule) -> None:
    """REJECT if there are no endpoints; DROP if there are, but not here, and policy is Local."""
    target = jump("DROP") if port.endpoints.exist else reject(sync.family)
    _append(sync, port, "filter", chain, rule, target)


# --- the port's own chains ---------------------------------------------------------------------


def _write_chains(sync: Sync, port: ProxiedPort) -> None:
    if port.has_internal_endpoints:
        _masquerade_internal(sync, port)
    if port.endpoints.exist and port.is_external:
        _write_external_chain(sync, port)
    if _uses_firewall(port):
        _write_firewall_chain(sync, port)
    _spread(sync, port, names.cluster_policy(port), port.endpoints.cluster)
    _spread(sync, port, names.local_policy(port), port.endpoints.local)
    for endpoint in port.endpoints.reachable:
        _write_endpoint_chain(sync, port, endpoint)


def _masquerade_internal(sync: Sync, port: ProxiedPort) -> None:
    """Who is not a pod gets the node's address, so that replies come back through this node."""
    rule = _to(port, port.cluster_ip, f"{port.name} cluster IP")
    if not sync.options.masquerade_all:
        if sync.pods is None:
            return
        rule = from_others(rule, sync.pods)
    _append(sync, port, "nat", _internal_chain(port), rule, jump(names.MARK_MASQ))


def _write_external_chain(sync: Sync, port: ProxiedPort) -> None:
    chain, outside = names.external(port), f"{port.name} external destinations"
    to_all = jump(names.cluster_policy(port))
    if port.external_local:
        from_node = addrtype("--src-type", "LOCAL")
        if sync.pods is not None:
            rule = from_pods(Rule(matches=(comment(f"pod traffic for {outside}"),)), sync.pods)
            _append(sync, port, "nat", chain, rule, to_all)
        rule = Rule(matches=(comment(f"masquerade LOCAL traffic for {outside}"), from_node))
        _append(sync, port, "nat", chain, rule, jump(names.MARK_MASQ))
        rule = Rule(matches=(comment(f"route LOCAL traffic for {outside}"), from_node))
        _append(sync, port, "nat", chain, rule, to_all)
    else:
        rule = Rule(matches=(comment(f"masquerade traffic for {outside}"),))
        _append(sync, port, "nat", chain, rule, jump(names.MARK_MASQ))
    if port.has_external_endpoints:
        policy = names.local_policy if port.external_local else names.cluster_policy
        _append(sync, port, "nat", chain, Rule(), jump(policy(port)))


def _write_firewall_chain(sync: Sync, port: ProxiedPort) -> None:
    chain, to_external = names.firewall(port), jump(names.external(port))
    allowed = Rule(matches=(comment(f"{port.name} loadbalancer IP"),))
    for network in port.source_ranges:
        rule = replace(allowed, src=prefix(network))
        _append(sync, port, "nat", chain, rule, to_external)
    # The VIP is often one of the node's own addresses; then the node's packets to it carry it
    # as their source too.
    node_ip = sync.host.node_ip(sync.family)
    if node_ip is not None and any(node_ip in network for network in port.source_ranges):
        for address in port.load_balancer_ips:
            _append(sync, port, "nat", chain, replace(allowed, src=host(address)), to_external)
    text = f"other traffic to {port.name} will be dropped by {names.PROXY_FIREWALL}"
    _append(sync, port, "nat", chain, Rule(matches=(comment(text),)), None)


def _spread(sync: Sync, port: ProxiedPort, chain: str, endpoints: Endpoints) -> None:
    """First the endpoint that remembers the client, if any does; then one by equal chance."""
    seconds = port.service.session_affinity_seconds
    if seconds:
        for endpoint in endpoints:
            name = names.separate_endpoint(port, endpoint)
            check = recent_check(name, sync.family, seconds)
            rule = Rule(matches=(*_endpoint_comment(sync, port, endpoint), check))
            _append(sync, port, "nat", chain, rule, jump(name))
    for index, endpoint in enumerate(endpoints):
        rest = len(endpoints) - index
        chance: tuple[Match, ...] = (one_of(rest),) if rest > 1 else ()
        rule = Rule(matches=(*_endpoint_comment(sync, port, endpoint), *chance))
        target = jump(names.separate_endpoint(port, endpoint))
        _append(sync, port, "nat", chain, rule, target)


def _endpoint_comment(
    sync: Sync, port: ProxiedPort, endpoint: ServiceEndpoint
) -> tuple[Match, ...]:
    return () if sync.is_large else (comment(f"{port.name} -> {endpoint.text}"),)


def _write_endpoint_chain(sync: Sync, port: ProxiedPort, endpoint: ServiceEndpoint) -> None:
    chain = names.separate_endpoint(port, endpoint)
    text: tuple[Match, ...] = () if sync.is_large else (comment(port.name),)
    # An endpoint that reaches itself must not see its own address as the source.
    hairpin = Rule(src=host(endpoint.address), matches=text)
    _append(sync, port, "nat", chain, hairpin, jump(names.MARK_MASQ))
    remember: tuple[Match, ...] = ()
    if port.service.session_affinity_seconds:
        remember = (recent_set(chain, sync.family),)
    matches = (*text, *remember, Match(port.protocol))
    rule = Rule(protocol=protocol(port.protocol), matches=matches)
    _append(sync, port, "nat", chain, rule, dnat(endpoint.text))


def _internal_chain(port: ProxiedPort) -> str:
    return names.local_policy(port) if port.internal_local else names.cluster_policy(port)


def _uses_firewall(port: ProxiedPort) -> bool:
    return bool(port.endpoints.exist and port.load_balancer_ips and port.source_ranges)


def _to(port: ProxiedPort, address: Address, text: str) -> Rule:
    """Matches what is sent to the Service port at one of its addresses."""
    return Rule(
        dst=host(address),
        protocol=protocol(port.protocol),
        matches=(comment(text), dport(port.protocol, port.port.port)),
    )


def _append(
    sync: Sync, port: ProxiedPort, table: str, chain: str, rule: Rule, target: Target | None
) -> None:
    source = port.service.metadata.source
    sync.tables.append(table, chain, aimed(rule, target, source))
