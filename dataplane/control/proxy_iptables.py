"""kube-proxy in iptables mode: the rules of one address family on one node.

Rule for rule what kube-proxy v1.36 writes (pkg/proxy/iptables/proxier.go), in the form in
which iptables-save prints it.  Services come in the order of their names, since kube-proxy's
own order is a Go map's and differs at every sync.

    nat PREROUTING, OUTPUT > KUBE-SERVICES > KUBE-SVC-… (ClusterIP) > KUBE-SEP-… > DNAT
                                           > KUBE-EXT-… (external IP, load balancer)
                           > KUBE-NODEPORTS > KUBE-EXT-… > KUBE-SVC-… or KUBE-SVL-…
    nat POSTROUTING > KUBE-POSTROUTING: masquerades what KUBE-MARK-MASQ marked
    filter: rejects what has no endpoints, drops what source ranges exclude
"""

from dataclasses import replace

from dataplane.cluster.objects import Address, Cluster, Network
from dataplane.control import proxy_chain_names as names
from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost
from dataplane.control.local_traffic import detector
from dataplane.control.proxy_iptables_fixed import write_fixed
from dataplane.control.proxy_iptables_service import write_service_port
from dataplane.control.proxy_sync import LOOPBACK, Sync
from dataplane.control.rules import addrtype, comment, host, jump, prefix
from dataplane.control.services import proxied_ports
from dataplane.control.tables import Tables
from dataplane.node.iptables import Rule

LARGE_CLUSTER = 1000  # endpoints (proxier.go, largeClusterEndpointsThreshold)
NODE_PORT_COMMENT = comment(
    "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
)


def write(
    tables: Tables,
    cluster: Cluster,
    proxy_host: ProxyHost,
    options: KubeProxyOptions,
    family: int,
) -> None:
    """Adds kube-proxy's chains and rules; to be called before agents that append theirs.

    family  4 for iptables, 6 for ip6tables
    raises  ObjectError for Services that an API server would refuse
    """
    ports = proxied_ports(cluster, proxy_host.node, family)
    sync = Sync(
        tables=tables,
        family=family,
        options=options,
        host=proxy_host,
        pods=detector(options, proxy_host, family),
        is_large=sum(port.all_endpoints for port in ports) > LARGE_CLUSTER,
    )
    write_fixed(sync)
    for port in ports:
        write_service_port(sync, port)
    _write_node_port_jumps(sync)


def _write_node_port_jumps(sync: Sync) -> None:
    """The end of KUBE-SERVICES: what is for the node itself may be for a NodePort."""
    ranges = sync.options.node_port_ranges(sync.host, sync.family)
    if ranges[0].prefixlen == 0:
        _write_jump(sync, _everywhere(sync))
        return
    for address in _node_port_addresses(sync, ranges):
        rule = Rule(dst=host(address), matches=(NODE_PORT_COMMENT,))
        _write_jump(sync, rule)


def _everywhere(sync: Sync) -> Rule:
    # ::1 never works, and 127.0.0.1 only with route_localnet: those are left out.
    loopback = prefix(LOOPBACK[sync.family], negated=True)
    return Rule(
        dst=None if sync.localhost_node_ports else loopback,
        matches=(NODE_PORT_COMMENT, addrtype("--dst-type", "LOCAL")),
    )


def _node_port_addresses(sync: Sync, ranges: list[Network]) -> list[Address]:
    addresses = {a for a in sync.host.addresses if any(a in r for r in ranges)}
    if not sync.localhost_node_ports:
        addresses = {a for a in addresses if not a.is_loopback}
    return sorted(addresses, key=str)


def _write_jump(sync: Sync, rule: Rule) -> None:
    sync.tables.append("nat", names.SERVICES, replace(rule, target=jump(names.NODE_PORTS)))
