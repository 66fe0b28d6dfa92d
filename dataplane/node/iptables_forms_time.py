"""Forms of dates, times and days: see iptables_forms.  All as libxt_time.c has them, v1.8.9."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from dataplane.node.iptables_forms import valued
from dataplane.node.iptables_rules import Option

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FIRST_DATE = "1970-01-01T00:00:00"  # which is not printed
LAST_DATE = "2038-01-19T03:14:07"  # which is printed where no other is given
FIRST_TIME, LAST_TIME = "00:00:00", "23:59:59"
DATE_MARKS = "--T::"  # what stands before month, day, hour, minute, second
MOST = (12, 31, 23, 59, 59)


def first_date(option: Option) -> Option | None:
    found = date(option)
    return None if found.values == (FIRST_DATE,) else found


def date(option: Option) -> Option:
    """`YYYY[-MM[-DD[Thh[:mm[:ss]]]]]`; a day too many is one of the next month's."""
    year, month, day, *clock = _date_parts(option.values[0])
    months = 12 * year + month - 1
    first = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    hours, minutes, seconds = clock
    found = first + timedelta(day - 1, seconds, minutes=minutes, hours=hours)
    if found < datetime(1970, 1, 1, tzinfo=UTC):
        raise ValueError("a date since 1970 was expected")
    return valued(option, f"{found:%Y-%m-%dT%H:%M:%S}")


def _date_parts(text: str) -> list[int]:
    parts, rest = [], text
    for mark in DATE_MARKS:
        part, found, rest = rest.partition(mark)
        parts.append(part)
        if not found:
            break
    else:
        parts.append(rest)
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise ValueError("YYYY[-MM[-DD[Thh[:mm[:ss]]]]] was expected")
    numbers = [int(part) for part in parts]
    if not 1970 <= numbers[0] <= 2038 or any(
        number > most for number, most in zip(numbers[1:], MOST, strict=False)
    ):
        raise ValueError("a date from 1970 to 2038 was expected")
    return numbers + [1, 1, 0, 0, 0][len(numbers) - 1 :]


def time_of_day(option: Option) -> Option:
    parts = option.values[0].split(":")
    if len(parts) not in (2, 3) or not all(p.isdecimal() and p.isascii() for p in parts):
        raise ValueError("hh:mm[:ss] was expected")
    hours, minutes, seconds = (*map(int, parts), 0)[:3]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("a time from 00:00:00 to 23:59:59 was expected")
    return valued(option, f"{hours:02}:{minutes:02}:{seconds:02}")


def weekdays(option: Option) -> Option | None:
    days = {_weekday(part) for part in option.values[0].split(",")}
    return _days(option, days, range(1, 8), lambda day: DAYS[day - 1])


def _weekday(text: str) -> int:
    """1 to 7, or the first two letters of a name."""
    for number, name in enumerate(DAYS, 1):
        if text == str(number) or (len(text) > 1 and text[:2] == name[:2]):
            return number
    raise ValueError(f"a list of {', '.join(DAYS)}, or of 1 to 7, was expected")


def monthdays(option: Option) -> Option | None:
    parts = option.values[0].split(",")
    if not all(part.isdecimal() and part.isascii() and int(part) <= 31 for part in parts):
        raise ValueError("a list of 1 to 31 was expected")
    return _days(option, {int(part) for part in parts}, range(1, 32), str)


def _days(
    option: Option, days: set[int], every: range, name: Callable[[int], str]
) -> Option | None:
    kept = [day for day in every if (day in days) != option.negated]
    if len(kept) == len(every):
        return None
    if not kept:  # which cannot be printed: never
        return valued(option, ",".join(map(name, every)))
    return Option(option.name, (",".join(map(name, kept)),))


def completed(found: list[Option]) -> list[Option]:
    """Both times or neither, an end, and the zone by its newer name."""
    options = {option.name: option for option in found if option.name != "--utc"}
    if options.pop("--localtz", None):
        options["--kerneltz"] = Option("--kerneltz")
    start = options.pop("--timestart", Option("--timestart", (FIRST_TIME,)))
    stop = options.pop("--timestop", Option("--timestop", (LAST_TIME,)))
    if (start.values, stop.values) != ((FIRST_TIME,), (LAST_TIME,)):
        options |= {start.name: start, stop.name: stop}
    options.setdefault("--datestop", Option("--datestop", (LAST_DATE,)))
    return list(options.values())
