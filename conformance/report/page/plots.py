"""The page's pictures, as SVG: pygal lays them out, and the style sheet gives them colours and a dark mode.

Each comes with its numbers as a table: that is its text alternative, and what a person copies.
"""

from __future__ import annotations

import math
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pygal
from markupsafe import Markup
from pygal.style import Style

from conformance.facts import Measured
from conformance.report.page.backends import Shown, plain

# pygal adds a finder for plugins, of which Python warns at every import that comes after it. There are none here.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]

#: So many lines can be told apart in one picture; those of other backends are in their own views.
LINES = 8

_WIDTH, _HEIGHT, _ROW = 460, 250, 22

#: Sizes for the layout alone: what colours a chart is the page's style sheet.
_STYLE = Style(label_font_size=11, major_label_font_size=11, font_family="sans-serif")

#: Elements of pygal's that the page has no use for, and attributes of coordinates.
_UNUSED = ("", "defs", "desc", "title")
_NUMBERS = {"d", "cx", "cy", "x", "y", "width", "height", "transform"}
_DECIMALS = re.compile(r"-?\d+\.\d+")

#: The words of what is shown, by what a person reads on the axis.
_MARGIN, _SECONDS = "error as share of its bound", "seconds of a call"


@dataclass(frozen=True)
class Plot:
    """A picture with its words and its numbers."""

    title: str
    caption: str
    svg: Markup
    #: The names of its lines in the order of their colours; none where there is nothing to tell apart.
    legend: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: bool = False


def overview(backends: Sequence[Shown]) -> list[Plot]:
    """The pictures that compare backends."""
    measured = {backend.key: backend.report.measured for backend in backends if backend.report.measured}
    few = dict(sorted(measured.items(), key=lambda item: -_worst(item[1]))[:LINES])
    few = {key: measured[key] for key in measured if key in few}
    left = len(measured) - len(few)
    more = f" The {LINES} with the largest errors; the other {left} are in their own views." if left else ""
    return [*_margins(backends), *_by_sizes(few, more)]


def of_backend(backend: Shown) -> list[Plot]:
    """The pictures of one backend: a line for each dtype."""
    by_dtype: dict[str, list[Measured]] = {}
    for one in backend.report.measured:
        by_dtype.setdefault(one.dtype, []).append(one)
    return list(_by_sizes(by_dtype, ""))


def _worst(cells: Iterable[Measured]) -> float:
    return max((cell.margin for cell in cells if cell.margin is not None), default=0.0)


# Margins of the groups of properties


