"""The words that agents write iptables rules with, in the form iptables-save prints them."""

from functools import lru_cache
from ipaddress import ip_network

from dataplane.cluster.objects import Address, Network
from dataplane.errors import Source
from dataplane.node.iptables import Match, Option, Prefix, Protocol, Rule, Target

PROTOCOL_NUMBER = {"tcp": 6, "udp": 17, "sctp": 132}
HOST_MASK = {4: "255.255.255.255", 6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}


# The same words stand in many rules, and in those of all nodes; each is made once.
_once = lru_cache(maxsize=1 << 17)


@_once
def host(address: Address, *, negated: bool = False) -> Prefix:
    return Prefix(ip_network(address), negated)


def aimed(rule: Rule, target: Target | None, source: Source) -> Rule:
    """The same rule with a target, as `dataclasses.replace` makes it in nine times the time."""
    return Rule(
        rule.src, rule.dst, rule.in_interface, rule.out_interface, rule.protocol, rule.fragment,
        rule.matches, target, rule.packets, rule.bytes, source, rule.unread,
    )  # fmt: skip


def prefix(network: Network, *, negated: bool = False) -> Prefix | None:
    """None for the prefix that holds every address, which iptables-save does not print."""
    if network.prefixlen == 0 and not negated:
        return None
    return Prefix(network, negated)


@_once
def protocol(name: str) -> Protocol:
    return Protocol(PROTOCOL_NUMBER[name])


@_once
def comment(text: str) -> Match:
    return Match("comment", (Option("--comment", (text,)),))


@_once
def ctstate(states: str, *, negated: bool = False) -> Match:
    return Match("conntrack", (Option("--ctstate", (states,), negated),))


@_once
def mark(mask: int, *, negated: bool = False) -> Match:
    return Match("mark", (Option("--mark", (f"{mask:#x}/{mask:#x}",), negated),))


@_once
def addrtype(option: str, kind: str) -> Match:
    return Match("addrtype", (Option(option, (kind,)),))


def nfacct(name: str) -> Match:
    return Match("nfacct", (Option("--nfacct-name", (name,)),))


@_once
def dport(name: str, port: int) -> Match:
    """`-m tcp --dport 80`"""
    return Match(name, (Option("--dport", (str(port),)),))


@_once
def recent_set(name: str, family: int) -> Match:
    return Match("recent", (Option("--set"), *_recent_table(name, family)))


@_once
def recent_check(name: str, family: int, seconds: int) -> Match:
    age = (Option("--rcheck"), Option("--seconds", (str(seconds),)), Option("--reap"))
    return Match("recent", (*age, *_recent_table(name, family)))


def _recent_table(name: str, family: int) -> tuple[Option, ...]:
    mask = Option("--mask", (HOST_MASK[family],))
    return (Option("--name", (name,)), mask, Option("--rsource"))


@_once
def one_of(count: int) -> Match:
    """Matches one packet in `count`, by chance.

    kube-proxy asks for 1/count with ten digits; libxt_statistic rounds that to a fraction of
    2^31, and that fraction is what iptables-save prints, with eleven digits.
    """
    fraction = round(float(f"{1 / count:.10f}") * (1 << 31))
    text = f"{fraction / (1 << 31):.11f}"
    return Match("statistic", (Option("--mode", ("random",)), Option("--probability", (text,))))


@_once
def jump(chain: str) -> Target:
    return Target(chain)


@_once
def reject(family: int) -> Target:
    code = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
    return Target("REJECT", (Option("--reject-with", (code,)),))


@_once
def set_xmark(value: int, mask: int) -> Target:
    return Target("MARK", (Option("--set-xmark", (f"{value:#x}/{mask:#x}",)),))


@_once
def masquerade(*, random_fully: bool = True) -> Target:
    return Target("MASQUERADE", (Option("--random-fully"),) if random_fully else ())


@_once
def dnat(destination: str) -> Target:
    return Target("DNAT", (Option("--to-destination", (destination,)),))
