"""Random small clusters: few names, addresses and ports, so that they meet."""

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from dataplane.cluster.objects import (
    Cluster,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Metadata,
    Node,
    Pod,
    Service,
    ServicePort,
)

NODES = ("a", "b", "c")
ZONES = ("x", "y")
PODS = tuple(f"10.244.{node}.{pod}" for node in (1, 2, 3) for pod in (2, 3))
POLICIES = ("Cluster", "Local")
PORTS = (("", "TCP"), ("dns", "UDP"), ("dns", "TCP"), ("s", "SCTP"))


def _node(number: int, zone: str) -> Node:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return Node(
        Metadata(NODES[number], labels=labels),
        (ip_network(f"10.244.{number + 1}.0/24"), ip_network(f"fd00:{number + 1}::/64")),
        (ip_address(f"192.168.50.{number + 11}"), ip_address(f"2001:db8::{number + 11}")),
    )


@st.composite
def endpoints(draw: st.DrawFn, family: int) -> Endpoint:
    text = draw(st.sampled_from(PODS))
    return Endpoint(
        (ip_address(text if family == 4 else "fd00::" + text[-1]),),
        *draw(st.tuples(st.booleans(), st.booleans(), st.booleans())),
        node=draw(st.sampled_from(("", *NODES))),
        hints_zones=draw(st.sampled_from(((), ("x",), ("y",)))),
        hints_nodes=draw(st.sampled_from(((), ("a",), ("b",)))),
    )


@st.composite
def slices(draw: st.DrawFn, name: str, service: str) -> EndpointSlice:
    family = draw(st.sampled_from((4, 6)))
    return EndpointSlice(
        Metadata(name, "default"),
        service,
        f"IPv{family}",
        tuple(EndpointPort(8080, protocol, port) for port, protocol in PORTS),
        tuple(draw(st.lists(endpoints(family), max_size=4))),
    )


@st.composite
def services(draw: st.DrawFn, name: str, number: int) -> Service:
    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer")))
    node_port = 0 if kind == "ClusterIP" else 30000 + number * 10
    chosen = draw(st.lists(st.sampled_from(PORTS), min_size=1, unique=True))
    return Service(
        Metadata(name, "default"),
        kind,
        draw(_some(f"10.96.0.{number}", f"fd00:96::{number}")),
        ports=tuple(
            ServicePort(80 + i, protocol, port, node_port=node_port and node_port + i)
            for i, (port, protocol) in enumerate(chosen)
        ),
        external_ips=draw(_some("198.51.100.1", "fd00:5::1")),
        session_affinity_seconds=draw(st.sampled_from((0, 10800))),
        internal_traffic_policy=draw(st.sampled_from(POLICIES)),
        external_traffic_policy=draw(st.sampled_from(POLICIES)),
        load_balancer_ips=draw(_some("203.0.113.1", "fd00:7::1")) if node_port else (),
        load_balancer_source_ranges=draw(
            st.sampled_from(((), (ip_network("192.168.0.0/16"),), (ip_network("0.0.0.0/0"),)))
        ),
    )


def _some(*texts: str) -> st.SearchStrategy[tuple]:  # type: ignore[type-arg]
    addresses = [ip_address(text) for text in texts]
    return st.lists(st.sampled_from(addresses), unique=True).map(tuple)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, object]:
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "clusterCIDR": st.sampled_from(("10.244.0.0/16", "fd00::/16,10.244.0.0/16")),
                "detectLocalMode": st.sampled_from(("ClusterCIDR", "NodeCIDR", "BridgeInterface")),
                "detectLocal": st.just({"bridgeInterface": "cni0"}),
                "iptables": st.fixed_dictionaries(
                    {"masqueradeAll": st.booleans(), "localhostNodePorts": st.booleans()}
                ),
                "nodePortAddresses": st.lists(
                    st.sampled_from(("primary", "127.0.0.0/8", "10.244.0.0/16", "::/0"))
                ),
            },
        )
    )


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    nodes = [_node(n, draw(st.sampled_from(("", *ZONES)))) for n in range(draw(st.integers(1, 3)))]
    found = [draw(services(f"s{n}", n + 1)) for n in range(draw(st.integers(0, 3)))]
    names = draw(st.lists(st.sampled_from(("s0", "s1", "s2")), max_size=4))
    entries = [draw(slices(f"slice-{n}", service)) for n, service in enumerate(names)]
    addresses = draw(st.lists(st.sampled_from(PODS[: 2 * len(nodes)]), unique=True))
    pods = [
        Pod(Metadata(f"p{n}", "default"), NODES[int(text[7]) - 1], (ip_address(text),))
        for n, text in enumerate(addresses)
    ]
    return Cluster(
        nodes={node.metadata.name: node for node in nodes},
        pods={("default", pod.metadata.name): pod for pod in pods},
        services={("default", service.metadata.name): service for service in found},
        endpoint_slices={("default", each.metadata.name): each for each in entries},
        kube_proxy=draw(configurations()),
    )
