"""The summary of a replay, from its columns, window by window."""

from collections import Counter

import numpy as np
from numpy.lib.recfunctions import repack_fields

from _fastpath.reason import Reason, Verdict
from _fastpath.trace import REASONS
from dataplane.node.state import Address
from dataplane.replay.result import Flow, Result, flow_of
from dataplane.trace import vocabulary
from dataplane.trace.describe import Describer
from dataplane.trace.headline import endpoint
from dataplane.trace.summary import Summary

UNMODELLED = [int(Reason.MATCH_UNMODELLED), int(Reason.TARGET_UNMODELLED)]
VERDICTS = max(Verdict) + 1
ENDS = ["responder", "end_dst", "responder_port", "end_dport", "family", "proto"]


class Tally:
    """Counts packets as they come, window by window."""

    def __init__(self, describer: Describer):
        self._describer = describer
        self._ended = np.zeros(VERDICTS * REASONS, np.int64)  # packets by verdict and reason
        self._unknown: Counter[str] = Counter()  # the rule's text: packets
        self._rules: dict[int, str] = {}  # path -> text of the rule that decided; "" = none
        self._last: Result | None = None

    def take(self, result: Result) -> None:
        columns = result.columns
        keys = columns["verdict"].astype(np.int64) * REASONS + columns["reason"]
        self._ended += np.bincount(keys, minlength=len(self._ended))
        if self._ended.reshape(-1, REASONS)[:, UNMODELLED].any():
            self._take_unknown(result)
        self._last = result

    def _take_unknown(self, result: Result) -> None:
        """Rules with something that is not modelled, where it decided a packet's fate."""
        columns = result.columns
        rows = np.flatnonzero(np.isin(columns["reason"], UNMODELLED))
        _, first, counts = np.unique(columns["path"][rows], return_index=True, return_counts=True)
        for index, count in zip(rows[first].tolist(), counts.tolist(), strict=True):
            path = int(columns["path"][index])
            if path not in self._rules:
                self._rules[path] = self._rule(result, index)
            if self._rules[path]:
                self._unknown[self._rules[path]] += count

    def _rule(self, result: Result, index: int) -> str:
        step = self._describer.last_rule(result.record(index))
        if step is None:
            return ""
        return f"{step.node} {step.table} {self._describer.rules.text(step)}"

    def summary(self) -> Summary:
        return Summary(
            packets=int(self._ended.sum()),
            flows=len(self._last.flow_rows) if self._last else 0,
            verdicts={
                (key // REASONS, key % REASONS): int(self._ended[key])
                for key in np.flatnonzero(self._ended).tolist()
            },
            endpoints=_endpoints(self._last, self._describer) if self._last else {},
            unknown=self._unknown,
        )


def _endpoints(result: Result, describer: Describer) -> dict[tuple[str, str], int]:
    """(who was spoken to, who answered): flows.  Only where these are not the same."""
    rows = result.flow_rows
    moved = (rows["verdict"] == Verdict.DELIVERED) & (rows["end_dst"] != rows["responder"])
    ends = repack_fields(rows[ENDS][moved])
    found: Counter[tuple[str, str]] = Counter()
    # Flows are many, endpoints few: those are named once.
    keys = np.ascontiguousarray(ends).view(f"V{ends.dtype.itemsize}")
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    numbers = np.flatnonzero(moved)[first]
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        flow = flow_of(result.image, number, rows[number])
        to = _name(describer, flow, flow.responder, flow.responder_port)
        found[to, _name(describer, flow, flow.end_dst, flow.end_dport)] += count
    return found


def _name(describer: Describer, flow: Flow, address: Address, port: int) -> str:
    protocol = vocabulary.protocol(flow.proto).upper()
    named = describer.places.address(address, protocol, port)
    return named.name if named else endpoint(address, port)
