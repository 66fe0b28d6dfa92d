"""Connections: the lines of `conntrack -L`, also with `-o extended`, and of /proc/net/nf_conntrack.

    tcp      6 86399 ESTABLISHED src=10.244.1.2 dst=10.96.0.1 sport=43210 dport=443
        src=192.168.50.11 dst=10.244.1.2 sport=6443 dport=43210 [ASSURED] mark=0 use=1

(one line each).  The first tuple is as the first packet was, the second as its answer is.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from dataplane.errors import ParseError, Source
from dataplane.node.state import Address, ConntrackEntry, ConntrackTuple

# As libnetfilter_conntrack names them; the others are `unknown`.
PROTOCOLS = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    47: "gre",
    58: "icmpv6",
    132: "sctp",
    136: "udplite",
}
ICMP = (1, 58)
GRE = 47  # its keys stand where others have ports, as in the kernel's own tuple
FOOTER = re.compile(r"conntrack v\S+ \(conntrack-tools\): ")
START = re.compile(r"(?:ipv[46] +\d+ +)?\S+ +(?P<protocol>\d+) +(?:(?P<timeout>\d+) +)?(?=\S)")
OFFLOADS = ("OFFLOAD", "HW_OFFLOAD")
WORD = 0xFFFFFFFF
EXPECTED = "'PROTOCOL NUMBER SECONDS [STATE] src=… dst=… …' was expected"


def parse(text: str, path: str) -> tuple[ConntrackEntry, ...]:
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or FOOTER.match(line):
            continue
        try:
            entries.append(_entry(line, Source(path, number)))
        except ValueError as error:
            raise ParseError(str(error), Source(path, number)) from None
    return tuple(entries)


def _entry(line: str, source: Source) -> ConntrackEntry:
    start = START.match(line)
    if not start:
        raise ValueError(f"cannot read {line[:60]!r}; {EXPECTED}")
    words = line[start.end() :].split()
    offload = next((word for word in OFFLOADS if f"[{word}]" in words), "")
    if start["timeout"] is None and not offload:
        raise ValueError(f"cannot read {line[:60]!r}; {EXPECTED}")
    original, reply = _tuples(words)
    zone = _int(reply, "zone", most=65535)
    zones = (
        _int(original, "zone-orig", zone, 65535),
        _int(reply, "zone-reply", zone, 65535),
    )
    protocol = _bounded(start["protocol"], 255)
    return ConntrackEntry(
        protocol=protocol,
        original=_tuple(original, protocol, zones[0]),
        reply=_tuple(reply, protocol, zones[1]),
        timeout=_bounded(start["timeout"] or "0", WORD),
        state=words[0] if words[0].isupper() and words[0].isidentifier() else "",
        unreplied="[UNREPLIED]" in words,
        assured="[ASSURED]" in words or bool(offload),
        mark=_int(reply, "mark"),
        use=_int(reply, "use", 1),
        secctx=reply.get("secctx", ""),
        offload=offload,
        source=source,
    )


def _tuples(words: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The two directions; the second also holds what stands behind it (mark, use, …)."""
    starts = [at for at, word in enumerate(words) if word.startswith("src=")]
    if len(starts) != 2:
        raise ValueError(f"two tuples were expected, but src= stands {len(starts)} times")
    return _pairs(words[starts[0] : starts[1]]), _pairs(words[starts[1] :])


def _pairs(words: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        pairs.setdefault(key, value)  # `-o id` adds a second id= behind ICMP's own
    return pairs


def _tuple(pairs: dict[str, str], protocol: int, zone: int) -> ConntrackTuple:
    src, dst = _address(pairs, "src"), _address(pairs, "dst")
    counted = {
        key: _int(pairs, key, most=2**64 - 1) for key in ("packets", "bytes") if key in pairs
    }
    if protocol in ICMP:
        return ConntrackTuple(
            src,
            dst,
            icmp_type=_int(pairs, "type", most=255),
            icmp_code=_int(pairs, "code", most=255),
            icmp_id=_int(pairs, "id", most=65535),
            zone=zone,
            **counted,
        )
    sport, dport = ("srckey", "dstkey") if protocol == GRE else ("sport", "dport")
    return ConntrackTuple(
        src,
        dst,
        _int(pairs, sport, most=65535),
        _int(pairs, dport, most=65535),
        zone=zone,
        **counted,
    )


def _address(pairs: dict[str, str], key: str) -> Address:
    try:
        return ip_address(pairs.get(key, ""))
    except ValueError:
        raise ValueError(f"bad {key}={pairs.get(key, '')!r}; an IP address expected") from None


def _int(pairs: dict[str, str], key: str, default: int = 0, most: int = WORD) -> int:
    """The number under a key, decimal or 0x…; the default where there is no such key."""
    if key not in pairs:
        return default
    try:
        return _bounded(pairs[key], most)
    except ValueError:
        raise ValueError(f"bad {key}={pairs[key]!r}; a number up to {most} expected") from None


def _bounded(text: str, most: int) -> int:
    number = int(text, 16 if text.startswith("0x") else 10)
    if not 0 <= number <= most:
        raise ValueError(f"bad number {text!r}; at most {most} expected")
    return number


def distinct(entries: Iterable[ConntrackEntry]) -> list[ConntrackEntry]:
    """Those that can stand in one table: of two with the same tuple, the first."""
    taken: set[tuple[object, ...]] = set()
    kept = []
    for entry in entries:
        own = [
            (entry.protocol, replace(each, packets=None, bytes=None))
            for each in (entry.original, entry.reply)
        ]
        if not taken.intersection(own):
            taken.update(own)
            kept.append(entry)
    return kept


def render(entries: Iterable[ConntrackEntry]) -> str:
    return "".join(f"{render_entry(entry)}\n" for entry in entries)


def render_entry(entry: ConntrackEntry) -> str:
    """One line of `conntrack -L`, without its end of line."""
    name = PROTOCOLS.get(entry.protocol, "unknown")
    zones = entry.original.zone, entry.reply.zone
    is_common = zones[0] == zones[1]
    words = [
        f"{name:<8} {entry.protocol}",
        "" if entry.offload else str(entry.timeout),
        entry.state,
        _tuple_words(entry.original, entry.protocol),
        f"zone-orig={zones[0]}" if zones[0] and not is_common else "",
        _counter_words(entry.original),
        "[UNREPLIED]" if entry.unreplied else "",
        _tuple_words(entry.reply, entry.protocol),
        f"zone-reply={zones[1]}" if zones[1] and not is_common else "",
        _counter_words(entry.reply),
        f"[{entry.offload}]" if entry.offload else "[ASSURED]" if entry.assured else "",
        f"mark={entry.mark}",
        f"secctx={entry.secctx}" if entry.secctx else "",
        f"zone={zones[0]}" if zones[0] and is_common else "",
        f"use={entry.use}",
    ]
    return " ".join(word for word in words if word)


def _counter_words(direction: ConntrackTuple) -> str:
    if direction.packets is None and direction.bytes is None:
        return ""
    return f"packets={direction.packets or 0} bytes={direction.bytes or 0}"


def _tuple_words(direction: ConntrackTuple, protocol: int) -> str:
    words = f"src={direction.src} dst={direction.dst}"
    if protocol in ICMP:
        number = direction.icmp_id
        return f"{words} type={direction.icmp_type} code={direction.icmp_code} id={number}"
    if protocol == GRE:
        return f"{words} srckey={direction.sport:#x} dstkey={direction.dport:#x}"
    if protocol in PROTOCOLS:
        return f"{words} sport={direction.sport} dport={direction.dport}"
    return words
