"""Addresses back to the objects that have them."""

from dataplane.cluster.objects import Address, Cluster, Pod, Service, ServicePort

Owner = tuple[str, str]  # ("pod" | "service", "namespace/name") or ("node", name)


class Index:
    """Who has an address, and what a Service's address and port stand for.

    Built once per cluster; where several have one address, a node comes before its
    hostNetwork pods, and a pod before a Service.
    """

    def __init__(self, cluster: Cluster):
        self._owners: dict[Address, Owner] = {}
        self._services: dict[tuple[Address, str, int], tuple[Service, ServicePort]] = {}
        self._service_addresses: set[Address] = set()
        self._node_ports: dict[tuple[str, int], tuple[Service, ServicePort]] = {}
        for node in cluster.nodes.values():
            for address in (*node.internal_ips, *node.external_ips):
                self._owners.setdefault(address, ("node", node.metadata.name))
        for pod in cluster.pods.values():
            self._add_pod(pod)
        for service in cluster.services.values():
            self._add_service(service)

    def owner(self, address: Address) -> Owner | None:
        """("pod", "ns/name"), ("service", "ns/name"), ("node", "name"), or None."""
        return self._owners.get(address)

    def service_port(
        self, address: Address, protocol: str, port: int
    ) -> tuple[Service, ServicePort] | None:
        """The Service port behind a cluster IP, external IP or load balancer IP."""
        return self._services.get((address, protocol, port))

    def has_services(self, address: Address) -> bool:
        """It is some Service's, whoever else has it."""
        return address in self._service_addresses

    def node_port(self, protocol: str, port: int) -> tuple[Service, ServicePort] | None:
        """The Service port behind a port number of every node."""
        return self._node_ports.get((protocol, port))

    def _add_pod(self, pod: Pod) -> None:
        # A finished pod's address may already be another's; hostNetwork pods have their node's.
        if pod.host_network or pod.phase in ("Succeeded", "Failed"):
            return
        for address in pod.ips:
            owner = ("pod", f"{pod.metadata.namespace}/{pod.metadata.name}")
            self._owners.setdefault(address, owner)

    def _add_service(self, service: Service) -> None:
        addresses = (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips)
        name = f"{service.metadata.namespace}/{service.metadata.name}"
        self._service_addresses.update(addresses)
        for address in addresses:
            self._owners.setdefault(address, ("service", name))
            for port in service.ports:
                self._services.setdefault((address, port.protocol, port.port), (service, port))
        for port in service.ports:
            if port.node_port:
                self._node_ports.setdefault((port.protocol, port.node_port), (service, port))
