import subprocess
import sys

import pytest

from dataplane.cli import VERBS
from tests.cli.commands import error, output, run


def test_help_lists_every_verb() -> None:
    text = output("--help")
    for verb, sentence in VERBS.items():
        assert verb in text
        assert sentence.split()[0] in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    text = output(verb, "--help")
    assert text.startswith(f"Usage: dataplane {verb} ")
    assert VERBS[verb].split(",")[0].split()[0] in text


def test_help_loads_nothing_slow() -> None:
    code = (
        "import sys\n"
        "from dataplane.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "slow = {'numpy', 'rich', 'yaml', 'dpkt', 'msgspec', 'dataplane.cluster', '_fastpath'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_python_m() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "dataplane", "version"], check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith("dataplane ")


def test_version_names_what_decides_over_results() -> None:
    names = [line.split()[0] for line in output("version").splitlines()]
    assert names == ["dataplane", "python", "numpy", "msgspec", "click"]


def test_an_unknown_verb() -> None:
    assert error("explode") == "Error: No such command 'explode'."


def test_no_verb_is_help() -> None:
    assert "Commands:" in run().output
