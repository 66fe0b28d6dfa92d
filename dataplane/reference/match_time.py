"""-m time: is the packet's time within the days and hours of a rule?  All in UTC."""

from datetime import UTC, datetime, timedelta

from dataplane.node.iptables import Option
from dataplane.reference.match_words import Options, Unmodelled, Where, by_name
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)  # where a rule says nothing else
LATEST = EPOCH + timedelta(seconds=(1 << 32) - 1)  # that a rule can say


def answer(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    """xt_time.c, time_mt.  Both ends of each span belong to it."""
    values = by_name(
        options, "--datestart", "--datestop", "--timestart", "--timestop", "--monthdays",
        "--weekdays", "--contiguous", "--kerneltz",
    )  # fmt: skip
    now = EPOCH + timedelta(seconds=place.now_ns // 10**9)
    first, last = _date(values.get("--datestart"), EPOCH), _date(values.get("--datestop"), END)
    start = _seconds(values.get("--timestart"), 0)
    stop = _seconds(values.get("--timestop"), 24 * 60 * 60 - 1)
    month_days = _days(values.get("--monthdays"), range(1, 32))
    week_days = _days(values.get("--weekdays"), range(1, 8))
    if start < stop and "--contiguous" in values:
        raise Unmodelled  # the kernel refuses it
    second = now.hour * 3600 + now.minute * 60 + now.second
    if not first <= now <= last:
        return False
    if start < stop:
        if not start <= second <= stop:
            return False
    elif stop < second < start:
        return False
    elif "--contiguous" in values and second <= stop:
        now -= timedelta(days=1)  # the night belongs to the day it began in
    if now < EPOCH:
        return len(week_days) == 7 and len(month_days) == 31
    return now.isoweekday() in week_days and now.day in month_days


def _date(option: Option | None, default: datetime) -> datetime:
    """`2030`, `2030-12`, … `2030-12-31T23:59:59`."""
    if option is None:
        return default
    day, _, time = option.values[0].partition("T")
    parts = [int(part) for part in day.split("-")]
    parts += [1] * (3 - len(parts))
    if time:
        parts += [int(part) for part in time.split(":")]
    if len(parts) > 6 or (time and len(day.split("-")) != 3):
        raise Unmodelled
    try:
        date = datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError:
        raise Unmodelled from None
    if not EPOCH <= date <= LATEST:
        raise Unmodelled
    return date


def _seconds(option: Option | None, default: int) -> int:
    if option is None:
        return default
    parts = [int(part) for part in option.values[0].split(":")]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60):
        raise Unmodelled
    return (hours * 60 + minutes) * 60 + seconds


def _days(option: Option | None, every: range) -> set[int]:
    if option is None:
        return set(every)
    texts = option.values[0].split(",")
    days = {NAMES.index(text) + 1 if text in NAMES and len(every) == 7 else int(text)
            for text in texts}  # fmt: skip
    if not days <= set(every):
        raise Unmodelled
    return set(every) - days if option.negated else days
