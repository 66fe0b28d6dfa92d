"""Rows of -m time."""

from datetime import UTC, datetime

from _fastpath.image import MatchKind
from dataplane.image.match_rows import Row, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

DATE_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d", "%Y-%m", "%Y")
WEEKDAYS = {"Mon": 1, "Tue": 2, "Wed": 3, "Thu": 4, "Fri": 5, "Sat": 6, "Sun": 7}
LAST_DATE = 0x7FFFFFFF  # libxt_time.c: of a rule that gives no end
LAST_SECOND = 86399
ALL_WEEKDAYS, ALL_MONTHDAYS = 0xFE, 0xFFFFFFFE


def time(match: Match, pools: Pools, family: int) -> list[Row]:
    """All in UTC; --kerneltz says the same where the kernel's own zone is UTC."""
    options = options_of(match)
    options.pop("--kerneltz", None)
    contiguous = options.pop("--contiguous", None)
    values = [
        _date(options.pop("--datestart", None), 0),
        _date(options.pop("--datestop", None), LAST_DATE),
        _time_of_day(options.pop("--timestart", None), 0),
        _time_of_day(options.pop("--timestop", None), LAST_SECOND),
        _days(options.pop("--monthdays", None), {}, 31, ALL_MONTHDAYS),
        _days(options.pop("--weekdays", None), WEEKDAYS, 7, ALL_WEEKDAYS),
    ]
    if options or (contiguous and values[2] < values[3]):
        raise ValueError(match)
    return [row(MatchKind.MATCH_TIME, pools.add_words(values), flags=int(contiguous is not None))]


def _date(option: Option | None, default: int) -> int:
    if option is None:
        return default
    for form in DATE_FORMS:
        try:
            date = datetime.strptime(option.values[0], form).replace(tzinfo=UTC)
        except ValueError:
            continue
        seconds = int(date.timestamp())
        if not 0 <= seconds < 1 << 32:
            break
        return seconds
    raise ValueError(option)


def _time_of_day(option: Option | None, default: int) -> int:
    if option is None:
        return default
    hours, minutes, seconds = (*map(int, option.values[0].split(":")), 0, 0)[:3]
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60):
        raise ValueError(option)
    return hours * 3600 + minutes * 60 + seconds


def _days(option: Option | None, named: dict[str, int], last: int, every: int) -> int:
    """Bit N: day N."""
    if option is None:
        return every
    days = 0
    for text in option.values[0].split(","):
        day = named[text] if text in named else int(text)
        if not 1 <= day <= last:
            raise ValueError(option)
        days |= 1 << day
    return days ^ every if option.negated else days
