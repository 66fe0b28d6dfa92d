"""Random rule sets over what is modelled, as a kernel loads them."""

from random import Random

from tests import rule_pool

DEVICES = {"a": "eth0", "b": "eth1"}
HOOKS = {
    "raw": ["PREROUTING", "OUTPUT"],
    "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
    "filter": ["INPUT", "FORWARD", "OUTPUT"],
}
USER_CHAINS = ["A", "B", "C"]
VERDICTS = ["", "-j ACCEPT", "-j DROP", "-j RETURN"]


def rule_set(random: Random, family: int) -> str:
    """Text of iptables-restore: some tables, each with rules at its hooks and in user chains."""
    return "".join(table(random, name, family, random.random() < 0.6) for name in HOOKS)


def table(random: Random, name: str, family: int, is_filled: bool) -> str:
    hooks = HOOKS[name]
    lines = []
    for at, chain in enumerate([*hooks, *USER_CHAINS]):
        later = USER_CHAINS[max(at - len(hooks) + 1, 0) :]
        for _ in range(random.choice([0, 0, 1, 2, 3, 5]) if is_filled else 0):
            lines.append(f"-A {chain} {rule(random, name, chain, later, family)}".rstrip())
    heads = [f":{hook} {policy(random, name)} [0:0]" for hook in hooks]
    heads += [f":{chain} - [0:0]" for chain in USER_CHAINS]
    return "\n".join([f"*{name}", *heads, *lines, "COMMIT", ""])


def policy(random: Random, name: str) -> str:
    return "DROP" if name == "filter" and random.random() < 0.1 else "ACCEPT"


def rule(random: Random, name: str, chain: str, later: list[str], family: int) -> str:
    match = random.choice(matches(name, chain, family)).format(**DEVICES)
    targets = [verdict for verdict in VERDICTS if name != "nat" or "DROP" not in verdict]
    targets += [f"-{kind} {to}" for to in later for kind in "jjg"]
    targets += rule_pool.TABLE_TARGETS.get((name, family), [])
    targets += rule_pool.TABLE_TARGETS.get((name, 0), [])
    targets += rule_pool.CHAIN_TARGETS.get((name, chain, family), [])
    chosen = random.choice(targets)
    if "-j DROP" in chosen and random.random() < 0.6:
        chosen = ""
    if "-p " in chosen and "-p " in match:
        match = ""
    return " ".join(filter(None, [match, chosen]))


def matches(name: str, chain: str, family: int) -> list[str]:
    found = rule_pool.BOTH_FAMILIES + (rule_pool.IPV4 if family == 4 else rule_pool.IPV6)
    found = found + rule_pool.PLACE + rule_pool.MEMORY
    if name != "raw":
        found = found + rule_pool.CONNTRACK * 3
    return [match for match in found if fits(match, name, chain)]


def fits(match: str, name: str, chain: str) -> bool:
    """What the kernel takes at that hook; a user chain may be reached from any."""
    is_user = chain in USER_CHAINS
    if " -o " in f" {match}" and (chain in ("PREROUTING", "INPUT") or is_user):
        return False
    if " -i " in f" {match}" and (chain in ("POSTROUTING", "OUTPUT") or is_user):
        return False
    return "mac-source" not in match or (chain in ("PREROUTING", "INPUT", "FORWARD"))
