"""fixtures/normal_forms.txt: what was written, and what iptables-save 1.8.9 printed for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dataplane.errors import Source
from dataplane.node import iptables
from dataplane.node.iptables_words import split
from tests.node.strategies_iptables import BUILTIN_CHAINS

FORMS = Path(__file__).parent / "fixtures" / "normal_forms.txt"


def read_forms():
    """(tool, table) to [(line as written, lines as printed)]."""
    sections = {}
    for line in FORMS.read_text().splitlines():
        if line.startswith("["):
            tool, table = line.strip("[]").split()
            section = sections.setdefault((tool, table), [])
        elif line.startswith("-A"):
            section.append((line, []))
        elif line.startswith("=> "):
            section[-1][1].append(line[3:])
    return sections


SECTIONS = read_forms()
CASES = [
    pytest.param(tool, written, printed, id=written)
    for (tool, _), section in SECTIONS.items()
    for written, printed in section
]


def normal(tool, line):
    family = 6 if tool == "ip6tables" else 4
    words = split(line)
    rules = iptables.parse_rule(words[2:], Source("forms", 1), family)
    return [iptables.render_rule(words[1], rule) for rule in rules]


@pytest.mark.parametrize(("tool", "written", "printed"), CASES)
def test_what_is_written_becomes_what_is_printed(tool, written, printed):
    assert normal(tool, written) == printed
    for line in printed:
        assert normal(tool, line) == [line]


def version(tool):
    found = shutil.which(tool)
    return (
        subprocess.run([found, "--version"], capture_output=True, text=True).stdout if found else ""
    )


LOAD_ONE_BY_ONE = """
while IFS= read -r line; do
    if printf '%s\\n%s\\nCOMMIT\\n' "$HEAD" "$line" | "$TOOL-restore" 2>/dev/null; then
        echo loaded
        "$TOOL-save" | grep ^-A
    else
        echo refused
    fi
done
"""


@pytest.mark.kernel
@pytest.mark.parametrize(("tool", "table"), SECTIONS)
def test_iptables_prints_the_same(tool, table):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if "v1.8.9" not in version(tool):
        pytest.skip("other versions than 1.8.9 print some options otherwise")
    section = SECTIONS[tool, table]
    head = "\n".join([f"*{table}", *(f":{chain} ACCEPT" for chain in BUILTIN_CHAINS[table])])
    answers = subprocess.run(
        ["unshare", "-n", "sh", "-c", LOAD_ONE_BY_ONE],
        input="".join(f"{written}\n" for written, _ in section),
        env={**os.environ, "TOOL": tool, "HEAD": f"{head}\n:U - [0:0]\n:weave;|$!#[ - [0:0]"},
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    asked = 0
    for written, printed in section:
        if answers.pop(0) == "refused":  # by a kernel that lacks the extension
            continue
        asked += 1
        assert [answers.pop(0) for _ in printed] == printed, written
    assert asked > len(section) // 2
