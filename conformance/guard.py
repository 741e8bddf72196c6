"""The guard: raises what torch.nn.LSTM would raise for a call that makes no sense. Adapters and modules may call it."""

from __future__ import annotations

from typing import Any

from conformance.spec import LSTMConfig, state_shapes


def guard(config: LSTMConfig, x: Any, state: Any = None, lengths: Any = None) -> None:
    """Raise ``ValueError`` unless the arguments of a call fit each other and the model.

    x is (L, N, I), or (N, L, I) if ``config.batch_first``, or (L, I). ``state`` is None or (h_0 (layers·D, N, P),
    c_0 (layers·D, N, H)), without N where x has none. All are of ``config.dtype``. ``lengths`` is None or int64 (N,),
    each from 1 to L; there are none for (L, I). Arrays and torch tensors will do: shapes, dtypes and lengths are read.

    The message names the argument, what came and what was expected. No steps or no rows are no error of the call: an
    LSTM may answer them.
    """
    shape = tuple(x.shape)
    layout = "(N, L, {0}) or (L, {0})" if config.batch_first else "(L, N, {0}) or (L, {0})"
    wanted = f"{config.dtype} {layout.format(config.input_size)}"
    if len(shape) not in (2, 3) or shape[-1] != config.input_size or _dtype(x) != config.dtype:
        raise ValueError(f"x must be {wanted}, got {_dtype(x)} {shape}")
    batch_first = config.batch_first and len(shape) == 3
    steps, *rows = shape[1::-1] if batch_first else shape[:-1]
    if state is not None:
        if not isinstance(state, tuple | list) or len(state) != 2:
            raise ValueError(f"state must be (h_0, c_0), got a {type(state).__name__}")
        for name, part, (slots, _, size) in zip(("h_0", "c_0"), state, state_shapes(config, 1), strict=True):
            fitting = (slots, *rows, size)
            if tuple(part.shape) != fitting or _dtype(part) != config.dtype:
                told = f"{name} must be {config.dtype} {fitting} for x {shape}"
                raise ValueError(f"{told}, got {_dtype(part)} {tuple(part.shape)}")
    if lengths is None:
        return
    if not rows:
        raise ValueError(f"lengths must be None for an x without rows {shape}, got {tuple(lengths.shape)}")
    if tuple(lengths.shape) != (*rows,) or _dtype(lengths) != "int64":
        told = f"lengths must be int64 {(*rows,)} for x {shape}"
        raise ValueError(f"{told}, got {_dtype(lengths)} {tuple(lengths.shape)}")
    given = lengths.tolist()
    if not all(1 <= length <= steps for length in given):
        raise ValueError(f"lengths must be from 1 to {steps}, got {given}")


def _dtype(array: Any) -> str:
    """An array's or a tensor's dtype by its name."""
    return str(array.dtype).removeprefix("torch.")
