"""Arrays as literals of Python: what a script that stands alone writes down."""

from __future__ import annotations

import base64
import re
import zlib

import numpy as np

from conformance.spec import Array

#: The columns of a script.
WIDTH = 110

#: An array of more elements is packed: its numbers would fill pages.
_MANY = 400


class Literals:
    """Every different array of a script, under a name of its own."""

    def __init__(self) -> None:
        self._names: dict[tuple[object, ...], str] = {}
        self.lines: list[str] = []
        self.packed = False

    def name(self, role: str, value: Array) -> str:
        """The name of an array, which is written down where it is met first."""
        key = role, value.dtype.name, value.shape, value.tobytes()
        if key not in self._names:
            taken, name, k = set(self._names.values()), role, 2
            while name in taken:
                name, k = f"{role}_{k}", k + 1
            self._names[key] = name
            self.lines.append(self.literal(f"{name} = ", value))
        return self._names[key]

    def literal(self, head: str, value: Array, rounded: bool = False) -> str:
        """An array as text behind ``head``: its rows on lines, or packed where it has many elements."""
        shape = f".reshape({value.shape})" if not value.size else ""
        dtype = "ml_dtypes.bfloat16" if value.dtype.name == "bfloat16" else f'"{value.dtype.name}"'
        if value.size > _MANY:
            self.packed = True
            text = base64.b85encode(zlib.compress(np.ascontiguousarray(value).tobytes(), 9)).decode()
            lines = "\n".join(f'    "{part}"' for part in (text[k : k + 100] for k in range(0, len(text), 100)))
            return f"{head}unpacked({dtype}, {value.shape},\n{lines}\n)"
        if value.dtype.name == "bfloat16":
            value = value.astype("float32")
        formatter = {"float_kind": lambda number: _upwards(number)} if rounded else None
        text = np.array2string(
            value,
            max_line_width=WIDTH - len(head) - 10,
            separator=", ",
            threshold=value.size + 1,
            floatmode="unique",
            prefix=head + "np.array(",
            formatter=formatter,  # type: ignore[arg-type]
        )
        text = re.sub(r"\n+", "\n", text)
        return f"{head}np.array({text}, {dtype}){shape}"


def _upwards(number: float) -> str:
    """A bound in few digits, none of them less than it."""
    text = f"{number:.2e}"
    return text if float(text) >= number or not np.isfinite(number) else f"{np.nextafter(number * 1.01, np.inf):.2e}"
