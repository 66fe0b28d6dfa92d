"""Matches that depend on what the rule remembers, on chance or on the time."""

from _fastpath.trace import EventKind
from dataplane.reference.choice import rule_identity
from dataplane.reference.match_words import Options, RememberingAnswer, Where
from dataplane.reference.nat import original_fields
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place


def _statistic(place: Place, where: Where, options: Options, packet: Packet) -> bool:
    values = {option.name: option.values[0] for option in options}
    negated = any(option.negated for option in options)
    if values["--mode"] == "nth":
        key = (place.family, *where)
        count = place.node.evaluations.get(key, 0)
        place.node.evaluations[key] = count + 1
        turn = int(values.get("--packet", "0"))
        return (count % int(values["--every"]) == turn) != negated
    threshold = int(float(values["--probability"]) * (1 << 31) + 0.5)
    fields = original_fields(packet.connection) if packet.connection else packet.fields
    rule = rule_identity(place.family, *where[:3])
    choices, node = place.choices, place.node.name
    answer = choices.statistic_fed(node, fields, rule)
    if answer is not None:
        place.trace.value(EventKind.EVENT_DRAW, 0 if answer else 0x7FFFFFFF, threshold)
        return answer
    draw = choices.statistic_draw(node, fields, rule)
    place.trace.value(EventKind.EVENT_DRAW, draw, threshold)
    return (draw < threshold) != negated


ANSWERS: dict[str, RememberingAnswer] = {
    "statistic": _statistic,
}
