"""Choices fed in from outside, in place of chance: a file of JSON lines.

    {"choice":"endpoint","node":"node-a","flow":FLOW,"value":"10.244.2.3:8080"}
    {"choice":"statistic","node":"node-a","flow":FLOW,"rule":"nat KUBE-SVC-… 2","value":true}
    {"choice":"nat-port","node":"node-a","flow":FLOW,"value":[45321]}
    {"choice":"vxlan-port","node":"node-a","flow":FLOW,"value":[53841]}
    {"choice":"multipath","node":"node-a","flow":FLOW,"value":[0]}
    {"choice":"ip-id","node":"node-a","flow":FLOW,"value":[38612,38613]}

FLOW is `tcp 10.244.1.2:40000 > 10.96.10.10:80` (or udp, sctp, …; IPv6 addresses in brackets),
`icmp 10.1.1.1 > 10.2.2.2 id 77 type 8 code 0`, or for other protocols `47 10.1.1.1 > 10.2.2.2`:
for endpoint, statistic and nat-port as the connection's first packet came to the node, for
vxlan-port and ip-id as it was encapsulated there, and for an ICMP error's ip-id the packet that
provoked it; for multipath as it was routed, and the number of its leg from 0.

Values of several lines for one choice follow one another.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from _fastpath.fib_select import HashField, HashPolicy
from dataplane.errors import ParseError, Source, UsageError
from dataplane.node.iptables import Chain, Rule, Table
from dataplane.node.state import NodeState
from dataplane.reference.choice import (
    ChoiceKind,
    Fields,
    choice_key,
    identity,
    rule_identity,
)
from dataplane.reference.packet import ICMP, ICMPV6
from dataplane.replay.flow_text import parse_flow

Choices = dict[int, list[int]]  # key with seed 0: values in the order of their use
Word = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
SOURCE_MANIP, DESTINATION_MANIP = 0, 1


class _Line(msgspec.Struct, tag_field="choice", forbid_unknown_fields=True):
    node: str
    flow: str


class _Endpoint(_Line, tag="endpoint"):
    value: str


class _Statistic(_Line, tag="statistic"):
    rule: str
    value: bool


class _NatPort(_Line, tag="nat-port"):
    value: list[Word]
    manip: str = "source"


class _VxlanPort(_Line, tag="vxlan-port"):
    value: list[Word]


class _IpId(_Line, tag="ip-id"):
    value: list[Word]


class _Multipath(_Line, tag="multipath"):
    value: list[Word]


_AnyLine = _Endpoint | _Statistic | _NatPort | _VxlanPort | _IpId | _Multipath
_decode = msgspec.json.Decoder(_AnyLine).decode


def read(path: str, nodes: Mapping[str, NodeState]) -> Choices:
    """The choices of a file (`-` is standard input).  Raises ParseError with the line."""
    return parse(_text(path), path, nodes)


def _text(path: str) -> str:
    source = Source(path, 0)
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode()
    except UnicodeDecodeError:
        raise ParseError("not text in UTF-8", source) from None
    except ValueError as error:  # a NUL in the name
        raise UsageError(f"{path!r}: {error}") from None
    except OSError as error:
        raise UsageError(error.strerror or str(error), source) from None


def parse(text: str, path: str, nodes: Mapping[str, NodeState]) -> Choices:
    choices: Choices = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found = list(_read(line, nodes))
            except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
                raise ParseError(str(error), Source(path, number)) from None
            for key, values in found:
                choices.setdefault(key, []).extend(values)
    return choices


def _read(line: str, nodes: Mapping[str, NodeState]) -> Iterator[tuple[int, list[int]]]:
    """Keys and values of one line.  Raises ValueError saying what is wrong."""
    choice = _decode(line)
    if choice.node not in nodes:
        raise ValueError(f"no node {choice.node!r}; there are {', '.join(nodes)}")
    fields = parse_flow(choice.flow)
    match choice:
        case _Endpoint():
            table = _nat_table(nodes[choice.node], fields.family)
            for rule, matches in _towards(table, fields, choice.value):
                yield _key(ChoiceKind.STATISTIC, choice, fields, rule), [int(matches)]
        case _Statistic():
            rule = _rule(nodes[choice.node], fields.family, choice.rule)
            yield _key(ChoiceKind.STATISTIC, choice, fields, rule), [int(choice.value)]
        case _NatPort():
            manip = _manip(choice.manip)
            yield _key(ChoiceKind.NAT_PORT, choice, fields, manip), _ports(choice.value)
        case _VxlanPort():
            ends = _symmetric(fields)
            yield _key(ChoiceKind.VXLAN_PORT, choice, ends, 0), _ports(choice.value)
        case _Multipath():
            hashed = _hashed(nodes[choice.node], fields)
            yield _key(ChoiceKind.MULTIPATH, choice, hashed, 0), _ports(choice.value)
        case _IpId():
            yield _key(ChoiceKind.IP_ID, choice, fields, 0), choice.value


def _key(kind: int, choice: _Line, fields: Fields, extra: int) -> int:
    return choice_key(0, kind, identity(choice.node), fields, extra)


def _hashed(node: NodeState, fields: Fields) -> Fields:
    """The fields that fib_multipath_hash_policy leaves; a flow label is taken to be 0."""
    conf = f"net.ipv{fields.family}.fib_multipath_hash"
    policy = int(node.sysctls.get(f"{conf}_policy", "0"))
    asked = int(node.sysctls.get(f"{conf}_fields", "7"))
    if fields.protocol in (ICMP, ICMPV6):
        fields = fields._replace(sport=0, dport=0)
    if policy == HashPolicy.HASH_L4:
        return fields
    if policy != HashPolicy.HASH_CUSTOM:
        protocol = fields.protocol if fields.family == 6 else 0
        return fields._replace(protocol=protocol, sport=0, dport=0)
    return Fields(
        fields.family,
        fields.protocol if asked & HashField.FIELD_IP_PROTO else 0,
        fields.src if asked & HashField.FIELD_SRC_IP else None,
        fields.sport if asked & HashField.FIELD_SRC_PORT else 0,
        fields.dst if asked & HashField.FIELD_DST_IP else None,
        fields.dport if asked & HashField.FIELD_DST_PORT else 0,
    )


def _ports(values: list[int]) -> list[int]:
    if not values:
        raise ValueError("value: at least one port was expected")
    return values


def _manip(text: str) -> int:
    if text not in ("source", "destination"):
        raise ValueError(f"manip {text!r}, but source or destination was expected")
    return DESTINATION_MANIP if text == "destination" else SOURCE_MANIP


def _symmetric(fields: Fields) -> Fields:
    """Both directions of a flow take one tunnel port; ICMP has no ports to hash."""
    if fields.protocol in (ICMP, ICMPV6):
        fields = fields._replace(sport=0, dport=0)
    source, destination = (fields.src, fields.sport), (fields.dst, fields.dport)
    if (int(fields.dst or 0), fields.dport) < (int(fields.src or 0), fields.sport):
        source, destination = destination, source
    return Fields(fields.family, fields.protocol, *source, *destination)


# Rules.


def _nat_table(node: NodeState, family: int) -> Table:
    ruleset = node.ip6tables if family == 6 else node.iptables
    table = ruleset.tables.get("nat")
    if table is None:
        raise ValueError(f"node {node.name} has no nat table")
    return table


def _rule(node: NodeState, family: int, text: str) -> int:
    """The identity of `TABLE CHAIN NUMBER`."""
    words = text.split()
    if len(words) != 3 or not words[2].isdecimal() or len(words[2]) > 9:
        raise ValueError(f"rule {text!r}, but TABLE CHAIN NUMBER was expected")
    table, chain, number = words[0], words[1], int(words[2])
    ruleset = node.ip6tables if family == 6 else node.iptables
    found = ruleset.tables.get(table)
    rules = found.chains[chain].rules if found and chain in found.chains else ()
    if not 0 < number <= len(rules):
        raise ValueError(f"node {node.name} has no rule {text!r}")
    if not _is_random(rules[number - 1]):
        raise ValueError(f"rule {text!r} has no `statistic --mode random`")
    return rule_identity(family, table, chain, number)


def _towards(table: Table, fields: Fields, endpoint: str) -> Iterator[tuple[int, bool]]:
    """For each rule that draws on the way to an endpoint: its identity, and what it must say."""
    leading = _chains_leading_to(table, endpoint)
    if not leading:
        raise ValueError(f"no rule of the nat table translates to {endpoint}")
    for chain in table.chains.values():
        drawing = [n for n, rule in enumerate(chain.rules, start=1) if _is_random(rule)]
        last = _first_jump(chain, leading)
        for number in drawing:
            if number <= last:
                rule = rule_identity(fields.family, table.name, chain.name, number)
                yield rule, number == last


def _chains_leading_to(table: Table, endpoint: str) -> set[str]:
    leading = {
        chain.name
        for chain in table.chains.values()
        if any(_translates_to(rule, endpoint) for rule in chain.rules)
    }
    grown = True
    while grown:
        more = {
            chain.name
            for chain in table.chains.values()
            if chain.name not in leading and _first_jump(chain, leading)
        }
        leading |= more
        grown = bool(more)
    return leading


def _first_jump(chain: Chain, leading: set[str]) -> int:
    """Number of the first rule that jumps to one of the chains; 0 = none does."""
    for number, rule in enumerate(chain.rules, start=1):
        if rule.target and rule.target.name in leading:
            return number
    return 0


def _translates_to(rule: Rule, endpoint: str) -> bool:
    return bool(rule.target and rule.target.name == "DNAT") and any(
        option.name == "--to-destination" and option.values[:1] == (endpoint,)
        for option in (rule.target.options if rule.target else ())
    )


def _is_random(rule: Rule) -> bool:
    options = [option for match in rule.matches for option in match.options]
    return any(option.name == "--mode" and option.values == ("random",) for option in options)
