"""One call that somebody recorded: config, weights, inputs and results, as arrays by documented names in one file.

The names are those of docs/recorded.md: the weights by nn.LSTM's ``state_dict``, ``x``, ``h_0``, ``c_0``, ``lengths``,
and what came of it, ``output``, ``h_n``, ``c_n``. What the config says beside the weights' shapes stands in the field
``config``. Every error names the file, the array, and what was expected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance.cases.case import Case
from conformance.errors import UsageError, nearest
from conformance.recorded.calls import PARTS
from conformance.recorded.container import KINDS, Container, from_bits, read
from conformance.spec import Array, LSTMConfig, Result, numpy_dtype, param_shapes
from conformance.trials.calls import argument_shapes, canonical_result, expected_shapes

#: Other names that people give to these arrays.
_ALIASES = {"input": "x", "h0": "h_0", "c0": "c_0", "hx": "h_0", "cx": "c_0", "hn": "h_n", "cn": "c_n", "y": "output"}

_INPUTS = ("x", "h_0", "c_0", "lengths")

_WEIGHT = re.compile(r"^(?:.*\.)?((?:weight_(?:ih|hh|hr)|bias_(?:ih|hh))_l([0-9]{1,6})(_reverse)?)$")

#: What a layout gives in words.
_LAYOUT = {
    "x": "(L, N, I), or (N, L, I) if batch_first, or (L, I)",
    "output": "(L, N, D·P) in x's layout",
    "h_0": "(layers·D, N, P)",
    "h_n": "(layers·D, N, P)",
    "c_0": "(layers·D, N, H)",
    "c_n": "(layers·D, N, H)",
    "lengths": "(N,)",
}


@dataclass(frozen=True, eq=False)
class Given:
    """A call, and the results that came of it, in canonical layout."""

    path: Path
    case: Case
    result: Result
    #: The parts that were recorded.
    returns: tuple[str, ...]
    #: The same arrays with x and output read as batch-first, where neither a config nor a shape says which is right.
    turned: Given | None = None


def given_calls(paths: Sequence[Path]) -> list[Given]:
    """The calls in files, one in each. A file of weights alone lends them, and its config, to the others.

    Raises ``UsageError`` for a file that is none, for a call that is not whole, and if two files lend weights.
    """
    read_in = {path: read(path) for path in _files(paths)}
    calls = [path for path, one in read_in.items() if {"x", "input"} & {*one.arrays}]
    lent: dict[str, tuple[Path, Array]] = {}
    text = "{}"
    for path, one in read_in.items():
        if path in calls:
            continue
        if not calls or any(_ALIASES.get(name, name) in (*_INPUTS, *PARTS) for name in one.arrays):
            told = ", ".join(sorted(one.arrays)) or "nothing"
            raise UsageError(
                f"{path} has no array 'x', the input {_LAYOUT['x']}; it has {told[:200]}", "see docs/recorded.md"
            )
        # A trained model has other arrays too.
        for name, value in _named(path, one.arrays, others=True)[1].items():
            if name in lent:
                raise UsageError(f"{path} has {name}, and so has {lent[name][0]}", "one file lends the weights")
            lent[name] = path, value
        text = one.fields.get("config", text)
    weights = {name: value for name, (_, value) in lent.items()}
    return [_given(path, read_in[path], weights, text) for path in calls]


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
        inside = sorted(p for p in path.iterdir() if p.suffix in KINDS) if path.is_dir() else []
        if path.is_dir() and not inside:
            raise UsageError(f"{path} has no file that ends in {', '.join(KINDS)}", "see docs/recorded.md")
        found += inside or [path]
    return list(dict.fromkeys(found))


def _named(
    path: Path, contents: Mapping[str, Array], others: bool = False
) -> tuple[dict[str, Array], dict[str, Array]]:
    """A call's arrays and an LSTM's weights by their own names; anything else is an error, unless ``others`` may be."""
    arrays, params = dict[str, Array](), dict[str, Array]()
    for name, value in contents.items():
        weight = _WEIGHT.match(name)
        own = weight[1] if weight else _ALIASES.get(name, name)
        if own in (params if weight else arrays):
            raise UsageError(
                f"{path}: {name!r} is a second array of the name {own!r}", "one LSTM and one call in a file"
            )
        if not weight and own not in (*_INPUTS, *PARTS):
            if others:
                continue
            near = nearest(own, (*_INPUTS, *PARTS))
            hint = (
                f"did you mean {near[0]!r}?" if near else f"arrays are weight_ih_l0 …, {', '.join((*_INPUTS, *PARTS))}"
            )
            raise UsageError(f"{path}: nothing is known of an array {name[:80]!r}", hint)
        (params if weight else arrays)[own] = value if own == "lengths" else from_bits(value)
    return arrays, params


def _given(path: Path, contents: Container, lent: Mapping[str, Array], text: str) -> Given:
    arrays, params = _named(path, contents.arrays)
    params = {**lent, **params}
    if not any(part in arrays for part in PARTS):
        raise UsageError(f"{path} has no results: neither output nor h_n nor c_n", "record what the program returned")
    if ("h_0" in arrays) != ("c_0" in arrays):
        lacks, has = ("c_0", "h_0") if "h_0" in arrays else ("h_0", "c_0")
        raise UsageError(f"{path} has {has} and no {lacks}", f"give zeros for a {lacks} that was not used")
    told = _told(path, contents.fields.get("config", text))
    config = _config(path, told, arrays, params)
    if "batch_first" in told or arrays["x"].ndim != 3:
        return fitted(path, config, arrays, params)
    turned = replace(config, batch_first=True)
    try:
        found = fitted(path, config, arrays, params)
    except UsageError:
        with suppress(UsageError):
            return fitted(path, turned, arrays, params)
        raise
    with suppress(UsageError):
        return replace(found, turned=fitted(path, turned, arrays, params))
    return found


# The config: what the file says, and what the weights tell


def _config(
    path: Path, told: Mapping[str, Any], arrays: Mapping[str, Array], params: Mapping[str, Array]
) -> LSTMConfig:
    for name in ("weight_ih_l0", "weight_hh_l0"):
        if name not in params:
            raise UsageError(f"{path} has no {name}", "weights bear the names of nn.LSTM's state_dict")
        if params[name].ndim != 2:
            raise UsageError(f"{path}: {name} has shape {params[name].shape}, expected two axes, (4H, features)")
    rows = params["weight_hh_l0"].shape[0]
    if rows % 4 or not rows:
        raise UsageError(f"{path}: weight_hh_l0 has shape {params['weight_hh_l0'].shape}, expected (4H, P): 4 gates")
    layers = 1 + max(int(found[2]) for name in params if (found := _WEIGHT.match(name)))
    inferred: dict[str, Any] = {
        "input_size": params["weight_ih_l0"].shape[1],
        "hidden_size": rows // 4,
        "num_layers": min(layers, len(params)),
        "bias": "bias_ih_l0" in params or "bias_hh_l0" in params,
        "bidirectional": any(name.endswith("_reverse") for name in params),
        "proj_size": params["weight_hr_l0"].shape[0] if "weight_hr_l0" in params else 0,
        "dtype": _dtype(path, arrays),
    }
    for name, value in told.items():
        if name in inferred and inferred[name] != value and name != "dtype":
            raise UsageError(f"{path}: its config says {name} = {value!r}, and its weights are of {inferred[name]!r}")
    try:
        config = LSTMConfig(**{**inferred, **told, "dropout": 0.0, "training": False})
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: its config: {error}") from None
    if numpy_dtype(config.dtype).itemsize > np.dtype(arrays[_first(arrays)].dtype).itemsize:
        raise UsageError(
            f"{path}: its config says dtype = {config.dtype!r}, and its results are {inferred['dtype']}",
            "record the results in the dtype in which the program computes",
        )
    return config


def _first(arrays: Mapping[str, Array]) -> str:
    """The first part of the result that was recorded."""
    return next(name for name in PARTS if name in arrays)


def _told(path: Path, text: str) -> dict[str, Any]:
    """The config in a file, as far as it goes."""
    try:
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: its field config is not JSON: {error}", '{"batch_first": true}') from None
    known = {field.name: str(field.type) for field in fields(LSTMConfig)}
    for name, value in told.items():
        if name not in known:
            raise UsageError(f"{path}: its config names {name[:80]!r}; nn.LSTM has {', '.join(known)}")
        if type(value).__name__ not in (known[name], "int" if known[name] == "float" else ""):
            raise UsageError(f"{path}: its config has {name} = {value!r}; expected a value of type {known[name]}")
    if told.get("training") and told.get("dropout"):
        raise UsageError(
            f"{path}: the call was made in training with dropout, which is random", "record it in evaluation"
        )
    return told


def _dtype(path: Path, arrays: Mapping[str, Array]) -> str:
    """The dtype of the results, in which the model computes."""
    returned = {arrays[name].dtype.name for name in PARTS if name in arrays}
    if len(returned) > 1:
        raise UsageError(f"{path}: its results are of several dtypes: {', '.join(sorted(returned))}")
    return returned.pop()


# The call


def fitted(path: Path, config: LSTMConfig, arrays: Mapping[str, Array], params: Mapping[str, Array]) -> Given:
    """The call of arrays by their names; ``UsageError`` where they do not fit the config and each other."""
    wanted = param_shapes(config)
    for name, shape in wanted.items():
        if name not in params:
            raise UsageError(f"{path} has no {name}, expected {shape}", f"the config is {config}")
        if params[name].shape != shape:
            raise UsageError(
                f"{path}: {name} has shape {params[name].shape}, expected {shape}", f"the config is {config}"
            )
    if more := [name for name in params if name not in wanted]:
        raise UsageError(f"{path}: nothing is known of {more[0]} in {config}")
    x = arrays["x"]
    if x.ndim not in (2, 3) or x.shape[-1] != config.input_size or not all(x.shape):
        told = f"{path}: x has shape {x.shape}, expected {_LAYOUT['x']} with I = {config.input_size}"
        raise UsageError(told, "say so in the config if it is batch_first")
    unbatched = x.ndim == 2
    canonical = x[:, None] if unbatched else x.swapaxes(0, 1) if config.batch_first else x
    zeros = {name: np.zeros(shape, x.dtype) for name, shape in param_shapes(config).items()}
    bare = Case(config, zeros, np.ascontiguousarray(canonical), unbatched=unbatched, fixed=True)
    shapes = dict(zip(("h_0", "c_0"), argument_shapes(bare)[1:], strict=True)) | expected_shapes(bare)
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape != shape:
            told = f"{path}: {name} has shape {arrays[name].shape}, expected {shape}: {_LAYOUT[name]}"
            raise UsageError(told, _hint(name, arrays[name], config))
    named = {**params, **{name: value for name, value in arrays.items() if name != "lengths"}}
    values = {name: _exactly(path, name, value, config.dtype) for name, value in named.items()}
    lengths = _lengths(path, arrays, bare)
    state = None
    if "h_0" in values:
        state = tuple(values[n][:, None] if unbatched else values[n] for n in ("h_0", "c_0"))
    x = values["x"]
    canonical = x[:, None] if unbatched else x.swapaxes(0, 1) if config.batch_first else x
    kept = {name: values[name] for name in wanted}
    case = Case(config, kept, np.ascontiguousarray(canonical), state, lengths, unbatched, fixed=True)  # type: ignore[arg-type]
    returns = tuple(name for name in PARTS if name in arrays)
    raw = Result(*(values.get(name) for name in PARTS))
    return Given(path, case, canonical_result(case, raw, returns), returns)


def _hint(name: str, value: Array, config: LSTMConfig) -> str:
    if name in ("output", "h_n", "c_n", "h_0", "c_0") and value.ndim == 3 and not config.batch_first:
        return 'say {"batch_first": true} in the config if x is (N, L, I); states are never batch-first'
    return f"the config is {config}"


def _lengths(path: Path, arrays: Mapping[str, Array], case: Case) -> Array | None:
    if "lengths" not in arrays:
        return None
    lengths = arrays["lengths"]
    if lengths.shape != (case.batch,) or case.unbatched or lengths.dtype.kind not in "iu":
        raise UsageError(f"{path}: lengths are {lengths.dtype} {lengths.shape}, expected whole numbers ({case.batch},)")
    if lengths.min() < 1 or lengths.max() > case.steps:
        raise UsageError(f"{path}: lengths are {lengths.tolist()[:8]} …, expected 1 to {case.steps}")
    return lengths.astype(np.int64)


def _exactly(path: Path, name: str, value: Array, dtype: str) -> Array:
    """The values in the dtype of the results, which must hold them."""
    with np.errstate(all="ignore"):
        cast = value.astype(numpy_dtype(dtype))
        same = np.array_equal(cast.astype(np.float64), value.astype(np.float64), equal_nan=True)
    if not same:
        told = f"{path}: {name} is {value.dtype} and has values that {dtype}, the dtype of the results, does not have"
        raise UsageError(told, "record what the program was given, or results in the dtype in which it computes")
    return cast
