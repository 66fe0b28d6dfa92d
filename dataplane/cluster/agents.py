"""What the agents of the cluster are told: kube-proxy's and flannel's configuration."""

from typing import Any

from dataplane.cluster import documents
from dataplane.cluster.documents import Document
from dataplane.cluster.fields import Fields
from dataplane.cluster.validate import network
from dataplane.errors import DataplaneError

KUBE_PROXY = ("kubeproxy.config.k8s.io", "KubeProxyConfiguration")
PROXY_MODES = ("", "iptables", "ipvs", "nftables")


def embedded(config_map: Fields, key: str) -> Fields | None:
    """The document in `data.KEY`; its errors name the line of the key."""
    data = config_map.mapping("data")
    text = data.string(key)
    if not text.strip():
        return None
    where = data.document.source_of((*data.path, key))
    try:
        found = next(documents.parse(text, where.path), None)
    except DataplaneError as error:
        message = str(error).removeprefix(f"{error.source}: ")
        data.fail(f"{key}: {message}", key)
    if found is None:
        return None
    document = Document(found.value, where, lambda _: where.line)
    return Fields(document, f"{config_map.subject} {key}", (), found.value)


def check_kube_proxy(fields: Fields) -> dict[str, Any]:
    """A KubeProxyConfiguration; the fields that the dataplane depends on have their types."""
    for text in filter(None, fields.string("clusterCIDR").split(",")):
        fields.check("clusterCIDR", text.strip(), network)
    fields.choice("mode", PROXY_MODES, "")
    fields.string("detectLocalMode")
    fields.string("hostnameOverride")
    _check_node_port_addresses(fields)
    for mode in ("iptables", "ipvs", "nftables"):
        section = fields.mapping(mode)
        section.boolean("masqueradeAll")
        bit = section.integer("masqueradeBit", 14)
        if not 0 <= bit <= 31:
            section.fail(f"masqueradeBit {bit}, but 0-31 allowed", "masqueradeBit")
    return fields.value


def check_flannel(fields: Fields) -> dict[str, Any]:
    """flannel's net-conf.json."""
    for key in ("Network", "IPv6Network"):
        if text := fields.string(key):
            fields.check(key, text, network)
    backend = fields.mapping("Backend")
    backend.string("Type")
    for key in ("VNI", "Port", "MTU"):
        backend.integer(key)
    return fields.value


def _check_node_port_addresses(fields: Fields) -> None:
    for index, text in enumerate(fields.strings("nodePortAddresses")):
        if text != "primary":
            fields.check("nodePortAddresses", text, network, index)
