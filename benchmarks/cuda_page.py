"""What was judged on a GPU, as a table and as a page: ``results/cuda.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from conformance.cases.recipe import parse

#: What a line says of where and with what it was measured, in the order of the page.
_WHERE = ("device", "capability", "driver", "cuda", "cudnn", "torch", "numpy", "hypothesis", "python", "platform")


def summary(lines: Sequence[dict[str, Any]], format: str = "simple") -> str:
    """Totals for each backend: of random cases, and of large ones."""
    random = [line for line in lines if "recipe" not in line]
    large = [line for line in lines if "recipe" in line]
    tables = []
    if random:
        headers = ["backend", "seeds", "cases", "judgements", "properties", "undecided", "margin", "alarms"]
        tables.append(_table("random cases", headers, map(_random, _groups(random)), format))
    if large:
        headers = ["backend", "dtype", "cases", "judgements", "H", "N", "L", "undecided", "margin", "alarms"]
        tables.append(_table("large cases", headers, map(_large, _groups(large, dtype=True)), format))
    return "\n\n".join(tables)


def _table(title: str, headers: list[str], rows: Iterable[list[object]], format: str) -> str:
    head = f"## {title.capitalize()}\n" if format == "github" else f"{title}\n"
    return f"{head}\n{tabulate(rows, headers, tablefmt=format, floatfmt='.2f', intfmt=',')}"


def _groups(lines: Sequence[dict[str, Any]], dtype: bool = False) -> list[list[dict[str, Any]]]:
    """The lines of each backend, and of each dtype."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in lines:
        name = (line["backend"], parse(line["recipe"]).dtype) if dtype else (line["backend"],)
        groups.setdefault(name, []).append(line)
    return [groups[name] for name in sorted(groups)]


def _random(own: list[dict[str, Any]]) -> list[object]:
    whole = [line for line in own if not line["interrupted"]]
    declared = max((line["declared"] for line in whole), default="–")
    return [own[0]["backend"], len(whole), _sum(own, "cases"), _sum(own, "judgements"), declared, *_ends(own)]


def _large(own: list[dict[str, Any]]) -> list[object]:
    recipes = [parse(line["recipe"]) for line in own]
    most = (max(sizes) for sizes in zip(*((r.H, r.N, r.L) for r in recipes), strict=True))
    return [own[0]["backend"], recipes[0].dtype, len(own), _sum(own, "judgements"), *most, *_ends(own)]


def _ends(own: list[dict[str, Any]]) -> list[object]:
    """How many properties are undecided, the largest margin, how many alarms."""
    undecided = {name for line in own for name in line["undecided"]}
    alarms = sum(len(line["alarms"]) for line in own)
    return [len(undecided), max((line["margin"] or 0.0 for line in own), default=0.0), alarms]


def _sum(own: list[dict[str, Any]], name: str) -> int:
    return sum(line[name] for line in own)


def page(lines: Sequence[dict[str, Any]]) -> str:
    """The totals as a page, with every finding and what is needed to repeat it."""
    parts = [
        "# The CUDA backends on a GPU",
        "`python -m benchmarks.cuda` judges them on seeds that nothing else uses, `--large` on large cases about the "
        "sizes at which kernels change: [docs/cuda.md](../docs/cuda.md). A judgement is one property on one case. The "
        "lines are in [cuda.jsonl](cuda.jsonl).",
        summary(lines, "github"),
        "## Where",
        _list(_distinct([_where(line) for line in lines])),
        _list(_distinct([f"{line['backend']}: {line['note']}" for line in lines if line["note"]])),
        "## Findings",
        *(_findings(lines) or ["None: every verdict is that the property holds."]),
    ]
    if undecided := _distinct([text for line in lines for text in _undecided(line)]):
        parts += ["## Undecided", _list(undecided)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _distinct(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _list(texts: list[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _where(line: dict[str, Any]) -> str:
    named = ", ".join(f"{name} {line[name]}" for name in _WHERE if name in line)
    return f"{named}; {line['CUBLAS_WORKSPACE_CONFIG']!r} for cuBLAS; commit {line['commit']}"


def _undecided(line: dict[str, Any]) -> list[str]:
    return [f"{line['backend']}, {name}: {reason}" for name, reason in line["undecided"].items()]


def _findings(lines: Sequence[dict[str, Any]]) -> list[str]:
    """A paragraph for each property of each backend that did not hold: how often, and its first case."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        for alarm in line["alarms"]:
            found.setdefault((line["backend"], alarm["property"]), []).append(alarm)
    return [
        f"**{backend}, {name}** ({alarms[0]['outcome']}, {len(alarms)} times): {alarms[0]['smallest']}\n\n"
        f"```\n{alarms[0]['message']}\n"
        f"lstm-conformance replay '{alarms[0]['recipe']}' --backend {backend} --only {name}\n```"
        for (backend, name), alarms in found.items()
    ]
