"""Cluster to NodeStates: every agent writes what it programs, node by node."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dataplane.cluster.objects import Cluster, Pod
from dataplane.control import (
    cni_bridge,
    cni_flannel,
    flannel_config,
    flannel_lease,
    kube_proxy,
    placement,
    proxy_iptables,
    proxy_sync,
    underlay,
)
from dataplane.control.draft import Draft
from dataplane.control.flannel_config import FlannelConfig
from dataplane.control.flannel_lease import Lease
from dataplane.control.kube_proxy import KubeProxyOptions, ProxyHost
from dataplane.errors import UsageError
from dataplane.node.lasting import lasting
from dataplane.node.state import NodeState

Warn = Callable[[str], None]


@dataclass(frozen=True)
class _Plan:
    """What the agents of all nodes have read."""

    cluster: Cluster
    leases: list[Lease]  # one per node
    pods: dict[str, list[Pod]]  # node -> those with a network of their own
    flannel: FlannelConfig
    options: KubeProxyOptions


def _silent(message: str) -> None:
    """The default `warn`."""


def program(
    cluster: Cluster,
    *,
    cni: str = "flannel",
    proxy_mode: str | None = None,
    warn: Warn = _silent,
) -> dict[str, NodeState]:
    """Node name -> all that flannel, the bridge plugin and kube-proxy put there; by name.

    proxy_mode  None takes the mode of the cluster's KubeProxyConfiguration
    warn        told what had to be assumed
    raises      ObjectError for objects that do not fit together, UsageError for agents and
                modes that are not modelled
    """
    if cni != "flannel":
        raise UsageError(f"CNI {cni!r} is not modelled yet; only 'flannel' is")
    options = kube_proxy.options(cluster.kube_proxy)
    kube_proxy.check_mode(proxy_mode or options.mode)
    if not cluster.nodes:
        raise UsageError("no Node among the objects: there is nothing to program")
    with lasting():
        plan = _plan(cluster, options, warn)
        return {own.node.metadata.name: _program_node(plan, own) for own in plan.leases}


def _plan(cluster: Cluster, options: KubeProxyOptions, warn: Warn) -> _Plan:
    leases = [flannel_lease.lease(cluster.nodes[name]) for name in sorted(cluster.nodes)]
    placement.check_leases(leases)
    pods = placement.pods_by_node(cluster, warn)
    flannel = flannel_config.config(cluster, leases, warn)
    if not cluster.kube_proxy:
        # An installer tells kube-proxy the pods' range; without it kube-proxy would not
        # masquerade what enters the cluster.
        options = replace(options, cluster_cidrs=(flannel.network,))
        warn(f"no KubeProxyConfiguration: assuming the defaults, and clusterCIDR {flannel.network}")
    warn(underlay.assumption([lease.node for lease in leases]))
    return _Plan(cluster, leases, pods, flannel, options)


def _program_node(plan: _Plan, own: Lease) -> NodeState:
    draft = Draft(own.node)
    underlay.write(draft, [lease.node for lease in plan.leases])
    cni_flannel.write(draft, own, plan.leases, plan.flannel)
    cni_bridge.write(draft, own.subnet, plan.flannel.mtu, plan.pods[draft.name])
    _write_proxy(plan, draft)
    cni_flannel.write_rules(draft, own.subnet, plan.flannel.network)
    return draft.freeze()


def _write_proxy(plan: _Plan, draft: Draft) -> None:
    addresses = tuple(address.local for address in draft.addresses)
    host = ProxyHost(draft.node, addresses, sysctls=draft.sysctls)
    draft.sysctls.update(proxy_sync.sysctls(plan.options, host))
    for family, tables in ((4, draft.iptables), (6, draft.ip6tables)):
        proxy_iptables.write(tables, plan.cluster, host, plan.options, family)
