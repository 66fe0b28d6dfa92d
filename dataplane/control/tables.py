"""A rule set under construction: several agents write, then it is frozen.

Chains come out in the order iptables-save prints them: the kernel's in hook order, then the
others by name.
"""

from dataplane.node.iptables import Chain, Rule, Ruleset, Table

# Tables in the order in which kube-proxy, the first to touch iptables, makes them.
BASE_CHAINS = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


class Tables:
    """Rules by table and chain, in order."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[str, list[Rule]]] = {}

    def chain(self, table: str, chain: str) -> list[Rule]:
        """The chain's rules, to append to; makes the chain if need be."""
        chains = self._rules.get(table)
        if chains is None:
            chains = self._rules[table] = {name: [] for name in BASE_CHAINS[table]}
        return chains.setdefault(chain, [])

    def append(self, table: str, chain: str, *rules: Rule) -> None:
        self.chain(table, chain).extend(rules)

    def freeze(self) -> Ruleset:
        return Ruleset(
            {name: _table(name, self._rules[name]) for name in BASE_CHAINS if name in self._rules}
        )


def _table(name: str, rules: dict[str, list[Rule]]) -> Table:
    base = BASE_CHAINS[name]
    own = sorted(chain for chain in rules if chain not in base)
    chains = [Chain(chain, "ACCEPT", tuple(rules[chain])) for chain in base]
    chains += [Chain(chain, None, tuple(rules[chain])) for chain in own]
    return Table(name, {chain.name: chain for chain in chains})
