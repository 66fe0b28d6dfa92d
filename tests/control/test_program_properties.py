"""What holds for every cluster, whatever is declared."""

from fractions import Fraction

from hypothesis import given

from dataplane.cluster.objects import Cluster
from dataplane.control.program import program
from dataplane.control.services import proxied_ports
from dataplane.node import iptables
from dataplane.node.iptables import Chain, Rule, Ruleset, Table
from dataplane.node.state import NodeState

from .strategies import clusters

VERDICTS = {"ACCEPT", "DROP", "RETURN", "REJECT", "MASQUERADE", "MARK", "DNAT"}


@given(clusters())
def test_programmed_rules_survive_their_text(cluster: Cluster) -> None:
    for state in program(cluster).values():
        for family, ruleset in _rulesets(state):
            assert iptables.parse(iptables.render(ruleset), "x", family) == ruleset


@given(clusters())
def test_every_chain_is_reached_and_every_jump_arrives(cluster: Cluster) -> None:
    for state in program(cluster).values():
        for _, ruleset in _rulesets(state):
            for table in ruleset.tables.values():
                targets = {
                    r.target.name for c in table.chains.values() for r in c.rules if r.target
                }
                own = {name for name, chain in table.chains.items() if chain.policy is None}
                assert targets - VERDICTS <= own
                assert own - targets <= {"KUBE-PROXY-CANARY"} | _unused(table)


@given(clusters())
def test_every_usable_endpoint_gets_an_equal_share(cluster: Cluster) -> None:
    for state in program(cluster).values():
        for _, ruleset in _rulesets(state):
            for chain in ruleset.tables["nat"].chains.values():
                if chain.name.startswith(("KUBE-SVC-", "KUBE-SVL-")):
                    shares = _shares(chain)
                    assert all(abs(share - Fraction(1, len(shares))) < 1e-8 for share in shares)
                    assert sum(shares) == 1


@given(clusters())
def test_every_port_is_forwarded_or_refused(cluster: Cluster) -> None:
    """Whatever is sent to a Service port meets a rule that names the port."""
    for state in program(cluster).values():
        for family, ruleset in _rulesets(state):
            for port in proxied_ports(cluster, cluster.nodes[state.name], family):
                chains = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES")
                rules = [r for c in chains for r in _rules(ruleset, c)]
                reached = {r.dst.network[0] for r in rules if r.dst and _is_for(r, port.name)}
                wanted = {port.cluster_ip, *port.external_ips, *port.load_balancer_ips}
                assert wanted <= reached


@given(clusters())
def test_devices_exist_and_have_one_index_and_one_mac_each(cluster: Cluster) -> None:
    for state in program(cluster).values():
        names = [link.name for link in state.links]
        assert len(set(names)) == len(names)
        assert [link.index for link in state.links] == list(range(1, len(names) + 1))
        assert len({link.mac for link in state.links}) == len(names)
        users = [*state.addresses, *state.routes, *state.neighbours, *state.fdb]
        assert {user.dev for user in users} <= set(names)


@given(clusters())
def test_every_pod_is_found_from_every_node(cluster: Cluster) -> None:
    states = program(cluster)
    for pod in cluster.pods.values():
        for name, state in states.items():
            (address,) = pod.ips
            routes = [r for r in state.routes if address in r.dst and r.table == "main"]
            route = max(routes, key=lambda r: r.dst.prefixlen)
            next_hop = route.gateway or address
            (neighbour,) = [n for n in state.neighbours if (n.dst, n.dev) == (next_hop, route.dev)]
            assert route.dev == ("cni0" if name == pod.node else "flannel.1")
            assert [e for e in state.fdb if e.mac == neighbour.lladdr]


def _rulesets(state: NodeState) -> list[tuple[int, Ruleset]]:
    return [(4, state.iptables), (6, state.ip6tables)]


def _rules(ruleset: Ruleset, chain: str) -> list[Rule]:
    tables = (ruleset.tables[name] for name in ("nat", "filter"))
    return [r for table in tables if chain in table.chains for r in table.chains[chain].rules]


def _is_for(rule: Rule, port: str) -> bool:
    texts = [m.options[0].values[0] for m in rule.matches if m.name == "comment"]
    return any(text.startswith(port + " ") for text in texts)


def _unused(table: Table) -> set[str]:
    """kube-proxy makes these and may have nothing to jump to them for."""
    return {"KUBE-MARK-MASQ", "KUBE-NODEPORTS"} if table.name == "nat" else set()


def _shares(chain: Chain) -> list[Fraction]:
    """The part of new clients that each endpoint gets, in order."""
    shares, rest = [], Fraction(1)
    for rule in chain.rules:
        names = {match.name: match for match in rule.matches}
        if "recent" in names or (rule.target and rule.target.name == "KUBE-MARK-MASQ"):
            continue
        chance = Fraction(1)
        if "statistic" in names:
            chance = Fraction(names["statistic"].options[1].values[0])
        shares.append(rest * chance)
        rest -= shares[-1]
    return shares
