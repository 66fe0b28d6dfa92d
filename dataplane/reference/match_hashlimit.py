"""-m hashlimit: a limit for each of the flows that a table tells apart.

A table belongs to all rules of a node and family that name it; the first gives it its settings,
but each rule says for itself whether it asks for more or less than the limit.
"""

from collections.abc import Iterator
from ipaddress import ip_network

from _fastpath.reason import Reason
from dataplane.node.iptables import Option
from dataplane.node.state import Address
from dataplane.reference.match_words import Options, Unmodelled, Where, by_name, tick
from dataplane.reference.memory import Flow, FlowKey, HashlimitTable
from dataplane.reference.node import Node
from dataplane.reference.packet import ETHER_SIZE, EXTENSIONS, WITH_PORTS, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped

WORD, WORD32 = (1 << 64) - 1, (1 << 32) - 1
TICKS = 250  # a second's
CREDITS_PER_TICK, BYTE_CREDITS_PER_TICK = 1 << 39, 1 << 24  # xt_hashlimit.c
UNITS = {"sec": 1, "min": 60, "hour": 60 * 60, "day": 24 * 60 * 60}  # in seconds
MODES = {"srcip", "srcport", "dstip", "dstport"}
KNOWN = tuple(
    f"--hashlimit-{name}"
    for name in (
        "upto", "above", "burst", "mode", "name", "htable-size", "htable-max", "htable-expire",
        "htable-gcinterval", "srcmask", "dstmask", "rate-match", "rate-interval",
    )
)  # fmt: skip
ESP, AH, NO_NEXT = 50, 51, 59


