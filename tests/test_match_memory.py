"""Matches that remember: kernels and specification answer alike while time goes on."""

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.after import counters
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .reference.one_node import CLIENT, SERVER, node, rules_met, send, table

SECOND = 10**9
START = int(datetime(2024, 2, 28, 22, 0, tzinfo=UTC).timestamp())  # a Wednesday before a leap day
SOURCES = [ip_address(f"10.0.0.{last}") for last in (2, 3, 9, 130)]

LIMITS = ["5/min", "3/hour", "7/sec", "1/hour", "10000/sec", "1/day"]
LIMIT = st.builds(
    "-m limit --limit {} --limit-burst {}".format, st.sampled_from(LIMITS), st.integers(1, 5)
)
QUOTA = st.builds(
    "-m quota {}--quota {}".format, st.sampled_from(["", "! "]), st.sampled_from([0, 28, 60, 100])
)
NTH = st.sampled_from(["-m statistic --mode nth --every 3 --packet 2",
                       "-m statistic --mode nth ! --every 2 --packet 0"])  # fmt: skip


@st.composite
def recents(draw):
    kind = draw(st.sampled_from(["--set", "--rcheck", "--update", "--remove"]))
    words = ["-m recent", draw(st.sampled_from(["", "! "])) + kind]
    if kind in ("--rcheck", "--update"):
        words += draw(st.sampled_from([[], ["--seconds 2"], ["--seconds 10 --reap"]]))
        words += draw(st.sampled_from([[], ["--hitcount 2"], ["--hitcount 3"], ["--rttl"]]))
    words.append(f"--name {draw(st.sampled_from(['x', 'x', 'y']))}")
    words.append(f"--mask {draw(st.sampled_from(['255.255.255.255', '255.255.255.0']))}")
    words.append(draw(st.sampled_from(["--rsource", "--rsource", "--rdest"])))
    return " ".join(words)


@st.composite
def hashlimits(draw):
    packets = draw(st.booleans())
    rates = LIMITS if packets else ["1kb/s", "100b/s", "1mb/s"]
    words = ["-m hashlimit", draw(st.sampled_from(["--hashlimit-upto", "--hashlimit-above"]))]
    words.append(draw(st.sampled_from(rates)))
    if packets or draw(st.booleans()):
        words.append(f"--hashlimit-burst {draw(st.integers(1, 4)) if packets else '2mb'}")
    mode = draw(st.sampled_from(["", "srcip", "srcip,srcport", "dstport", "srcip,dstip"]))
    if mode:
        words.append(f"--hashlimit-mode {mode}")
    words.append(f"--hashlimit-name {draw(st.sampled_from('xyz'))}")
    words += draw(st.sampled_from([[], [], ["--hashlimit-srcmask 24"], ["--hashlimit-srcmask 0"]]))
    words += draw(st.sampled_from([[], [], ["--hashlimit-htable-expire 1500"]]))
    words += draw(
        st.sampled_from(
            [[], ["--hashlimit-rate-match"], ["--hashlimit-rate-match --hashlimit-rate-interval 3"]]
        )
    )
    return " ".join(words)  # fmt: skip


@st.composite
def times(draw):
    hours = [f"{hour:02}:{minute}" for hour in (0, 1, 12, 22, 23) for minute in ("00", "59:59")]
    words = ["-m time"]
    if draw(st.booleans()):
        words.append(f"--timestart {draw(st.sampled_from(hours))}")
        words.append(f"--timestop {draw(st.sampled_from(hours))}")
    words += draw(st.sampled_from([[], ["--weekdays Wed,Fri"], ["! --weekdays Thu"]]))
    words += draw(st.sampled_from([[], ["--monthdays 1,29"], ["! --monthdays 29"]]))
    words += draw(st.sampled_from([[], ["--datestart 2024-02-29T00:00:00"],
                                   ["--datestop 2024-03-01T12:00:00"]]))  # fmt: skip
    words += draw(st.sampled_from([[], ["--contiguous"], ["--kerneltz"]]))
    return " ".join(words)


