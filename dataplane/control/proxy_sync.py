"""What one pass of kube-proxy (its syncProxyRules) works with."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost
from dataplane.control.local_traffic import Detector
from dataplane.control.tables import Tables

LOCALHOST = ip_address("127.0.0.1")
LOOPBACK = {4: ip_network("127.0.0.0/8"), 6: ip_network("::1/128")}


@dataclass(frozen=True)
class Sync:
    tables: Tables  # written to
    family: int
    options: KubeProxyOptions
    host: ProxyHost
    pods: Detector
    is_large: bool  # then kube-proxy leaves the comments on endpoints' rules out

    @property
    def localhost_node_ports(self) -> bool:
        """NodePorts answer on 127.0.0.1; IPv6 has no route_localnet, so never there."""
        return self.family == 4 and has_localhost_node_ports(self.options, self.host)


def sysctls(options: KubeProxyOptions, host: ProxyHost) -> dict[str, str]:
    """What kube-proxy in iptables mode sets; the rest it leaves as it is."""
    found = dict(options.conntrack_sysctls)
    if has_localhost_node_ports(options, host):
        found["net.ipv4.conf.all.route_localnet"] = "1"
    return found


def has_localhost_node_ports(options: KubeProxyOptions, host: ProxyHost) -> bool:
    """True where kube-proxy sets net.ipv4.conf.all.route_localnet."""
    # NodePortAddresses.ContainsIPv4Loopback: a range within 127.0.0.0/8, or around 127.0.0.1
    return options.localhost_node_ports and any(
        network.network_address.is_loopback or LOCALHOST in network
        for network in options.node_port_ranges(host, 4)
    )
