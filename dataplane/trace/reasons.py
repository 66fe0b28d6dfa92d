"""Every way a packet can end, in one sentence, and the kernel's own name where it has one."""

from typing import NamedTuple

from _fastpath.reason import Reason, Verdict


class Explained(NamedTuple):
    sentence: str
    skb: str = ""  # SKB_DROP_REASON_… without its prefix; "" = the kernel has none


VERDICTS = {
    Verdict.SKIPPED: "It was not injected.",
    Verdict.DELIVERED: "It reached a pod, or a process on a node.",
    Verdict.DROPPED: "It was dropped silently.",
    Verdict.REJECTED: "It was dropped, and its sender was told.",
    Verdict.FORWARDED: "It left the cluster.",
    Verdict.CONSUMED: "It ended where it should, with nobody to deliver it to.",
    Verdict.UNKNOWN: "Something decides here that is not modelled.",
}

REASONS = {
    Reason.NONE: Explained("Nothing stopped it."),
    # the frame and its headers
    Reason.FRAME_TOO_SHORT: Explained(
        "The frame is shorter than an Ethernet header.", "PKT_TOO_SMALL"
    ),
    Reason.IP_HEADER_INVALID: Explained("The IP header contradicts itself.", "IP_INHDR"),
    Reason.IP_CHECKSUM_WRONG: Explained("The IP header's checksum is wrong.", "IP_CSUM"),
    Reason.OTHER_HOST: Explained("The frame is for another MAC address.", "OTHERHOST"),
    Reason.UNHANDLED_PROTOCOL: Explained(
        "Nobody on the node handles this EtherType.", "UNHANDLED_PROTO"
    ),
    Reason.DEVICE_DOWN: Explained("The device is down.", "DEV_READY"),
    Reason.FRAGMENT_DUPLICATE: Explained("A fragment that had come before.", "DUP_FRAG"),
    Reason.FRAGMENT_INVALID: Explained(
        "A fragment that does not fit the others of its packet; those are gone with it."
    ),
    Reason.FRAGMENT_MEMORY: Explained("The node lets no fragments wait (ipfrag_high_thresh)."),
    # netfilter and conntrack
    Reason.NETFILTER_DROP: Explained("A rule or a chain's policy drops it.", "NETFILTER_DROP"),
    Reason.NETFILTER_REJECT: Explained("A REJECT rule refuses it.", "NETFILTER_DROP"),
    Reason.CONNTRACK_FULL: Explained(
        "The connection table is full (nf_conntrack_max).", "NETFILTER_DROP"
    ),
    Reason.CONNTRACK_CLASH: Explained(
        "Another connection took its tuple before it was confirmed.", "NETFILTER_DROP"
    ),
    Reason.NAT_NO_ADDRESS: Explained(
        "MASQUERADE found no address on the outgoing device.", "NETFILTER_DROP"
    ),
    # routing
    Reason.NO_ROUTE: Explained("No route leads to the destination.", "IP_INNOROUTES"),
    Reason.FORWARDING_DISABLED: Explained(
        "The node does not forward: net.ipv4.ip_forward is 0.", "IP_INADDRERRORS"
    ),
    Reason.TTL_EXPIRED: Explained("Its time to live ran out.", "IP_INHDR"),
    Reason.MARTIAN_SOURCE: Explained(
        "Its source address cannot come in by this device.", "IP_INVALID_SOURCE"
    ),
    Reason.MARTIAN_DESTINATION: Explained(
        "Its destination address cannot be sent to from outside.", "IP_INVALID_DEST"
    ),
    Reason.REVERSE_PATH: Explained(
        "The way back to its source leaves by another device (rp_filter).", "IP_RPFILTER"
    ),
    Reason.ROUTE_BLACKHOLE: Explained("A blackhole route swallows it.", "IP_INNOROUTES"),
    Reason.ROUTE_UNREACHABLE: Explained(
        "An unreachable route refuses it (ICMP host unreachable).", "IP_INNOROUTES"
    ),
    Reason.ROUTE_PROHIBIT: Explained(
        "A prohibit route refuses it (ICMP administratively prohibited).", "IP_INNOROUTES"
    ),
    Reason.FRAGMENTATION_NEEDED: Explained(
        "It is longer than the MTU and must not be fragmented.", "PKT_TOO_BIG"
    ),
    Reason.GROUP_NOT_JOINED: Explained("A multicast group that the node has not joined."),
    Reason.SOURCE_SCOPE: Explained(
        "An IPv6 source address that no router forwards.", "IP_INADDRERRORS"
    ),
    Reason.SOURCE_ROUTED: Explained(
        "It says its way itself, and accept_source_route is off.", "NOT_SPECIFIED"
    ),
    # link layer
    Reason.NEIGHBOUR_FAILED: Explained("The next hop does not answer.", "NEIGH_FAILED"),
    Reason.BRIDGE_SAME_PORT: Explained(
        "It would leave the bridge by the port it came in by (no hairpin)."
    ),
    Reason.HOST_ADDRESS: Explained("The host behind the device does not have this address."),
    Reason.ADDRESS_LEARNED_LOCAL: Explained(
        "Its source MAC address is one that cannot come in here.", "MAC_INVALID_SOURCE"
    ),
    Reason.BRIDGE_LINK_LOCAL: Explained("Bridges do not forward link-local control frames."),
    Reason.FLOODED: Explained("Sent to every port; no known host has its MAC address."),
    # tunnels
    Reason.VXLAN_NO_REMOTE: Explained(
        "The VXLAN device does not know which node has this MAC address.", "VXLAN_NO_REMOTE"
    ),
    Reason.VXLAN_INVALID: Explained("The VXLAN header is not valid.", "VXLAN_INVALID_HDR"),
    Reason.VXLAN_UNKNOWN_VNI: Explained(
        "No VXLAN device of the node has this VNI.", "VXLAN_VNI_NOT_FOUND"
    ),
    Reason.TUNNEL_LOOP: Explained("It was encapsulated again and again.", "NOT_SPECIFIED"),
    # ends that are no drop
    Reason.HOST: Explained("Handed to the host behind the device."),
    Reason.LOCAL_PROCESS: Explained("Handed to a process of the node."),
    Reason.LEFT_BY_DEVICE: Explained("Sent out; nothing given says who is out there."),
    Reason.ARP_HANDLED: Explained("An ARP message: answered, or taken note of."),
    Reason.GROUP_ADDRESS: Explained("Broadcast or multicast, sent to every port."),
    Reason.FRAGMENT_HELD: Explained("A fragment: it waits for the rest of its packet."),
    # what the replay did not inject
    Reason.UNANSWERED: Explained("A recorded reply in a flow that was never delivered."),
    Reason.ANSWERED_BY_NODE: Explained("A recorded reply that the emulated nodes make themselves."),
    Reason.NO_ENTRY: Explained("Neither of its ends has a place in the cluster."),
    Reason.NOT_IP: Explained("Neither IP nor ARP."),
    Reason.RECORDED_ERROR: Explained("A recorded ICMP error; the emulated nodes make their own."),
    Reason.ONE_WAY: Explained("A responder's packet; only initiators' were asked for."),
    # the emulator stops, and says so
    Reason.MATCH_UNMODELLED: Explained("A match that is not modelled decides here."),
    Reason.TARGET_UNMODELLED: Explained("A target that is not modelled decides here."),
    Reason.FRAGMENT_UNMODELLED: Explained(
        "More packets wait for their fragments here than there is room for."
    ),
    Reason.FRAGMENTATION_UNMODELLED: Explained(
        "It would be cut into fragments again and again, or flooded in fragments."
    ),
    Reason.NEIGHBOUR_UNKNOWN: Explained("Nothing given says who has the next hop's address."),
    Reason.CAPTURE_CUT: Explained("The capture holds too little of the packet to go on."),
    Reason.TRACE_FULL: Explained("It took more steps than one trace holds."),
    Reason.UNDERLAY_UNMODELLED: Explained(
        "A tunnel that is not modelled: VXLAN over IPv6, or with settings that are not."
    ),
    Reason.QUEUED: Explained(
        "NFQUEUE or QUEUE: a program beside the kernel decides, and none is known."
    ),
    Reason.SOCKET_UNKNOWN: Explained(
        "TPROXY: a socket of the node decides, and nothing is known of its sockets."
    ),
    Reason.ROUTE_UNMODELLED: Explained(
        "A kind of route, or a routing rule, that is not modelled (multipath, selectors)."
    ),
}


def explain(reason: int) -> Explained:
    return REASONS[Reason(reason)]


def skb_drop_reason(reason: int) -> str:
    """The name that `perf` and the kfree_skb tracepoint show; "" = the kernel has none."""
    name = explain(reason).skb
    return f"SKB_DROP_REASON_{name}" if name else ""
