"""What the documents say is run: commands and their output, code, names of modules and verbs.

In a README's ```console block a line that begins with `$ ` is run; what follows it is what it
prints, standard error included.  A line `…` stands for any lines, `…` in a line for any letters.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from dataplane.cli import VERBS
from dataplane.image import matches, targets
from tests.test_architecture import ROOMS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [README, ARCHITECTURE, CONTRIBUTING, ROOT / "CHANGELOG.md", ROOT / "docs/netfilter.md",
             ROOT / "docs/performance.md"]  # fmt: skip
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.M | re.S)


class Command(NamedTuple):
    line: str
    output: str


def blocks(path: Path, language: str) -> list[str]:
    return [b["body"] for b in BLOCK.finditer(path.read_text()) if b["language"] == language]


def commands(body: str) -> list[Command]:
    """Commands of a console block; a backslash at the end of a line continues it."""
    parts = re.split(r"^\$ ", body, flags=re.M)
    assert parts[0] == "", f"a console block begins with a command: {body!r}"
    found = []
    for part in parts[1:]:
        split = re.match(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.S)
        assert split
        found.append(Command(split[1], split[2]))
    return found


def pattern(shown: str) -> re.Pattern[str]:
    """What output may be that is shown so."""
    lines = [
        "(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
        for line in shown.splitlines()
    ]
    return re.compile("".join(lines))


def is_run(body: str) -> bool:
    return re.search(r"^\$ dataplane", body, re.M) is not None


SESSIONS = [body for body in blocks(README, "console") if is_run(body)]
OTHERS = [body for body in blocks(README, "console") if not is_run(body)]


def run(line: str, folder: Path) -> str:
    """As a user would in the project's folder; what it writes goes to `folder`."""
    script = 'dataplane() { "$PYTHON" -m dataplane "$@"; }\n' + line
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("body", SESSIONS, ids=lambda body: body.splitlines()[0][2:60])
def test_a_session_of_the_readme_goes_as_shown(body: str, tmp_path: Path) -> None:
    (tmp_path / "pcaps").symlink_to(ROOT / "pcaps")
    for command in commands(body):
        actual = "".join(f"{line.rstrip()}\n" for line in run(command.line, tmp_path).splitlines())
        shown = command.output.rstrip("\n") + "\n" if command.output.strip() else ""
        assert not shown or pattern(shown).fullmatch(actual), f"$ {command.line}{actual}"


def test_sessions_show_output_of_every_kind() -> None:
    assert len(SESSIONS) >= 8
    run_verbs = {
        found for body in SESSIONS for found in re.findall(r"^\$ dataplane (\w+)", body, re.M)
    }
    assert run_verbs == set(VERBS)
    shown = [c.output for body in SESSIONS for c in commands(body) if c.output.strip()]
    assert len(shown) >= 6
    assert all(len(re.sub(r"[…\s]", "", output)) > 12 for output in shown)


