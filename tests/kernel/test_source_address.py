"""Sources of IPv6 packets: of random addresses this kernel takes the same ones."""

import random

import pytest

from tests import frames as fr
from tests.kernel.routed import Case, Node, ask, compute
from tests.kernel.router import SIDES, address, ether
from tests.test_source_address import DESTINATIONS, SOURCES

pytestmark = pytest.mark.kernel

ROUNDS = 60
RULES = """*nat
-A PREROUTING -p tcp -j REDIRECT
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
"""


def dressed(node: Node, chance: random.Random) -> list[str]:
    """Random addresses on the node, and the commands that take them off again."""
    undone = []
    for source in chance.sample(SOURCES, chance.randrange(7)):
        device = chance.choice(["lo", *SIDES])
        prefix = f"{source}/{chance.choice([16, 48, 64, 128])}"
        words = f"ip addr add {prefix} dev {device} nodad noprefixroute"
        words += " valid_lft 9999 preferred_lft 0" if chance.random() < 0.3 else ""
        node.run(*words.split())
        undone.append(f"ip addr del {prefix} dev {device}")
    for device in ("default", *SIDES):
        value = chance.choice("00001")
        node.router.node.sysctl(f"net.ipv6.conf.{device}.use_oif_addrs_only", value)
    return undone


def test_sources_are_those_of_this_kernel() -> None:
    node = Node(6, "legacy")
    src = address(SIDES[0], 2, 6)
    sent = tuple(
        ether(SIDES[0], fr.ipv6(src, dst, 17, fr.udp(src, 7, dst, 80)), 6) for dst in DESTINATIONS
    )
    try:
        for number in range(ROUNDS):
            undone = dressed(node, random.Random(number))
            node.plain = node.dump()
            run = ask(node, Case(6, "legacy", RULES, frames=sent))
            assert compute(run)[0].frames == run.seen.frames, (number, node.plain.addresses)
            for command in undone:
                node.run(*command.split())
    finally:
        node.router.close()
