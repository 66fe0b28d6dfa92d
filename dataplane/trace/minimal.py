"""A trace as one line per step, stable enough to be compared: no times, nothing random to read.

tcp 10.244.1.2:40000 > 10.96.10.10:80 [S]
node-a in vethce2a28d0
node-a conntrack NEW
node-a nat PREROUTING 1 KUBE-SERVICES
node-a DNAT dst 10.96.10.10:80 > 10.244.2.3:8080
…
= DELIVERED HOST node-b veth8d1c2f44 10.244.1.2:40000 > 10.244.2.3:8080 ttl 62
"""

from _fastpath.reason import Reason, Verdict
from dataplane.reference.steps import EventKind, StepKind
from dataplane.trace import text
from dataplane.trace.changes import changes
from dataplane.trace.describe import Describer
from dataplane.trace.headline import end_addresses, headline
from dataplane.trace.record import Record
from dataplane.trace.steps import step_title, step_words

TOLD = (EventKind.EVENT_SRC, EventKind.EVENT_DST, EventKind.EVENT_SPORT, EventKind.EVENT_DPORT)


def minimal(record: Record, describer: Describer) -> str:
    """All of it, ending in a newline.  What a policy without rules accepts is left out."""
    lines = [headline(record, ">")]
    told: dict[int, list[str]] = {}
    for change in changes(record):
        if change.kind in TOLD:
            told.setdefault(change.step, []).append(str(change).replace("→", ">"))
    for index, step in enumerate(record.steps):
        if step.is_rule:
            if not describer.rules.is_silent(step):
                where = f"{step.node} {step.table} {step.chain} {step.number or 'policy'}"
                if step.kind == StepKind.STEP_HOTDROP:
                    lines.append(f"{where} hotdrop")
                    continue
                undecided = " ?" if step.kind == StepKind.STEP_UNDECIDED else ""
                lines.append(f"{where} {describer.rules.target(step)}{undecided}")
        else:
            words = ", ".join(told.get(index, [])) or step_words(step)
            lines.append(f"{step.node} {step_title(record.steps, index)} {words}")
    return "\n".join([*lines, _end(record), ""])


def _end(record: Record) -> str:
    verdict = Verdict(record.verdict)
    words = ["=", verdict.name, Reason(record.reason).name, *filter(None, record.place)]
    if verdict in text.ENDED_WELL:
        words += [end_addresses(record, ">"), "ttl", str(record.end_ttl)]
    return " ".join(words)