@pytest.mark.parametrize(
    ("shown", "actual", "fits"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n…\nc\n", "a\nb\nb\nc\n", True),
        ("a\n…\nc\n", "a\nc\n", True),
        ("a …\n", "a b\n", True),
        ("a …\n", "a b\nc\n", False),
        ("a.c\n", "abc\n", False),
        ("a\n…\nd\n", "a\nb\nc\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_what_an_ellipsis_stands_for(shown: str, actual: str, fits: bool) -> None:
    assert bool(pattern(shown).fullmatch(actual)) == fits


def make_words(path: Path) -> set[str]:
    text = path.read_text()
    return set(re.findall(r"(?:^\$ |`)make ([\w-]+)", text, re.M))


def test_the_two_commands_are_there() -> None:
    said = {line for body in OTHERS for line in body.splitlines()}
    assert {"$ make demo", "$ make test"} <= said
    assert "$ pip install ." in said


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_to_be_made_can_be_made(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    can = set(re.findall(r"^([\w-]+):", makefile, re.M))
    assert make_words(path) <= can


def test_the_library_in_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(README, "python")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 12
    monkeypatch.chdir(ROOT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "DELIVERED" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_the_readme_is_one_of_its_verb(verb: str, tmp_path: Path) -> None:
    help_text = run(f"dataplane {verb} --help", tmp_path)
    assert f"Usage: dataplane {verb}" in help_text
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_text))
    for body in SESSIONS:
        for command in commands(body):
            if command.line.startswith(f"dataplane {verb} "):
                used = set(re.findall(r"(?<=\s)--?[a-z][\w-]*", command.line.split("|")[0]))
                assert used <= known, command.line


def named_modules(path: Path) -> set[str]:
    """Whatever in a document is written like one of our files."""
    text = path.read_text()
    found = re.findall(r"`((?:dataplane|_fastpath|tests|benchmarks|pcaps|\.ci)/[\w./-]*)`", text)
    return {name for name in found if "NAME" not in name}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    assert [name for name in sorted(named_modules(path)) if not (ROOT / name).exists()] == []


def table_of_rooms() -> dict[str, set[str]]:
    """room -> modules that ARCHITECTURE.md has a line for, by its headings and lists."""
    found: dict[str, set[str]] = {}
    room = ""
    for line in ARCHITECTURE.read_text().splitlines():
        heading = re.match(r"### `([\w/]+)/`", line)
        if line.startswith("#"):
            room = heading[1] if heading else ""
        elif room and line.startswith("| `"):
            first = line.split("|")[1]
            found.setdefault(room, set()).update(re.findall(r"`(\w+)`", first))
    return found


def modules(room: str) -> set[str]:
    suffix = "*.pyx" if room == "_fastpath" else "*.py"
    return {path.stem for path in (ROOT / room).glob(suffix)}


def test_every_module_of_the_architecture_exists() -> None:
    rooms = table_of_rooms()
    assert set(rooms) == {*(room for room in ROOMS if (ROOT / room).is_dir()), "_fastpath"}
    headers = {path.stem for path in (ROOT / "_fastpath").glob("*.pxd")}
    for room, named in rooms.items():
        here = modules(room) | (headers if room == "_fastpath" else set())
        assert named <= here, f"{room}: {sorted(named - here)}"


def test_every_kernel_and_every_room_stands_in_the_architecture() -> None:
    rooms = table_of_rooms()
    assert modules("_fastpath") <= rooms["_fastpath"]
    for room, named in rooms.items():
        assert len(named) >= len(modules(room)) / 2, f"{room}: {sorted(modules(room) - named)}"


def test_functions_named_on_a_packets_way_exist() -> None:
    """`file.pyx: a, b` and `file.py: a, b` in the section that follows one packet."""
    text = ARCHITECTURE.read_text().split("## One packet's way")[1].split("\n## ")[0]
    found = re.findall(r"^\s*(\S+\.pyx?)\s+(.*)$", text, re.M)
    assert len(found) >= 15
    for file, words in found:
        header = (ROOT / file).with_suffix(".pxd")  # where what is inline stands
        source = (ROOT / file).read_text() + (header.read_text() if header.exists() else "")
        for name in re.findall(r"(\w+)\(\)", words):
            assert re.search(rf"\b(?:def|cdef|cpdef|class)\b[^\n=]*\b{name}\(", source), (
                file,
                name,
            )


def listed(label: str) -> set[str]:
    """Extensions with a row in the table of docs/netfilter.md under `## LABEL`."""
    section = (ROOT / "docs/netfilter.md").read_text().split(f"## {label}")[1].split("\n## ")[0]
    found = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.M)
    assert {status for _, status in found} <= {"modelled", "approximated"}
    assert [name for name, _ in found] == sorted(name for name, _ in found), "sort the table"
    return {name for name, _ in found}


def test_the_matches_that_are_modelled() -> None:
    assert listed("Matches") == set(matches.MATCHES)


def test_the_targets_that_are_modelled() -> None:
    assert listed("Targets") == set(targets.TARGETS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_project_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", path.read_text()):
        assert link.startswith("https://") or (ROOT / link).exists(), link
