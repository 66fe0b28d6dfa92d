"""-m time, on the capture's clock.  Specified by dataplane.reference.match_time."""

from libc.stdint cimport int64_t, uint32_t

from _fastpath.matches cimport NO, YES

cdef enum:
    DAY = 86400
    ALL_DAYS_OF_MONTH = 0xFFFFFFFE


cdef uint32_t day_of_month(int64_t days) noexcept nogil:
    """Of a count of days since 1970-01-01, 1 to 31.

    Years are taken to begin in March, so that the leap day is the last: days of a 400 years' era,
    year of the era, day of the year, and months of 153 days in five.
    """
    cdef int64_t era_day = (days + 719468) % 146097
    cdef int64_t year = (era_day - era_day // 1460 + era_day // 36524 - era_day // 146096) // 365
    cdef int64_t year_day = era_day - (365 * year + year // 4 - year // 100)
    cdef int64_t month = (5 * year_day + 2) // 153
    return <uint32_t>(year_day - (153 * month + 2) // 5 + 1)


cdef int time_match(const walk_t* walk, const match_t* match) noexcept nogil:
    """xt_time.c, time_mt.  Both ends of each span belong to it."""
    cdef const uint32_t* words = walk.image.words + match.a
    cdef int64_t stamp = <int64_t>(walk.now_ns // 1000000000)
    cdef uint32_t of_day = <uint32_t>(stamp % DAY)
    if stamp < words[0] or stamp > words[1]:
        return NO
    if words[2] < words[3]:
        if of_day < words[2] or of_day > words[3]:
            return NO
    else:
        if of_day < words[2] and of_day > words[3]:
            return NO
        if match.flags and of_day <= words[3]:
            stamp -= DAY        # --contiguous: the night belongs to the day it began in
    if stamp < 0:
        return YES if words[4] == ALL_DAYS_OF_MONTH and words[5] == 0xFE else NO
    # 1970-01-01 was a Thursday.
    if not (words[5] >> ((stamp // DAY + 3) % 7 + 1)) & 1:
        return NO
    if words[4] == ALL_DAYS_OF_MONTH:
        return YES
    return (words[4] >> day_of_month(stamp // DAY)) & 1