MATCH = st.one_of(LIMIT, QUOTA, NTH, recents(), hashlimits(), times())
RULES = st.lists(
    st.builds(
        "FORWARD {} {} {}".format,
        st.sampled_from(["", "", "-s 10.0.0.2/32"]),
        st.lists(MATCH, min_size=1, max_size=2).map(" ".join),
        st.sampled_from(["", "", "", "-j DROP"]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip
STEPS = st.sampled_from([0, 0, 0, 3, 4, 100, 999, 1000, 1500, 5000, 60_000, 3_600_000, 86_400_000])
PACKETS = st.lists(
    st.tuples(STEPS, st.sampled_from(SOURCES), st.sampled_from([80, 81]),
              st.sampled_from([b"", b"x" * 32, b"y" * 1200]), st.sampled_from([64, 64, 10])),
    min_size=1, max_size=30,
)  # fmt: skip


@given(RULES, PACKETS, st.booleans())
def test_kernels_equal_the_specification_while_time_goes_on(rules, traffic, is_legacy):
    nodes = {"n": node((LEGACY if is_legacy else NFT) + table("filter", *rules))}
    fast, slow = FastEngine(nodes), ReferenceEngine(nodes)
    now = START * SECOND
    for wait, source, port, payload, ttl in traffic:
        now += wait * 10**6
        body = fr.udp(source, 1000, SERVER, port, payload)
        mine, its = (
            send(engine, 17, body, src=source, time=now, ttl=ttl) for engine in (fast, slow)
        )
        assert list(mine.steps) == list(its.steps)
        assert (mine.verdict, mine.reason) == (its.verdict, its.reason)
    counted = counters(fast.image, fast.state)
    for rule, found in slow.counters("n").items():
        assert counted["n", *rule] == found


# ------------------------------------------------------------------------ what is to be expected


LEGACY = "# Generated by iptables-save v1.8.9\n"
NFT = "# Generated by iptables-save v1.8.9 (nf_tables)\n"


def matched(words, *traffic, flavour=LEGACY):
    """For each (seconds, source, …) whether the rule matched, by both engines."""
    nodes = {"n": node(f"{flavour}{table('filter', f'FORWARD {words}')}")}
    answers = []
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        found = []
        for seconds, source, *rest in traffic:
            ttl, size = (*rest, 64, 0)[:2] if len(rest) < 2 else rest
            body = fr.udp(source, 1000, SERVER, 80, b"x" * size)
            now = int(seconds * SECOND)
            record = send(engine, 17, body, src=source, time=now, ttl=ttl)
            met = rules_met(record)
            assert met[-1] == "filter FORWARD 0" or not met, met
            found.append("filter FORWARD 1" in met)
        answers.append(found)
    assert answers[0] == answers[1]
    return "".join("y" if answer else "n" for answer in answers[0])


A, B, C, D = SOURCES


@pytest.mark.parametrize(
    ("words", "traffic", "expected"),
    [
        ("-m limit --limit 1/hour --limit-burst 2", [(0, A)] * 4, "yynn"),
        ("-m limit --limit 1/sec --limit-burst 1",
         [(0, A), (0.5, A), (0.999, A), (1.0, A), (1.5, A)], "ynnyn"),
        # 32 bits of credit wrap: 134217.728 s bring nothing at all.
        ("-m limit --limit 1/sec --limit-burst 1", [(0, A), (134217.728, A)], "yn"),
        ("-m quota --quota 60", [(0, A)] * 3, "yyn"),
        ("-m quota ! --quota 60", [(0, A)] * 3, "nny"),
        # What does not fit takes all that was left.
        ("-m quota --quota 60", [(0, A), (0, A, 64, 100), (0, A)], "ynn"),
        ("-m recent --rcheck --name x --rsource", [(0, A)], "n"),
        ("-m recent --set --name x --rsource", [(0, A)], "y"),
        ("-m recent --set --name x --rsource -m recent --rcheck --seconds 9 --hitcount 3 --name x "
         "--rsource", [(0, A), (1, A), (1, B), (2, A), (20, A)], "nnnyn"),
        ("-m recent --set --name x --rsource -m recent --remove --name x --rsource "
         "-m recent ! --rcheck --name x --rsource", [(0, A)], "y"),
        ("-m recent --set --name x --mask 255.255.255.128 --rsource "
         "-m recent --rcheck --hitcount 2 --name x --rsource",
         [(0, A), (0, B), (0, D), (0, C)], "nyny"),
        ("-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-mode srcip "
         "--hashlimit-name x", [(0, A), (0, A), (0, B), (1, A)], "ynyn"),
        ("-m hashlimit --hashlimit-above 1/hour --hashlimit-burst 1 --hashlimit-name x",
         [(0, A), (0, B)], "ny"),
        ("-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-mode srcip "
         "--hashlimit-srcmask 25 --hashlimit-name x", [(0, A), (0, B), (0, D)], "yny"),
        ("-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-name x "
         "--hashlimit-htable-expire 2000", [(0, A), (1.5, A), (3, A), (7, A)], "ynny"),
        ("-m hashlimit --hashlimit-upto 1kb/s --hashlimit-name x",
         [(0, A, 64, 900), (0, A, 64, 900), (2, A, 64, 900)], "yny"),
        ("-m hashlimit --hashlimit-upto 2/sec --hashlimit-burst 1 --hashlimit-rate-match "
         "--hashlimit-name x --hashlimit-htable-expire 9000",
         [(0, A)] * 4 + [(1, A), (3, A)], "yyynny"),
        ("-m time --timestart 09:00 --timestop 17:00",
         [(START, A), (START + 12 * 3600, A), (START + 19 * 3600, A)], "nyy"),
        ("-m time --timestart 22:30 --timestop 01:00 --weekdays Wed",
         [(START + 1800, A), (START + 9000, A)], "yn"),
        ("-m time --timestart 22:30 --timestop 01:00 --weekdays Wed --contiguous",
         [(START + 1800, A), (START + 9000, A)], "yy"),
        ("-m time --monthdays 29", [(START, A), (START + 7200, A), (START + 93600, A)], "nyn"),
        ("-m time --datestop 2024-02-28T22:00:00", [(START, A), (START + 1, A)], "yn"),
    ],
)  # fmt: skip
def test_answers(words, traffic, expected):
    assert matched(words, *traffic) == expected


def test_a_limit_of_iptables_nft_counts_in_nanoseconds():
    words = "-m limit --limit 1/sec --limit-burst 1"
    traffic = [(0, A), (0.999999999, A), (1.0, A), (1.998, A), (134217.728 + 2, A)]
    assert matched(words, *traffic, flavour=NFT) == "ynyny"
    assert matched("-m limit --limit 1/day --limit-burst 2", *[(0, A)] * 3, flavour=NFT) == "yyn"


def test_a_full_recent_table_forgets_whom_it_has_not_used_for_longest():
    others = [ip_address(f"10.0.0.{last}") for last in range(3, 102)]
    words = "-m recent --set --name x --rsource -m recent --rcheck --hitcount 2 --name x --rsource"
    traffic = [(0, A), *((0, other) for other in others), (0, A), (0, B)]
    assert matched(words, *traffic)[100:] == "yy"
    traffic = [(0, A), *((0, other) for other in others), (0, ip_address("10.0.0.200")), (0, A)]
    assert matched(words, *traffic)[100:] == "nn"


def test_a_full_hashlimit_table_drops_whom_it_does_not_know():
    words = (
        "-m hashlimit --hashlimit-upto 1/sec --hashlimit-mode srcip --hashlimit-name x "
        "--hashlimit-htable-size 16 --hashlimit-htable-max 16 --hashlimit-htable-expire 2000"
    )
    nodes = {"n": node(table("filter", f"FORWARD {words}"))}  # fmt: skip
    sources = [ip_address(f"10.0.0.{last}") for last in range(2, 20)]
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        records = [send(engine, 17, fr.udp(s, 1, SERVER, 2), src=s) for s in sources]
        assert [bool(rules_met(record)) for record in records] == [True] * 16 + [False] * 2
        late = send(engine, 17, fr.udp(CLIENT, 1, SERVER, 2), src=sources[17], time=3 * SECOND)
        assert rules_met(late)


def test_tables_are_shared_by_name_across_tables_and_families_of_a_node():
    rules = table("mangle", "PREROUTING -m recent --set --name x --rsource") + table(
        "filter", "FORWARD -m recent --rcheck --name x --rsource -j DROP"
    )
    nodes = {"n": node(rules)}
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        assert rules_met(send(engine, 17, fr.udp(A, 1, SERVER, 2)))[-1] == "filter FORWARD 1"
