"""What the fuzzer is made of, and the cases in which ours once was not what the kernel is."""

from pathlib import Path
from random import Random

import pytest

from tests.kernel.fuzzing import case as cases
from tests.kernel.fuzzing import rules as random_rules
from tests.kernel.fuzzing.compare import compare
from tests.kernel.fuzzing.generate import generate
from tests.kernel.fuzzing.lab import FuzzLab

RULE_SETS = 40  # of 200 packets each, in either flavour
CASES = Path(__file__).parent / "cases"

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", params=["legacy", "nft"])
def lab(request: pytest.FixtureRequest):
    made = FuzzLab(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("folder", sorted(CASES.glob("*")), ids=lambda folder: folder.name)
def test_cases_that_once_disagreed(folder: Path) -> None:
    case = cases.read(folder)
    lab = FuzzLab(case.flavour)
    try:
        assert compare(case, lab) == []
    finally:
        lab.close()


def test_a_seed_gives_the_same_case(lab: FuzzLab, tmp_path: Path) -> None:
    case, _ = generate("again", lab.flavour, lab, packets=40)
    assert generate("again", lab.flavour, lab, packets=40)[0] == case
    cases.write(case, tmp_path)
    assert cases.read(tmp_path) == case


@pytest.mark.parametrize("seed", range(RULE_SETS))
def test_the_kernel_agrees(lab: FuzzLab, seed: int) -> None:
    """Frames at every device, counters, connections, and the rules' path by the kernel's TRACE."""
    case, _ = generate(f"fixed {seed}", lab.flavour, lab)
    differences = compare(case, lab)
    assert not differences, "\n".join(each.text for each in differences)


def test_most_rules_are_of_what_is_modelled() -> None:
    place = random_rules.Place(4, "legacy", "filter", "FORWARD")
    random = Random(1)
    rules = [random_rules.rule(random, place, []) for _ in range(100)]
    assert sum(random_rules.is_modelled(words, place) for words in rules) > 90
