"""Every number has its words."""

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.reference.steps import EventKind, Generated, StepKind
from dataplane.trace import reasons, steps, vocabulary


def test_every_reason_is_explained_in_one_sentence() -> None:
    assert set(reasons.REASONS) == set(Reason)
    for explained in reasons.REASONS.values():
        assert explained.sentence.endswith(".")
        assert ". " not in explained.sentence


def test_every_verdict_is_explained() -> None:
    assert set(reasons.VERDICTS) == set(Verdict)


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        (Reason.NETFILTER_DROP, "SKB_DROP_REASON_NETFILTER_DROP"),
        (Reason.NO_ROUTE, "SKB_DROP_REASON_IP_INNOROUTES"),
        (Reason.REVERSE_PATH, "SKB_DROP_REASON_IP_RPFILTER"),
        (Reason.HOST, ""),
        (Reason.MATCH_UNMODELLED, ""),
    ],
)
def test_kernels_own_name(reason: int, name: str) -> None:
    assert reasons.skb_drop_reason(reason) == name


def test_names_are_those_of_the_header() -> None:
    """_fastpath/reason.pxd names the kernel's reason in the comment of each of ours."""
    from pathlib import Path

    header = Path(__file__).parents[2] / "_fastpath" / "reason.pxd"
    for line in header.read_text().splitlines():
        before, _, comment = line.partition("#")
        name = before.partition("=")[0].strip()
        word = comment.replace(",", " ").replace(":", " ").split()
        if name in Reason.__members__ and word and word[0].isupper() and "_" in word[0]:
            told = reasons.REASONS[Reason[name]].skb
            assert told == word[0].removeprefix("SKB_DROP_REASON_"), name


def test_vocabulary_is_complete() -> None:
    kinds = set(StepKind) - {StepKind.STEP_KINDS}
    assert set(vocabulary.KINDS) == kinds
    assert set(steps.TITLES) == kinds - {
        StepKind.STEP_RULE,
        StepKind.STEP_UNDECIDED,
        StepKind.STEP_HOTDROP,
        StepKind.STEP_NAT,
    }
    assert set(vocabulary.GENERATED) == set(Generated) - {Generated.GENERATED_KINDS}
    assert set(vocabulary.CHANGES) == set(EventKind)


@pytest.mark.parametrize(
    ("flags", "text"),
    [(0, "none"), (2, "S"), (18, "S."), (24, "P."), (17, "F."), (0xFF, "FSRP.UEW")],
)
def test_tcp_flags_are_tcpdumps(flags: int, text: str) -> None:
    assert vocabulary.tcp_flags(flags) == text
