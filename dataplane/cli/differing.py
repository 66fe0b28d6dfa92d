"""`--engine both` found a difference: what it is, and how to see it again."""

import shlex
import sys
from tempfile import mkdtemp

from dataplane.cli import ending
from dataplane.replay.difference import Difference
from dataplane.trace.describe import Describer
from dataplane.trace.minimal import minimal


def tell(difference: Difference) -> int:
    """Writes a small case that shows it again.  Returns the command's status."""
    _say(f"dataplane: {difference}")
    if difference.fast is not None and difference.reference is not None:
        describer = Describer(difference.nodes)
        for name, record in (("kernels", difference.fast), ("reference", difference.reference)):
            _say(f"--- {name}")
            _say(minimal(record, describer).rstrip("\n"))
    arguments = difference.case().write(mkdtemp(prefix="dataplane-case-"))
    _say(f"see it again: dataplane replay {shlex.join(arguments)}")
    return ending.DIFFERENT


def _say(text: str) -> None:
    print(text.encode("utf-8", "replace").decode(), file=sys.stderr)
