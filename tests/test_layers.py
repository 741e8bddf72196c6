"""The rooms of docs/design.md are those that import-linter checks."""

from __future__ import annotations

import re
import tomllib

from programs import ROOT


def test_the_documented_rooms_are_the_checked_ones() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [checked] = [contract["layers"] for contract in configured["contracts"] if contract["type"] == "layers"]
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("| room |")[2].partition("\n\n")[0]
    documented = [row.replace("`", "") for row in re.findall(r"^\| (`.*?`) \|", text, flags=re.MULTILINE)]
    assert documented == checked
    there = {path.stem for path in (ROOT / "conformance").iterdir() if path.name not in ("__init__.py", "__pycache__")}
    assert {word for row in checked for word in re.findall(r"\w+", row)} == there - {"py"}
