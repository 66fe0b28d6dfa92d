"""Does a rule match?  Read straight from the rule's own words.

First the header part (addresses, interfaces, protocol, fragment), then each `-m` in the order
of the rule, and no further than the first that is false: `statistic` counts what reaches it.

    match_packet        matches that look at the transport header
    match_dccp          at that of DCCP
    match_header        at the network header and the link layer's
    match_bytes         anywhere in the packet
    match_extension     at IPv6 extension headers
    match_place         where the packet is
    match_route         how its addresses would be routed
    match_device        which bridge ports it came and leaves by
    match_conntrack     its connection
    match_memory        what the rule remembers, chance and the time
    sets                sets of addresses and ports
"""

from enum import IntEnum

from _fastpath.reason import Reason
from dataplane.node.iptables import Interface, Prefix, Rule, are_listed
from dataplane.node.state import Address
from dataplane.reference import (
    match_bytes,
    match_conntrack,
    match_dccp,
    match_device,
    match_extension,
    match_header,
    match_memory,
    match_packet,
    match_place,
    match_route,
    sets,
)
from dataplane.reference.match_words import Answer, CountedDrop, Options, Unmodelled, Where, flavour
from dataplane.reference.packet import AUTHENTICATION, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import Ended, dropped


def _always(place: Place, options: Options, packet: Packet) -> bool:
    return True


ANSWERS: dict[str, Answer] = {
    "comment": _always,
    "nfacct": _always,  # counts elsewhere
    **match_packet.ANSWERS,
    **match_dccp.ANSWERS,
    **match_header.ANSWERS,
    **match_bytes.ANSWERS,
    **match_extension.ANSWERS,
    **match_place.ANSWERS,
    **match_route.ANSWERS,
    **match_device.ANSWERS,
    **match_conntrack.ANSWERS,
    **sets.ANSWERS,
}


class Outcome(IntEnum):
    NO = 0
    YES = 1
    UNDECIDED = 2  # it matches or not
    DROP = 3  # a match drops the packet (par->hotdrop)
    UNDECIDED_DROP = 4  # the rule does not match, or the packet is dropped
    COUNTED_DROP = 5  # the rule counts, its target runs, and the packet is dropped


def matches(
    place: Place, table: str, chain: str, number: int, rule: Rule, packet: Packet, is_asked: bool
) -> Outcome:
    """`is_asked` False: it is not known whether the packet meets this rule.

    A match that is not modelled may say yes or no; if a later one certainly says no, the rule
    does not match.  What remembers is not asked where it is not known whether Linux asks it; from
    then on it is not known what it would say.
    """
    try:
        if not _matches_header(place, rule, packet):
            return Outcome.NO
    except Ended:
        return Outcome.DROP
    is_decided, is_dropped, is_certain = True, False, False
    for at in range(len(rule.matches)):
        where = Where(table, chain, number, at)
        try:
            if not (is_asked and is_decided):
                _keep_out(place, where, rule)
            holds = _matches_extension(place, where, rule, packet)
        except Unmodelled:
            is_decided = False
        except CountedDrop:
            is_dropped, is_certain = True, is_certain or is_decided
        except Ended:
            return _drop(is_decided or is_certain)
        else:
            if not holds:
                return _drop(is_decided or is_certain) if is_dropped else Outcome.NO
    if is_dropped:
        return Outcome.COUNTED_DROP if is_decided else Outcome.UNDECIDED_DROP
    return Outcome.YES if is_decided else Outcome.UNDECIDED


def _drop(is_certain: bool) -> Outcome:
    return Outcome.DROP if is_certain else Outcome.UNDECIDED_DROP


def _keep_out(place: Place, where: Where, rule: Rule) -> None:
    match = rule.matches[where.at]
    if match.name in match_memory.ANSWERS:
        match_memory.keep_out(place, where, match)
    elif match.name == "set":
        sets.keep_out(place, match.options)


def _matches_header(place: Place, rule: Rule, packet: Packet) -> bool:
    return (
        _matches_prefix(rule.src, packet.src)
        and _matches_prefix(rule.dst, packet.dst)
        and _matches_interface(rule.in_interface, place.in_device)
        and _matches_interface(rule.out_interface, place.out_device)
        and _matches_protocol(place, rule, packet)
        and (rule.fragment is None or rule.fragment != packet.is_first)
    )


def _matches_protocol(place: Place, rule: Rule, packet: Packet) -> bool:
    if rule.protocol is None or rule.protocol.number == 0:
        return True
    is_nft = flavour(place) == "nft"
    if is_nft and packet.has_authentication:  # nft_set_pktinfo_ipv6 stops at it
        return (rule.protocol.number == AUTHENTICATION) != rule.protocol.negated
    if not packet.has_protocol:
        if is_nft:
            return False
        raise dropped(Reason.NETFILTER_DROP)  # ip6_packet_match
    return (rule.protocol.number == packet.protocol) != rule.protocol.negated


def _matches_prefix(prefix: Prefix | None, address: Address) -> bool:
    if prefix is None:
        return True
    wanted = prefix.network.network_address
    is_in = address.version == wanted.version and int(address) & prefix.netmask == int(wanted)
    return is_in != prefix.negated


def _matches_interface(interface: Interface | None, device: str | None) -> bool:
    """A hook without such a device shows the empty name, which only `+` matches."""
    if interface is None:
        return True
    name = device or ""
    if interface.name.endswith("+"):
        return name.startswith(interface.name[:-1]) != interface.negated
    return (name == interface.name) != interface.negated


def _matches_extension(place: Place, where: Where, rule: Rule, packet: Packet) -> bool:
    match = rule.matches[where.at]
    if not are_listed(match.name, match.options):
        raise Unmodelled
    remembering = match_memory.ANSWERS.get(match.name)
    if remembering:
        try:
            match_memory.check_certainty(place, where, match)
            return remembering(place, where, match.options, packet)
        except (
            KeyError,
            ValueError,
            ZeroDivisionError,
        ):  # an option that says nothing, or a number that is none
            raise Unmodelled from None
    known = ANSWERS.get(match.name)
    if known is None:
        raise Unmodelled
    return known(place, match.options, packet)
