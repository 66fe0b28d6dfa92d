"""Cases in which the real kube-proxy wrote its rules into a real kernel."""

import os
import re
from ipaddress import ip_interface
from pathlib import Path

import yaml

from dataplane.cluster.load import load
from dataplane.cluster.objects import Cluster
from dataplane.control import kube_proxy, proxy_iptables
from dataplane.control.kube_proxy import ProxyHost
from dataplane.control.tables import Tables
from dataplane.node import iptables
from dataplane.node.iptables import Rule, Ruleset

FIXTURES = Path(__file__).parent / "fixtures" / "kube-proxy"
REPOSITORY = Path(__file__).parents[2]
# The whole set, of which the fixtures are a part, where it lies beside the repository.
ORACLE = Path(os.environ.get("KUBE_PROXY_ORACLE", REPOSITORY / "../shared/oracle/kube-proxy"))

SAVE = {4: "iptables-save.txt", 6: "ip6tables-save.txt"}
# Chains of all Services; kube-proxy walks a Go map, so their rules come in any order.
SHARED = {
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-NODEPORTS"),
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "KUBE-NODEPORTS"),
    ("filter", "KUBE-PROXY-FIREWALL"),
}
SERVICE_PORT = re.compile(r"[^ /]+/[^ ]+")


def cases() -> list[Path]:
    root = ORACLE if ORACLE.is_dir() else FIXTURES
    return sorted(path.parent for path in root.glob("*/input.yaml"))


def programmed(case: Path, family: int) -> Ruleset:
    """What we write for the case's objects."""
    cluster = load([str(case / "input.yaml")])
    tables = Tables()
    options = kube_proxy.options(cluster.kube_proxy)
    proxy_iptables.write(tables, cluster, proxy_host(case, cluster), options, family)
    return tables.freeze()


def proxy_host(case: Path, cluster: Cluster) -> ProxyHost:
    """From NodeFacts, which is no kind of Kubernetes: what kube-proxy found in its node."""
    documents = yaml.safe_load_all((case / "input.yaml").read_text())
    facts = next(d for d in documents if d["kind"] == "NodeFacts")
    liberal = str(int(facts["conntrackTCPBeLiberal"]))
    return ProxyHost(
        node=cluster.nodes[facts["nodeName"]],
        addresses=tuple(
            ip_interface(text).ip
            for interface in facts["interfaces"]
            for text in interface["addresses"]
        ),
        nfacct=facts["nfacct"],
        random_fully=facts["iptablesRandomFully"],
        sysctls={"net.netfilter.nf_conntrack_tcp_be_liberal": liberal},
    )


def recorded(case: Path, family: int) -> Ruleset:
    path = case / SAVE[family]
    return iptables.parse(path.read_text(), str(path), family)


def by_chain(ruleset: Ruleset) -> dict[tuple[str, str], list[Rule]]:
    """The rules, those of shared chains grouped by the Service port they are for."""
    chains = {}
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            rules = list(chain.rules)
            if (table.name, chain.name) in SHARED:
                rules.sort(key=_service_port)
            chains[table.name, chain.name] = rules
    return chains


def _service_port(rule: Rule) -> str:
    """`ns/svc:port` of the rule's comment; rules of no Service stand last, as kube-proxy's do."""
    for match in rule.matches:
        if match.name == "comment":
            found = SERVICE_PORT.match(match.options[0].values[0])
            return found.group() if found else "~"
    return "~"


def layout(ruleset: Ruleset) -> list[tuple[str, str, str | None]]:
    """Tables, chains and policies in the order of the text."""
    return [
        (table.name, chain.name, chain.policy)
        for table in ruleset.tables.values()
        for chain in table.chains.values()
    ]
