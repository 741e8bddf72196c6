"""The page and the plot of what the measurement of sensitivity found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.sensitivity_defects import CORRECT, DEFECTS, DTYPES, JUDGES, OURS, TOLERANCES, Defect
from conformance.report.environment import environment

#: What was found, by ("alarms", implementation, dtype) or ("smallest", defect, dtype).
Known = dict[tuple[str, str, str], Any]


def limits_of(found: Known, dtype: str) -> dict[str, int]:
    """The most cases on which each tolerance accuses a correct implementation."""
    return {t: max(found["alarms", name, dtype][t][0] for name in CORRECT) for t in TOLERANCES}


def shares(found: Known, dtype: str) -> dict[str, tuple[int, int]]:
    """Each judge's false alarms, and the runs of correct implementations that it judged."""
    own = [found["alarms", name, dtype] for name in CORRECT]
    return {judge: (sum(one[judge][0] for one in own), sum(one[judge][1] for one in own)) for judge in JUDGES}


def table(found: Known, dtype: str, format: str = "simple") -> str:
    """The smallest levels for one dtype, and below them each judge's false alarms."""
    rows = [
        [defect.name, *(_level(defect, found["smallest", defect.name, dtype][judge]) for judge in JUDGES)]
        for defect in DEFECTS
        if ("smallest", defect.name, dtype) in found
    ]
    rows.append(["false alarms", *(_share(*share) for share in shares(found, dtype).values())])
    return tabulate(rows, [dtype, *JUDGES], tablefmt=format, colalign=("left", *["right"] * len(JUDGES)))


def _level(defect: Defect, level: float | None) -> str:
    if level is None:
        return "missed"
    return f"{level:.0e}" if len(defect.levels) > 1 else "seen"


def _share(alarms: int, runs: int) -> str:
    return f"{100 * alarms / runs:.1f} %" if alarms else f"0 in {runs:,}"


def page(found: Known) -> str:
    """The page."""
    versions = ", ".join(f"{name} {version}" for name, version in environment("torch").items())
    limits = "; ".join(
        ", ".join(f"{limit + 1} ({tolerance})" for tolerance, limit in limits_of(found, dtype).items()) + f" in {dtype}"
        for dtype in DTYPES
    )
    tables = "\n\n".join(table(found, dtype, "github") for dtype in DTYPES)
    return f"""# How small a defect is still seen

![The smallest level that each judge detects, defect by defect](sensitivity.svg)

`python -m benchmarks.sensitivity` builds defects of level ε into a correct LSTM. ε goes down from 0.1 in steps of √10.
The tables show the last level before the first that a judge misses. Four judges are compared on the same cases:

- This suite makes a default run: its fixed set and 100 random cases, seed 0. Only `refusals.undeclared` is left out,
  which would ask for another dtype.
- Three fixed tolerances compare output, h_n and c_n with the float64 oracle: the defaults of
  `torch.testing.assert_close` and of `np.allclose`, and the ONNX project's rtol 1e-3, atol 1e-7.

A fixed tolerance accuses correct LSTMs too. The last row is the share of runs of {len(CORRECT)} correct implementations
that each judge accuses ({", ".join(CORRECT[:4])}, {", ".join(CORRECT[4:])}).
So a judge detects a defect if it accuses it on more cases than any correct implementation. For this suite that is one
case. For the tolerances it is
{limits}.
This favours them: a user of a tolerance judges one case or a few, and does not know how many alarms are false.

In the plot u is the unit roundoff, and the legend gives the false alarms in float32 and in float64.

ε scales the quantity beside it, or is added to it. *seen* and *missed* are for defects without a level. An activation
that is off by less than 12 u (7e-07 in float32, 1e-15 in float64) is no defect here, because shipping libraries promise
no more: [bounds.md](bounds.md). That has its price: with half of the allowance, half as large a defect of an
activation, a forget gate or a cell would be seen.

{tables}

{versions}
"""


#: Marker, colour, and height within its row.
_STYLE = {
    OURS: ("o", "#0b6e4f", 0.27),
    "assert_close": ("s", "#e08e0b", 0.09),
    "np.allclose": ("D", "#3b76b5", -0.09),
    "rtol 1e-3": ("^", "#b3413b", -0.27),
}


def plot(found: Known, path: Path) -> None:
    """One row for each defect, one panel for each dtype."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    names, missed = [defect.name for defect in DEFECTS], 10.0
    with plt.rc_context({"svg.hashsalt": "sensitivity", "font.size": 9.5}):
        figure, panels = plt.subplots(
            1, len(DTYPES), figsize=(11, 0.42 * len(names) + 1.9), sharey=True, layout="constrained"
        )
        for panel, dtype in zip(panels, DTYPES, strict=True):
            unit = float(np.finfo(dtype).eps) / 2
            panel.axvline(unit, color="#888888", lw=0.8, ls=":")
            panel.text(unit, len(names) - 0.4, "u", color="#888888", va="bottom", ha="center")
            panel.axvspan(1, 100, color="#f4f1ea", zorder=0)
            panel.axhline(sum(len(defect.levels) == 1 for defect in DEFECTS) - 0.5, color="#888888", lw=0.8)
            for y, name in enumerate(reversed(names)):
                if ("smallest", name, dtype) not in found:
                    continue
                levels = found["smallest", name, dtype]
                at = {judge: levels[judge] or missed for judge in JUDGES}
                panel.plot([min(at.values()), max(at.values())], [y, y], color="#dddddd", lw=1.2, zorder=1)
                for judge, (marker, colour, up) in _STYLE.items():
                    face = colour if levels[judge] else "white"
                    panel.plot(at[judge], y + up, marker, color=colour, mfc=face, ms=5, mew=1.1, zorder=3)
            decades = range(-1, int(np.log10(unit)) - 1, -1 if dtype == "float32" else -2)
            panel.set_xscale("log")
            panel.set_xlim(unit / 8, 100)
            panel.set_xticks([*(10.0**k for k in decades), missed], [*(f"$10^{{{k}}}$" for k in decades), "missed"])
            panel.minorticks_off()
            panel.set_ylim(-0.7, len(names) - 0.3)
            panel.set_yticks(range(len(names)), names[::-1])
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="x", color="#eeeeee", zorder=0)
            panel.spines[["top", "right", "left"]].set_visible(False)
            panel.set_title(dtype, fontweight="bold", pad=16)
            panel.set_xlabel("smallest detected level ε")
        figure.legend(
            handles=[
                Line2D([], [], marker=marker, color=colour, ls="", ms=6, label=_label(found, judge))
                for judge, (marker, colour, _) in _STYLE.items()
            ],
            loc="outside lower center",
            ncols=len(_STYLE),
            frameon=False,
        )
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
        plt.close(figure)


def _label(found: Known, judge: str) -> str:
    own = [shares(found, dtype)[judge] for dtype in DTYPES]
    text = ", ".join(f"{100 * count / runs:.1f} %" if count else "none" for count, runs in own)
    return f"{judge}\nfalse alarms: {text}"
