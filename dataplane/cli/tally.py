"""The summary of a replay, from its columns."""

from collections import Counter

import numpy as np

from _fastpath.reason import Reason, Verdict
from dataplane.node.state import Address
from dataplane.replay.result import Flow, Result
from dataplane.trace import vocabulary
from dataplane.trace.describe import Describer
from dataplane.trace.headline import endpoint
from dataplane.trace.summary import Summary

UNMODELLED = (Reason.MATCH_UNMODELLED, Reason.TARGET_UNMODELLED)


def tally(result: Result, describer: Describer) -> Summary:
    return Summary(
        packets=len(result),
        flows=len(result.flows),
        verdicts=result.verdicts(),
        endpoints=_endpoints(result, describer),
        unknown=_unknown(result, describer),
    )


def _endpoints(result: Result, describer: Describer) -> dict[tuple[str, str], int]:
    """(who was spoken to, who answered): flows.  Only where these are not the same."""
    found: Counter[tuple[str, str]] = Counter()
    for flow in result.flows:
        if flow.verdict == Verdict.DELIVERED and flow.end_dst != flow.responder:
            to = _name(describer, flow, flow.responder, flow.responder_port)
            found[to, _name(describer, flow, flow.end_dst, flow.end_dport)] += 1
    return found


def _name(describer: Describer, flow: Flow, address: Address, port: int) -> str:
    protocol = vocabulary.protocol(flow.proto).upper()
    named = describer.places.address(address, protocol, port)
    return named.name if named else endpoint(address, port)


def _unknown(result: Result, describer: Describer) -> dict[str, int]:
    """Rules with something that is not modelled, where it decided a packet's fate."""
    columns = result.columns
    found: dict[str, int] = {}
    rows = np.flatnonzero(np.isin(columns["reason"], UNMODELLED))
    _, first, counts = np.unique(columns["path"][rows], return_index=True, return_counts=True)
    for index, count in zip(rows[first].tolist(), counts.tolist(), strict=True):
        step = describer.last_rule(result.record(index))
        if step:
            text = f"{step.node} {step.table} {describer.rules.text(step)}"
            found[text] = found.get(text, 0) + count
    return found
