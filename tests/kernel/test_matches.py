"""Every match against this kernel: each rule sees every packet of a table, and counts.

All rules are loaded at once, each in a chain of its own that one source address leads to; what
a match does not take the chain's last rule counts, and what it drops neither.
"""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dataplane.node import iptables
from tests import frames as fr
from tests import rule_pool
from tests.kernel.routed import Case, Counters, Node, Run, ask, compute, counted
from tests.kernel.router import Sent, address, ether
from tests.match_packets import PACKETS4, PACKETS6, Header4

pytestmark = pytest.mark.kernel

# These ask for the source, which says here whose turn it is.
SKIPPED = ("-s ", "--src-range", "-m limit", "-m hashlimit", "-m recent", "-m quota", "-m time",
           "-m statistic", "conntrack", "state")  # fmt: skip


def words_of(family: int, flavour: str) -> list[str]:
    own = [rule_pool.IPV4, rule_pool.IPV6][family == 6]
    found = [*rule_pool.BOTH_FAMILIES, *own, *rule_pool.PLACE]
    return [
        words.format(a="eth0", b="eth1")
        for words in found
        if " -o " not in f" {words}" and not any(part in words for part in SKIPPED)
    ]


def source(family: int, number: int) -> str:
    first = ip_address("10.0.0.10" if family == 4 else "fd00:0::10")
    return str(first + number)


def rule_set(words: list[str], family: int) -> str:
    heads = [f":M{number} - [0:0]" for number in range(len(words))]
    lines = [f"-A PREROUTING -s {source(family, n)} -g M{n}" for n in range(len(words))]
    for number, text in enumerate(words):
        lines += [f"-A M{number} {text} -j DROP", f"-A M{number} -j DROP"]
    return "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", *heads, *lines, "COMMIT", ""])


def frames(family: int, number: int) -> list[Sent]:
    return [frame(family, number, packet) for packet in (PACKETS4 if family == 4 else PACKETS6)]


def frame(family: int, number: int, packet: Header4 | tuple[int, bytes]) -> Sent:
    src, dst = source(family, number), address("eth1", 2, family)
    if isinstance(packet, Header4):
        return ether("eth0", packet.bytes(src, dst))
    return ether("eth0", fr.ipv6(src, dst, *packet), 6)


@pytest.mark.parametrize("flavour", ["legacy", "nft"])
@pytest.mark.parametrize("family", [4, 6])
def test_matches_count_what_this_kernel_counts(family: int, flavour: str) -> None:
    words = words_of(family, flavour)
    sent = tuple(frame for number in range(len(words)) for frame in frames(family, number))
    node = Node(family, flavour)
    try:
        case = Case(family, flavour, rule_set(words, family), frames=sent)
        assert differing(node, case, words) == []
    finally:
        node.router.close()


def differing(node: Node, case: Case, words: list[str]) -> list[str]:
    run = ask(node, case)
    theirs, mine = run.seen.counters, compute(run)[0].counters
    found = []
    for number, text in enumerate(words):
        rows = [("raw", f"M{number}", at) for at in (1, 2)]
        if any(theirs[row] != mine[row] for row in rows):
            found.append(f"{text}: {culprits(node, run, number, rows)}")
    return found


def culprits(node: Node, run: Run, number: int, rows: list[tuple[str, str, int]]) -> list[str]:
    """Which packets, what Linux counts of them, and what is counted here."""
    found = []
    for sent in frames(run.case.family, number):
        pair = []
        for of in (asked(node, sent), computed(run, sent)):
            pair.append([of[row][0] for row in rows])
        if pair[0] != pair[1]:
            found.append(f"{sent.frame[14:].hex()} {pair[0]} {pair[1]}")
    return found


def asked(node: Node, sent: Sent) -> Counters:
    """What one frame adds to the counters of the rules that are loaded."""
    before = saved(node)
    node.send(sent)
    after = saved(node)
    return {row: (n - before[row][0], b - before[row][1]) for row, (n, b) in after.items()}


def saved(node: Node) -> Counters:
    text = node.run(f"{node.tool}-save", "-c", "-t", "raw")
    return counted(iptables.parse(text, "save", family=node.family))


def computed(run: Run, sent: Sent) -> Counters:
    case = replace(run.case, frames=(sent,))
    return compute(run._replace(case=case, times=run.times[:1]))[0].counters
