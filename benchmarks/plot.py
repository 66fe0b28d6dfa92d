"""Curves as SVG: a size that grows to the right, nanoseconds a packet upwards, both logarithmic."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Curve = Sequence[tuple[float, float]]  # (size, nanoseconds a packet)

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 180, 40, 50
COLOURS = ("#1b6ca8", "#c8553d", "#3c8d53", "#8a5aa8", "#b58900", "#555555")


class _Scale:
    """A logarithmic axis from one power of ten to another, over so many pixels."""

    def __init__(self, values: Sequence[float], start: int, end: int):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[int]:
        return [10**power for power in range(self.low, self.high + 1)]


def save(path: Path, title: str, x_name: str, curves: Mapping[str, Curve]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(svg(title, x_name, curves)) + "\n")


def svg(title: str, x_name: str, curves: Mapping[str, Curve]) -> Iterator[str]:
    points = [point for curve in curves.values() for point in curve]
    x = _Scale([size for size, _ in points], LEFT, WIDTH - RIGHT)
    y = _Scale([ns for _, ns in points], HEIGHT - BOTTOM, TOP)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    yield _text(LEFT, TOP - 18, title, size=14)
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_name, anchor="middle")
    yield _text(12, TOP - 18, "ns/packet")
    for tick in x.ticks():
        yield _line(x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM, "#dddddd")
        yield _text(x.at(tick), HEIGHT - BOTTOM + 18, f"{tick:,}", anchor="middle")
    for tick in y.ticks():
        yield _line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), "#dddddd")
        yield _text(LEFT - 6, y.at(tick) + 4, f"{tick:,}", anchor="end")
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x.at(size):.1f},{y.at(ns):.1f}" for size, ns in curve)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for size, ns in curve:
            yield f'<circle cx="{x.at(size):.1f}" cy="{y.at(ns):.1f}" r="3" fill="{colour}"/>'
        yield _text(WIDTH - RIGHT + 12, TOP + 12 + 18 * number, name, colour=colour)
    yield "</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", colour: str = "#222222"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'
