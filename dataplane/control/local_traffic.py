"""How kube-proxy tells pods' own traffic from traffic of others (detectLocalMode)."""

from dataclasses import replace
from functools import lru_cache

from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost
from dataplane.node.iptables import Interface, Prefix, Rule

Detector = Prefix | Interface | None  # None: kube-proxy cannot tell, and writes no such rule


def detector(options: KubeProxyOptions, host: ProxyHost, family: int) -> Detector:
    if options.detect_local_mode == "BridgeInterface":
        return Interface(options.bridge_interface) if options.bridge_interface else None
    if options.detect_local_mode == "InterfaceNamePrefix":
        name = options.interface_name_prefix
        return Interface(name + "+") if name else None
    node_cidr = options.detect_local_mode == "NodeCIDR"
    networks = host.node.pod_cidrs if node_cidr else options.cluster_cidrs
    network = next((network for network in networks if network.version == family), None)
    return Prefix(network) if network else None


def from_pods(rule: Rule, pods: Detector) -> Rule:
    return _narrowed(rule, pods, negated=False)


def from_others(rule: Rule, pods: Detector) -> Rule:
    return _narrowed(rule, pods, negated=True)


def _narrowed(rule: Rule, pods: Detector, *, negated: bool) -> Rule:
    if isinstance(pods, Prefix):
        return Rule(
            _turned(pods, negated), rule.dst, rule.in_interface, rule.out_interface,
            rule.protocol, rule.fragment, rule.matches, rule.target,
        )  # fmt: skip
    if isinstance(pods, Interface):
        return replace(rule, in_interface=Interface(pods.name, negated))
    return rule


@lru_cache(maxsize=16)
def _turned(pods: Prefix, negated: bool) -> Prefix:
    return replace(pods, negated=negated)
