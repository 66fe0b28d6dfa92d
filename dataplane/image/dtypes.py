"""NumPy's view of the C structs of _fastpath: one dtype per struct, field by field.

Cython compares the two layouts whenever an array enters a kernel, so they cannot drift
apart unseen.  The fields are explained in image.pxd, state.pxd and trace.pxd.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

LETTERS = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i4": "i", "i8": "q"}  # of struct

ADDR = np.dtype([("hi", "u8"), ("lo", "u8")], align=True)

NODE = np.dtype(
    [
        ("identity", "u8"),
        ("hook_start", "u4", (10,)), ("hook_count", "u2", (10,)),
        ("fib_start", "u4", (2,)), ("fib_count", "u4", (2,)), ("local_fib", "i4", (2,)),
        ("device_start", "u4"), ("device_count", "u4"), ("loopback", "i4"),
        ("port_low", "u2"), ("port_high", "u2"),
        ("forwarding", "u1", (2,)), ("hash_policy", "u1", (2,)),
        ("has_custom_rules", "u1"), ("has_custom_local", "u1"), ("hash_fields", "u4", (2,)),
        ("bridge_nf", "u1", (2,)),
        ("default_ttl", "u1"), ("tcp_loose", "u1"), ("tcp_be_liberal", "u1"),
        ("conntrack_checksum", "u1"), ("tcp_max_retrans", "u1"), ("tcp_ignore_invalid_rst", "u1"),
        ("conntrack_max", "u4"), ("timeouts", "u4", (48,)),
        ("conntrack_buckets", "u4"), ("conntrack_acct", "u1"), ("has_dccp", "u1"),
        ("has_realms", "u1"), ("padding", "u1"),
        ("fragment_times", "u4", (3,)), ("fragment_distance", "u4"),
        ("fragment_memory", "u1", (4,)),
        ("icmp_ratelimit", "u4", (2,)), ("icmp_ratemask", "u4"), ("icmp6_ratemask", "u4", (8,)),
        ("icmp_per_second", "u4"), ("icmp_burst", "u4"), ("icmp_inbound", "u4"),
        ("icmp6_scales", "u4"),
    ],
    align=True,
)  # fmt: skip

DEVICE = np.dtype(
    [
        ("name", "u8", (2,)), ("mac", "u8"),
        ("node", "i4"), ("master", "i4"), ("peer", "i4"), ("vxlan", "i4"), ("segment", "i4"),
        ("address_start", "u4"), ("address_count", "u4"),
        ("port_start", "u4"), ("port_count", "u4"), ("mtu", "u4"),
        ("kind", "u1"), ("is_up", "u1"), ("hairpin", "u1"), ("rp_filter", "u1"),
        ("route_localnet", "u1"), ("has_hosts", "u1"), ("accept_local", "u1"), ("is_ether", "u1"),
        ("forwards", "u1"), ("send_redirects", "u1"), ("src_valid_mark", "u1"),
        ("bc_forwarding", "u1"), ("has_address", "u1"), ("shared_media", "u1"),
        ("source_route", "u1"), ("own_addresses_only", "u1"), ("mtu6", "u4"),
    ],
    align=True,
)  # fmt: skip

HOOK = np.dtype(
    [
        ("priority", "i4"), ("entry", "u4"), ("underflow", "u4"),
        ("kind", "u1"), ("table", "u1"), ("padding", "u2"),
    ],
    align=True,
)  # fmt: skip

RULE = np.dtype(
    [
        ("src", ADDR), ("dst", ADDR), ("src_mask", "u4"), ("dst_mask", "u4"),
        ("in_interface", "i4"), ("out_interface", "i4"),
        ("match_start", "u4"), ("target", "u4"),
        ("match_count", "u2"), ("proto", "u1"), ("invert", "u1"), ("kind", "u1"),
        ("fragment", "u1"), ("is_policy", "u1"), ("is_visible", "u1"),
    ],
    align=True,
)  # fmt: skip

MATCH = np.dtype(
    [
        ("a", "u4"), ("b", "u4"), ("c", "u4"), ("d", "u4"),
        ("kind", "u1"), ("invert", "u1"), ("flags", "u1"), ("padding", "u1"),
    ],
    align=True,
)  # fmt: skip

MEMORY = np.dtype(
    [
        ("credit", "u8"), ("previous", "u8"),
        ("first", "u4"), ("capacity", "u4"), ("count", "u4"), ("words", "u4"),
        ("is_uncertain", "u1"), ("padding", "u1", (7,)),
    ],
    align=True,
)  # fmt: skip

RECENT = np.dtype(
    [
        ("address", ADDR), ("used", "u8"), ("stamp_count", "u4"), ("index", "u4"),
        ("family", "u1"), ("ttl", "u1"), ("padding", "u1", (6,)),
    ],
    align=True,
)  # fmt: skip

HASHLIMIT = np.dtype(
    [
        ("src", ADDR), ("dst", ADDR), ("expires", "u8"), ("previous", "u8"), ("credit", "u8"),
        ("refills", "u8"), ("next", "u4"), ("sport", "u2"), ("dport", "u2"),
        ("was_over", "u1"), ("padding", "u1", (7,)),
    ],
    align=True,
)  # fmt: skip

COUNTED = np.dtype(
    [
        ("src", ADDR), ("dst", ADDR), ("collected", "u8"), ("memory", "u4"), ("next", "u4"),
        ("first", "u4"), ("last", "u4"), ("count", "u4"), ("collected_count", "u4"),
        ("sport", "u2"), ("dport", "u2"), ("node", "u2"), ("zones", "u2", (2,)),
        ("proto", "u1"), ("family", "u1"), ("padding", "u4"),
    ],
    align=True,
)  # fmt: skip

TARGET = np.dtype(
    [
        ("address_min", ADDR), ("address_max", ADDR), ("a", "u4"), ("b", "u4"),
        ("port_min", "u2"), ("port_max", "u2"), ("flags", "u4"),
    ],
    align=True,
)  # fmt: skip

CLASSIFIER = np.dtype(
    [
        ("end", "u4"), ("pattern_start", "u4"), ("pattern_count", "u4"), ("src_start", "u4"),
        ("src_count", "u4"), ("dst_start", "u4"), ("dst_count", "u4"), ("port_start", "u4"),
        ("port_count", "u4"), ("bucket_start", "u4"), ("filter_start", "u4"),
        ("bucket_shift", "u1"), ("filter_shift", "u1"), ("src_shift", "u1"), ("dst_shift", "u1"),
    ]
)  # fmt: skip
PATTERN = np.dtype(
    [
        ("salt", "u8"), ("first_rule", "u4"), ("src", "u1"), ("dst", "u1"), ("ports", "u1"),
        ("padding", "u1"),
    ]
)  # fmt: skip
CANDIDATE = np.dtype([("addresses", "u8"), ("mask", "u8"), ("low", "u8"), ("high", "u8")])
INTERFACE = np.dtype([("name", "u8", (2,)), ("mask", "u8", (2,))], align=True)
RANGE = np.dtype([("low", "u2"), ("high", "u2")])
LPM_NODE = np.dtype([("child", "i4", (2,)), ("value", "i4")])

ROUTE = np.dtype(
    [
        ("gateway", ADDR), ("prefsrc", ADDR), ("device", "i4"), ("next", "i4"),
        ("leg_start", "u4"), ("leg_count", "u4"), ("upper_bound", "u4"), ("realms", "u4"),
        ("kind", "u1"), ("family", "u1"), ("scope", "u1"), ("is_listed", "u1"), ("tos", "u1"),
        ("prefixlen", "u1"), ("gateway_family", "u1"), ("anycast", "u1"),
        ("mtu", "u4"), ("padding2", "u4"),
    ],
    align=True,
)  # fmt: skip

FIB_RULE = np.dtype(
    [
        ("src", ADDR), ("src_mask", ADDR), ("dst", ADDR), ("dst_mask", ADDR),
        ("mark", "u4"), ("mark_mask", "u4"), ("iif", "i4"), ("oif", "i4"),
        ("table", "i4"), ("target", "i4"), ("route", "i4"), ("unknown", "i4"),
        ("suppress_prefixlen", "i4"), ("realms", "u4"),
        ("sport_low", "u2"), ("sport_high", "u2"), ("dport_low", "u2"), ("dport_high", "u2"),
        ("tos", "u1"), ("proto", "u1"), ("invert", "u1"), ("action", "u1"), ("selector", "u1"),
        ("suppress_group", "u1"), ("is_never", "u1"), ("padding", "u1"),
    ],
    align=True,
)  # fmt: skip

NEIGHBOUR = np.dtype(
    [
        ("address", ADDR), ("mac", "u8"), ("device", "i4"),
        ("state", "u1"), ("family", "u1"), ("padding", "u2"),
    ],
    align=True,
)  # fmt: skip

GROUP = np.dtype(
    [("address", ADDR), ("device", "i4"), ("family", "u1"), ("padding", "u1", (3,))], align=True
)

FDB = np.dtype([("remote", ADDR), ("mac", "u8"), ("device", "i4"), ("port", "i4")], align=True)

HOST = np.dtype(
    [
        ("address", ADDR), ("mac", "u8"), ("gateway_mac", "u8"), ("device", "i4"),
        ("prefixlen", "u4"), ("family", "u1"), ("has_address", "u1"), ("padding", "u2"),
        ("padding2", "u4"),
    ],
    align=True,
)  # fmt: skip

VXLAN = np.dtype(
    [
        ("local", ADDR), ("remote", ADDR), ("device", "i4"), ("link", "i4"), ("vni", "u4"),
        ("port", "u2"), ("port_low", "u2"), ("port_high", "u2"),
        ("ttl", "u1"), ("tos", "u1"), ("tos_inherit", "u1"), ("df", "u1"), ("udp_csum", "u1"),
        ("learning", "u1"),
    ],
    align=True,
)  # fmt: skip

ADDRESS = np.dtype(
    [
        ("address", ADDR), ("mask", ADDR), ("family", "u1"), ("scope", "u1"), ("secondary", "u1"),
        ("flags", "u1"), ("prefixlen", "u4"),
    ],
    align=True,
)  # fmt: skip

TUPLE = np.dtype(
    [
        ("src", ADDR), ("dst", ADDR), ("sport", "u2"), ("dport", "u2"), ("node", "u2"),
        ("zone", "u2"), ("proto", "u1"), ("family", "u1"), ("next", "i4"),
    ],
    align=True,
)  # fmt: skip

TCP_END = np.dtype(
    [
        ("end", "u4"), ("maxend", "u4"), ("maxwin", "u4"), ("maxack", "u4"),
        ("scale", "u1"), ("flags", "u1"), ("padding", "u2"),
    ],
    align=True,
)  # fmt: skip

TCP = np.dtype(
    [
        ("seen", TCP_END, (2,)), ("last_seq", "u4"), ("last_ack", "u4"), ("last_end", "u4"),
        ("last_win", "u2"), ("last_wscale", "u1"), ("last_flags", "u1"),
        ("state", "u1"), ("last_dir", "u1"), ("last_index", "u1"), ("retrans", "u1"),
    ],
    align=True,
)  # fmt: skip

# It stands in TCP's place.
SCTP = np.dtype(
    [
        ("vtag", "u4", (2,)), ("state", "u1"), ("last_dir", "u1"), ("flags", "u1"),
        ("init", "u1", (2,)), ("padding", "u1", (3,)),
    ],
    align=True,
)  # fmt: skip

CONNECTION = np.dtype(
    [
        ("expires_ns", "u8"), ("generation", "u4"), ("status", "u4"), ("mark", "u4"),
        ("masquerade", "i4"), ("tcp", TCP), ("next_source", "i4"),
        ("original", TUPLE), ("reply", TUPLE), ("older", "i4"), ("newer", "i4"),
    ],
    align=True,
)  # fmt: skip

FRAGMENT_QUEUE = np.dtype(
    [
        ("src", ADDR), ("dst", ADDR), ("expires_ns", "u8"), ("id", "u4"), ("length", "u4"),
        ("tail", "u4"), ("received", "u4"), ("distance", "u4"), ("max_size", "u4"),
        ("max_df_size", "u4"), ("head_size", "u4"), ("mark", "u4"), ("node", "i4"),
        ("device", "i4"), ("family", "u1"), ("proto", "u1"), ("user", "u1"), ("flags", "u1"),
        ("ecn", "u1"), ("is_cut", "u1"), ("next_header", "u2"),
    ],
    align=True,
)  # fmt: skip

LEARNED = np.dtype([("mac", "u8"), ("bridge", "i4"), ("port", "i4")])
PEER = np.dtype(
    [
        ("address", ADDR), ("last", "i8"), ("tokens", "i8"), ("node", "i4"), ("family", "u1"),
        ("redirects", "u1"), ("padding", "u2"),
    ],
    align=True,
)  # fmt: skip

BUDGET = np.dtype([("credit", "i8"), ("stamp", "i8"), ("is_begun", "u8")], align=True)

SEEN = np.dtype(
    [
        ("address", ADDR), ("mac", "u8"), ("segment", "i4"), ("family", "u1"), ("padding", "u1"),
        ("padding2", "u2"),
    ],
    align=True,
)  # fmt: skip
SET = np.dtype(
    [
        ("mask", ADDR), ("mark_mask", "u4"), ("maxelem", "u4"), ("timeout", "u4"),
        ("range_first", "u4"), ("range_last", "u4"),
        ("member_start", "u4"), ("member_count", "u4"), ("parts", "u1", (4,)),
        ("kind", "u1"), ("family", "u1"), ("dimension", "u1"), ("flags", "u1"),
    ],
    align=True,
)  # fmt: skip

SET_ELEMENT = np.dtype(
    [
        ("first", ADDR), ("second", ADDR), ("name", "u8", (2,)),
        ("packets", "u8"), ("bytes", "u8"), ("expires_ns", "u8"),
        ("skbmark", "u4"), ("skbmark_mask", "u4"), ("mark", "u4"), ("owner", "u4"),
        ("next", "i4"), ("port", "u2"), ("proto", "u1"),
        ("first_length", "u1"), ("second_length", "u1"), ("flags", "u1"), ("padding", "u2"),
    ],
    align=True,
)  # fmt: skip

CHOICE = np.dtype([("key", "u8"), ("start", "u4"), ("count", "u4")])

EVENT = np.dtype(
    [("packet", "u4"), ("step", "u2"), ("kind", "u2"), ("before", ADDR), ("after", ADDR)],
    align=True,
)

TAP = np.dtype(
    [
        ("time_ns", "u8"), ("offset", "u8"), ("size", "u4"), ("length", "u4"), ("packet", "u4"),
        ("device", "i4"), ("outgoing", "u1"), ("generated", "u1"), ("step", "u2"),
    ],
    align=True,
)  # fmt: skip

RECORD = np.dtype(
    [
        ("time_ns", "u8"), ("packet", "u4"), ("flow", "u4"), ("path", "u4"), ("place", "i4"),
        ("entry", "i4"), ("reason", "u2"), ("verdict", "u1"), ("reply", "u1"), ("family", "u1"),
        ("proto", "u1"), ("sport", "u2"), ("dport", "u2"), ("end_sport", "u2"),
        ("end_dport", "u2"), ("end_ttl", "u1"), ("tcp_flags", "u1"), ("end_family", "u1"),
        ("padding", "u1", (3,)), ("length", "u4"),
        ("src", ADDR), ("dst", ADDR), ("end_src", ADDR), ("end_dst", ADDR),
    ],
    align=True,
)  # fmt: skip

FLOW = np.dtype(
    [
        ("initiator", ADDR), ("responder", ADDR), ("end_src", ADDR), ("end_dst", ADDR),
        ("end_ether_src", "u8"), ("end_ether_dst", "u8"),
        ("initiator_port", "u2"), ("responder_port", "u2"), ("end_sport", "u2"),
        ("end_dport", "u2"), ("entry", "i4"), ("host", "i4"), ("place", "i4"), ("packets", "u4"),
        ("family", "u1"), ("proto", "u1"), ("verdict", "u1"),
        ("is_answered", "u1"),
    ],
    align=True,
)  # fmt: skip

FLOW_WAY = np.dtype(
    [
        ("addresses", "u8"), ("ports", "u4"), ("proto", "u1"), ("family", "u1"),
        ("outer_sport", "u2"), ("way", "u4"), ("epoch", "u4"), ("packets", "u4"), ("next", "i4"),
        ("connections", "i4", (4,)), ("generations", "u4", (4,)),
    ],
    align=True,
)  # fmt: skip


def packer(dtype: np.dtype[np.void]) -> Callable[..., bytes]:
    """Packs the numbers of a row, field by field.  The dtype has no gaps, and no arrays.

    Four times as fast as assigning tuples to rows of an array.
    """
    packed = struct.Struct("=" + _letters(dtype))
    assert packed.size == dtype.itemsize
    return packed.pack


def _letters(dtype: np.dtype[Any]) -> str:
    if dtype.fields is None:
        return LETTERS[dtype.str[1:]]
    return "".join(_letters(dtype.fields[name][0]) for name in dtype.names or ())
