"""A test case's structural description, which Hypothesis draws and shrinks, and its one-line text form.

``I=3 H=5 layers=2 bidirectional L=4 N=2 state=both seed=12`` is a recipe; ``parse`` reads back what ``str`` writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from conformance.errors import UsageError
from conformance.spec import DTYPES, GATES, LSTMConfig, dtype_unavailable

#: The dtypes that can be judged here: bfloat16 needs a package of its own.
JUDGED_DTYPES = tuple(dtype for dtype in DTYPES if dtype_unavailable(dtype) is None)

#: What the caller gives as the initial state: nothing, h_0 alone (c_0 zeros), c_0 alone, or both.
STATES = ("none", "both", "h", "c")

#: How arrays lie in memory when they are handed over.
VIEWS = ("plain", "transposed", "strided", "gapped", "offset", "negative", "fortran", "readonly")

#: How values are made; ``cases/fills.py`` describes each.
FILLS = (
    "normal",
    "integers",
    "sparse",
    "constant",
    "ramp",
    "large-cell",
    "large-x",
    "saturated",
    "subnormal",
    "carry",
    "zero-weights",
    "digital",
    "cancelling",
    *(f"gate-{gate}" for gate in GATES),
)


@dataclass(frozen=True)
class Recipe:
    """The structure of one test case and the seed of its values; the same recipe always makes the same arrays."""

    I: int = 1  # noqa: E741  the field's own name for the input size
    H: int = 1
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = False
    unbatched: bool = False
    proj: int = 0
    dtype: str = "float32"
    L: int = 1
    N: int = 1
    state: str = "none"
    ragged: bool = False
    view: str = "plain"
    fill: str = "normal"
    #: The weights' standard deviation times √(fan-in).
    gain: float = 1.0
    seed: int = 0
    #: Which variant a property asks for, of those that it takes in turn (``Property.turns``); 0 is the first.
    turn: int = 0
    #: What the simplifier took away from the arrays, one text for each step (``cases/edits.py``).
    edits: tuple[str, ...] = ()

    @property
    def config(self) -> LSTMConfig:
        """The config of the model before any edits."""
        return LSTMConfig(**{theirs: getattr(self, ours) for ours, theirs in _MODEL.items()})

    def __str__(self) -> str:
        words = [f"I={self.I}", f"H={self.H}"]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if field.name in ("L", "N"):
                words.append(f"{field.name}={value}")
            elif value == field.default:
                continue
            elif field.name == "bias":
                words.append("no-bias")
            elif value is True:
                words.append(field.name.replace("_", "-"))
            elif field.name == "dtype":
                words.append(value)
            elif field.name == "edits":
                words.append(f"edits={','.join(value)}")
            elif field.name == "gain":
                words.append(f"gain={value:g}")
            else:
                words.append(f"{field.name}={value}")
        return " ".join(words)


#: The fields of a recipe that decide which tensors there are, but for the state, and their shapes.
SHAPING = ("I", "H", "layers", "bidirectional", "bias", "proj", "L", "N")

#: The fields of a recipe that its model depends on, each with the config's name for it.
_MODEL = {"I": "input_size", "H": "hidden_size", "layers": "num_layers", "proj": "proj_size"}
_MODEL |= {name: name for name in ("bidirectional", "bias", "batch_first", "dtype")}


def model_fields(config: LSTMConfig) -> dict[str, Any]:
    """The fields of a recipe whose model has this config."""
    return {ours: getattr(config, theirs) for ours, theirs in _MODEL.items()}


#: Each option of ``Capabilities``, and the function that turns any recipe into one that uses it.
OPTIONS: dict[str, Callable[[Recipe], Recipe]] = {
    "layers": lambda r: replace(r, layers=2),
    "bidirectional": lambda r: replace(r, bidirectional=True),
    "no_bias": lambda r: replace(r, bias=False),
    "batch_first": lambda r: replace(r, batch_first=True, unbatched=False, L=3, N=2),
    "projection": lambda r: replace(r, H=max(r.H, 2), proj=1),
    "unbatched": lambda r: replace(r, unbatched=True, N=1, ragged=False),
    "lengths": lambda r: replace(r, unbatched=False, ragged=True, L=4, N=max(r.N, 3)),
    "initial_state": lambda r: replace(r, state="both"),
    "batch": lambda r: replace(r, unbatched=False, N=3),
}

_FLAGS: dict[str, dict[str, Any]] = {
    "bidirectional": {"bidirectional": True},
    "no-bias": {"bias": False},
    "batch-first": {"batch_first": True},
    "unbatched": {"unbatched": True},
    "ragged": {"ragged": True},
    **{dtype: {"dtype": dtype} for dtype in DTYPES},
}
_CHOICES = {"state": STATES, "view": VIEWS, "fill": FILLS}
_COUNTS = {"I": 1, "H": 1, "layers": 1, "L": 1, "N": 1, "proj": 0, "seed": 0, "turn": 0}


def parse(text: str) -> Recipe:
    """The recipe whose text form is ``text``; ``UsageError`` names the word that is wrong and what was expected."""
    values: dict[str, Any] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if word in _FLAGS:
            values |= _FLAGS[word]
        elif not equals or key not in (*_COUNTS, *_CHOICES, "gain", "edits"):
            known = ", ".join([*(f"{key}=…" for key in (*_COUNTS, *_CHOICES, "gain", "edits")), *_FLAGS])
            raise UsageError(f"recipe word {word!r} is not known", f"known words are {known}")
        elif key in _COUNTS:
            if not re.fullmatch(r"\d+", value) or int(value) < _COUNTS[key]:
                raise UsageError(f"recipe word {word!r}: {key} must be a whole number of at least {_COUNTS[key]}")
            values[key] = int(value)
        elif key in _CHOICES:
            if value not in _CHOICES[key]:
                raise UsageError(f"recipe word {word!r}: {key} must be one of {', '.join(_CHOICES[key])}")
            values[key] = value
        elif key == "gain":
            try:
                values[key] = float(value)
            except ValueError:
                raise UsageError(f"recipe word {word!r}: gain must be a number") from None
        else:
            values[key] = tuple(value.split(","))
    recipe = Recipe(**values)
    if reason := dtype_unavailable(recipe.dtype):
        raise UsageError(f"recipe {text!r}: {reason}")
    if recipe.unbatched and (recipe.N != 1 or recipe.ragged):
        raise UsageError("an unbatched recipe has N=1 and is not ragged")
    try:
        _ = recipe.config
    except ValueError as error:
        raise UsageError(f"recipe {text!r}: {error}") from None
    return recipe