def answer(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    """xt_hashlimit.c, hashlimit_mt_common"""
    rule = _settings(options, place.family)
    table = _table(place.node, place.family, _value(options, "name", ""))
    now = tick(place)
    collected = now - now % table.collect
    try:
        if (rule.is_rate_match, rule.is_in_bytes) != (table.is_rate_match, table.is_in_bytes):
            raise Unmodelled  # the fields of an entry lie over each other, by what is counted
        key = _key(table, packet)
    except Unmodelled:  # some flow was asked, and it is not known which, or how
        place.node.uncertain.add(("hashlimit", place.family, _value(options, "name", "")))
        raise
    table.flows = {known: flow for known, flow in table.flows.items() if flow.expires > collected}
    flow = table.flows.get(key)
    if flow is None:
        if len(table.flows) >= table.capacity:
            raise dropped(Reason.NETFILTER_DROP)
        flow = table.flows[key] = Flow(now, table.credit, table.refills)
    else:
        _refresh(table, flow, now)
    flow.expires = now + table.expire
    return _is_under(table, flow, packet.ip_length) != _asks_for_more(options)


def memory(options: Options, family: int) -> tuple[object, ...] | None:
    """The name of its table; None if the kernel refuses the rule."""
    if _settings_if_sound(options, family) is None:
        return None
    return "hashlimit", family, _value(options, "name", "")


def _asks_for_more(options: Options) -> bool:
    return any(
        option.negated != (option.name == "--hashlimit-above")
        for option in options
        if option.name in ("--hashlimit-upto", "--hashlimit-above")
    )


def _key(table: HashlimitTable, packet: Packet) -> FlowKey:
    """hashlimit_init_dst"""
    src = _network(packet.src, table.prefixes[0]) if "srcip" in table.modes else None
    dst = _network(packet.dst, table.prefixes[1]) if "dstip" in table.modes else None
    if not table.modes & {"srcport", "dstport"}:
        return src, dst, 0, 0
    sport, dport = _ports(packet)
    sport = sport if "srcport" in table.modes else 0
    return src, dst, sport, dport if "dstport" in table.modes else 0


def _ports(packet: Packet) -> tuple[int, int]:
    """Four bytes where proto_ports_offset says, fragment or not: the SPI of AH and ESP too."""
    if packet.family == 6 and not packet.is_first:
        return 0, 0  # ipv6_skip_exthdr stops at the fragment header
    is_unfollowed = packet.family == 6 and packet.protocol in (*EXTENSIONS, NO_NEXT)
    if packet.protocol not in WITH_PORTS and packet.protocol not in (ESP, AH) and not is_unfollowed:
        return 0, 0
    at = packet.transport.offset + (4 if packet.protocol == AH else 0)
    end = ETHER_SIZE + packet.ip_length
    if is_unfollowed and not packet.is_whole:
        raise Unmodelled
    if is_unfollowed or at + 4 > end:
        raise dropped(Reason.NETFILTER_DROP)
    if at + 4 > len(packet.frame):
        raise Unmodelled
    return packet.word(at), packet.word(at + 2)


def _network(address: Address, prefix: int) -> Address:
    return ip_network((address, prefix), strict=False).network_address


def _refresh(table: HashlimitTable, flow: Flow, now: int) -> None:
    """rateinfo_recalc, in 64 bits that wrap"""
    passed = now - flow.previous
    if passed == 0 or (table.is_rate_match and passed < table.interval):
        return
    flow.previous = now
    if table.is_rate_match:
        flow.was_over = flow.credit * table.interval & WORD > passed * table.rate & WORD
        flow.credit = 0
        return
    before = flow.credit
    if table.is_in_bytes:
        flow.credit = before + passed * BYTE_CREDITS_PER_TICK & WORD
        if before >= flow.credit:
            flow.credit = table.credit
    else:
        flow.credit = before + passed * CREDITS_PER_TICK & WORD
    flow.credit = min(flow.credit, table.credit)


def _is_under(table: HashlimitTable, flow: Flow, length: int) -> bool:
    if table.is_rate_match:
        flow.credit += length if table.is_in_bytes else 1
        return not flow.was_over and flow.credit <= table.burst
    cost = table.cost
    if table.is_in_bytes:  # hashlimit_byte_cost: chunks of 16 bytes
        full = BYTE_CREDITS_PER_TICK * TICKS
        cost = min((length // 16 + 1) * table.cost & WORD, full)
        if flow.credit < cost and flow.refills:
            flow.refills, flow.credit = flow.refills - 1, full
    if flow.credit < cost:
        return False
    flow.credit -= cost
    return True


# ------------------------------------------------------------------------------ the settings


def _value(options: Options, name: str, default: str) -> str:
    found = (option.values[0] for option in options if option.name == f"--hashlimit-{name}")
    return next(found, default)


def _table(node: Node, family: int, name: str) -> HashlimitTable:
    if (family, name) not in node.hashlimit:
        node.hashlimit[family, name] = next(
            settings for named, settings in _tables(node, family) if named == name
        )
    return node.hashlimit[family, name]


def _tables(node: Node, family: int) -> Iterator[tuple[str, HashlimitTable]]:
    """Name and settings of every `hashlimit` of the node that the kernel would take."""
    rules = node.state.ip6tables if family == 6 else node.state.iptables
    for table in rules.tables.values():
        for chain in table.chains.values():
            for match in (match for rule in chain.rules for match in rule.matches):
                if match.name != "hashlimit":
                    continue
                settings = _settings_if_sound(match.options, family)
                if settings:
                    yield _value(match.options, "name", ""), settings


def _settings_if_sound(options: Options, family: int) -> HashlimitTable | None:
    try:
        return _settings(options, family)
    except (Unmodelled, ValueError, KeyError, ZeroDivisionError):
        return None


def _settings(options: Options, family: int) -> HashlimitTable:
    """Raises Unmodelled for what iptables or htable_create refuses."""
    values = by_name(options, *KNOWN)
    rates = [values[name] for name in KNOWN[:2] if name in values]
    if len(rates) != 1 or "--hashlimit-name" not in values:
        raise Unmodelled
    is_rate_match = "--hashlimit-rate-match" in values
    in_bytes = rates[0].values[0].endswith("b/s")
    burst = values.get("--hashlimit-burst")
    limits = (_byte_limits if in_bytes else _packet_limits)(rates[0].values[0], burst)
    cost, credit, refills, rate, most, seconds = limits
    bits = 32 if family == 4 else 128
    modes = frozenset(filter(None, _value(options, "mode", "").split(",")))
    srcmask, dstmask = (_value(options, name, str(bits)) for name in ("srcmask", "dstmask"))
    prefixes = int(srcmask), int(dstmask)
    # iptables writes N/min with --hashlimit-rate-match as N/sec, and a minute as the interval.
    unit = UNITS.get(rates[0].values[0].partition("/")[2], 1)
    interval = int(_value(options, "rate-interval", str(unit)))
    expire = _ticks(int(_value(options, "htable-expire", str(seconds * 1000))))
    collect = _ticks(int(_value(options, "htable-gcinterval", "1000")))
    if not modes <= MODES or not all(0 <= prefix <= bits for prefix in prefixes):
        raise Unmodelled
    if interval < 1 or not expire or not collect:
        raise Unmodelled
    return HashlimitTable(
        modes, prefixes, _capacity(options), expire, collect, interval * TICKS, is_rate_match,
        in_bytes, cost, 0 if is_rate_match else credit, refills, rate, most,
    )  # fmt: skip


def _capacity(options: Options) -> int:
    """htable_create: eight entries a bucket, unless the rule says otherwise."""
    size, most = int(_value(options, "htable-size", "0")), int(_value(options, "htable-max", "0"))
    size = max(size, 16) if size else 8192
    capacity = max(most, size) if most else 8 * size
    if size > 1 << 20 or capacity > 1 << 20:
        raise Unmodelled
    return capacity


def _ticks(milliseconds: int) -> int:
    if not 0 <= milliseconds < 1 << 31:
        raise Unmodelled
    return (milliseconds * TICKS + 999) // 1000


Limits = tuple[int, int, int, int, int, int]  # cost, credit, refills, rate, burst, seconds


def _packet_limits(text: str, burst: Option | None) -> Limits:
    count, _, unit = text.partition("/")
    period = 1_000_000 * UNITS[unit] // int(count)  # microseconds
    packets = int(burst.values[0]) if burst else 5
    if period <= 0 or not 1 <= packets <= 10000:
        raise Unmodelled
    each = CREDITS_PER_TICK * TICKS // 1_000_000  # credits a microsecond
    rate = 1_000_000 // (1_000_000 // int(count))  # of a rate match
    cost, credit = period * each & WORD, period * packets * each & WORD
    return cost, credit, 0, rate, packets + rate, UNITS[unit]


def _byte_limits(text: str, burst: Option | None) -> Limits:
    """libxt_hashlimit.c writes a rate as 2^32 over its chunks, and a burst in rates."""
    average = WORD32 // (_bytes(text.removesuffix("/s")) // 16 + 1)
    if average == 0:
        raise Unmodelled
    rate = (WORD32 // average - 1) * 16
    full = BYTE_CREDITS_PER_TICK * TICKS
    if burst is None:
        return average * full >> 32, full, 0, rate, rate, 15
    wanted = _bytes(burst.values[0])
    if rate == 0 or wanted < rate:
        raise Unmodelled
    refills = (wanted + rate - 1) // rate
    return average * full >> 32, full, refills, rate, refills * rate, 60


def _bytes(text: str) -> int:
    for unit, size in (("mb", 1024 * 1024), ("kb", 1024), ("b", 1)):
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * size
    raise Unmodelled