def _margins(backends: Sequence[Shown]) -> Iterator[Plot]:
    """For each backend, a dot for the largest margin of each group of properties."""
    found: dict[str, dict[str, float]] = {}
    for backend in backends:
        for verdict in backend.report.verdicts:
            if verdict.margin is not None and verdict.margin > 0:
                group = verdict.property.partition(".")[0]
                own = found.setdefault(backend.key, {})
                own[group] = max(own.get(group, 0.0), verdict.margin)
    if not found:
        return
    names = list(found)
    low = min(min(own.values()) for own in found.values())
    high = max(max(own.values()) for own in found.values())
    top, bottom = min(math.ceil(math.log10(max(high, 10))), 9), max(math.floor(math.log10(low)), -4)
    chart: Any = pygal.XY(
        **_options(_WIDTH * 2, 60 + _ROW * len(names)),
        stroke=False,
        xrange=(bottom, top),
        range=(-0.5, len(names) - 0.5),
    )
    step = -(-(top - bottom) // 7)
    chart.x_labels = [{"value": k, "label": _power(k)} for k in range(0, top + 1, step)] + [
        {"value": k, "label": _power(k)} for k in range(-step, bottom - 1, -step)
    ]
    chart.x_labels_major = [_power(0)]
    chart.y_labels = [{"value": len(names) - 1 - k, "label": _cut(name)} for k, name in enumerate(names)]
    kinds = {"right": lambda margin: margin <= 1, "wrong": lambda margin: margin > 1}
    for kind, holds in kinds.items():
        dots = [
            {
                "value": (min(max(math.log10(margin), bottom), top), len(names) - 1 - k),
                "label": f"{name}: {group} {margin:.2g}",
            }
            for k, name in enumerate(names)
            for group, margin in found[name].items()
            if holds(margin)
        ]
        chart.add(kind, dots)
    groups = list(dict.fromkeys(group for own in found.values() for group in own))
    yield Plot(
        title="Margins",
        caption="A dot is the largest error of one group of properties, as a share of its bound (logarithmic). "
        "A correct LSTM stays at 1 or below.",
        svg=_svg(chart, "margins", f"Largest error of each group as a share of its bound, {_range(found)}"),
        legend=(),
        head=("backend", *groups),
        rows=tuple((name, *(_number(own.get(g)) for g in groups)) for name, own in found.items()),
        wide=True,
    )


def _range(found: Mapping[str, Mapping[str, float]]) -> str:
    worst = {name: max(own.values()) for name, own in found.items()}
    name = max(worst, key=lambda each: worst[each])
    return f"{len(found)} backends; the largest is {worst[name]:.2g}, of {name}"


# Errors and times by size


def _by_sizes(lines: Mapping[str, Sequence[Measured]], more: str) -> Iterator[Plot]:
    """Errors and times against the steps and against the hidden size, a line for each name."""
    sizes: dict[str, Callable[[Measured], int]] = {
        "sequence length": lambda cell: cell.steps,
        "hidden size": lambda cell: cell.hidden,
    }
    for size, of in sizes.items():
        shown = {name: _largest(cells, of) for name, cells in lines.items()}
        told = f"The largest error at each {size}, up to the next power of two.{more}"
        yield from _lines(f"Error against {size}", told, _MARGIN, size, shown)
    for size, of in sizes.items():
        shown = {name: _median(cells, of) for name, cells in lines.items()}
        told = f"The median time of a call at each {size}, up to the next power of two.{more}"
        yield from _lines(f"Time per call against {size}", told, _SECONDS, size, shown)


def _largest(cells: Sequence[Measured], size: Callable[[Measured], int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for cell in cells:
        if cell.margin is not None:
            found[size(cell)] = max(found.get(size(cell), 0.0), cell.margin)
    return found


def _median(cells: Sequence[Measured], size: Callable[[Measured], int]) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for cell in cells:
        found.setdefault(size(cell), []).append(cell.seconds)
    return {at: statistics.median(times) for at, times in found.items()}


def _lines(title: str, caption: str, what: str, size: str, lines: Mapping[str, Mapping[int, float]]) -> Iterator[Plot]:
    """Lines over powers of two, on a logarithmic axis; nothing where there is one size at most."""
    sizes = sorted({at for line in lines.values() for at in line})
    positive = [value for line in lines.values() for value in line.values() if 0 < value < math.inf]
    if len(sizes) < 2 or not positive:
        return
    bottom, top = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    top += top == bottom
    chart: Any = pygal.Line(
        **_options(_WIDTH, _HEIGHT), range=(bottom, top), allow_interruptions=True, show_dots=True, dots_size=3
    )
    every = -(-len(sizes) // 9)
    chart.x_labels = [str(at) if not k % every else "" for k, at in enumerate(sizes)]
    step = -(-(top - bottom) // 6)
    chart.y_labels = [{"value": k, "label": _power(k)} for k in range(bottom, top + 1, step)]
    chart.y_labels_major = [0]
    for name, line in lines.items():
        values = [(line.get(at), at) for at in sizes]
        chart.add(
            plain(name, 40),
            [
                None
                if value is None
                else {
                    "value": math.log10(min(max(value, 10.0**bottom), 10.0**top)),
                    "label": f"{name}: {value:.2g} at {at}",
                }
                for value, at in values
            ],
        )
    yield Plot(
        title=title,
        caption=caption,
        svg=_svg(
            chart,
            "errors" if what == _MARGIN else "times",
            f"{title}: {what} at {len(sizes)} sizes, {len(lines)} lines; the numbers are below",
        ),
        legend=tuple(plain(name, 40) for name in lines) if len(lines) > 1 else (),
        head=(size, *(plain(name, 40) for name in lines)),
        rows=tuple((str(at), *(_number(line.get(at)) for line in lines.values())) for at in sizes),
    )


# What all have in common


def _options(width: int, height: int) -> dict[str, Any]:
    return {
        "width": width,
        "height": height,
        "style": _STYLE,
        "js": (),
        "show_legend": False,
        "margin": 8,
        "spacing": 8,
        "truncate_label": -1,
        "show_x_guides": True,
        "disable_xml_declaration": True,
    }


def _svg(chart: Any, kind: str, words: str) -> Markup:
    """A chart without pygal's own style, script and tooltips; a dot has its words as its title."""
    root = chart.render_tree()
    for element in root.iter():
        # Comments have a function for a tag.
        element.tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    for parent in [*root.iter()]:
        said = next((one.text for one in parent if one.tag == "desc" and one.get("class") == "label"), "")
        for child in [one for one in parent if one.tag in _UNUSED or one.get("class", "").endswith("-overlay")]:
            parent.remove(child)
        if said:
            ElementTree.SubElement(parent, "title").text = said
        for name in _NUMBERS.intersection(parent.attrib):
            parent.attrib[name] = _DECIMALS.sub(lambda found: f"{float(found[0]):.1f}", parent.attrib[name])
    root.set("class", f"chart {kind}")
    root.attrib.pop("id", None)
    root.attrib |= {"role": "img", "aria-label": plain(words, 300)}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _power(exponent: int) -> str:
    return f"{10.0**exponent:g}" if -3 <= exponent <= 3 else f"1e{exponent}"


def _cut(name: str) -> str:
    return name if len(name) <= 34 else f"…{name[-33:]}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"
