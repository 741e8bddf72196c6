"""A set of vectors in a folder: a folder for each format, a README, the kill matrix, checksums, a licence.

The same version of the suite writes the same bytes for the same question, with the same versions of NumPy and of the
packages that a format needs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.errors import UsageError
from conformance.selftest.peer import Peer
from conformance.selftest.peers import onnx_tests
from conformance.selftest.webnn import webnn_tests
from conformance.spec import dtype_unavailable
from conformance.vectors.formats.needed import needed
from conformance.vectors.formats.plain import VERSION
from conformance.vectors.formats.table import FORMATS
from conformance.vectors.forms import ELEMENTWISE, FORMS, ONNX, OPTIONS, WEBNN
from conformance.vectors.readme import licence, readme
from conformance.vectors.search import Asked, Beside, VectorSet, Watch, beside, search
from conformance.version import __version__

#: The dtypes that vectors may have.
DTYPES = ("float32", "float64")


def usual_formats(dtype: str) -> tuple[str, ...]:
    """The formats that need no other package, and can be of a dtype."""
    return tuple(name for name, format in FORMATS.items() if not format.needs and dtype in format.form.dtypes)


def check(folder: Path, asked: Asked, formats: Sequence[str]) -> None:
    """``UsageError`` for what cannot be done, before any work."""
    _known("option", asked.without, OPTIONS)
    _known("format", formats, tuple(FORMATS))
    _known("dtype", (asked.dtype,), DTYPES)
    if reason := dtype_unavailable(asked.dtype):
        raise UsageError(reason)
    for name in formats:
        format = FORMATS[name]
        if asked.dtype not in format.form.dtypes:
            raise UsageError(f"the format {name} has no {asked.dtype}", f"leave it out, or --dtype {DTYPES[0]}")
        if format.needs:
            needed(format.needs, name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder", "name a new one")
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"{folder} cannot be made: there is no folder {folder.absolute().parent}")


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"no {what} is named {name!r}", f"there are {', '.join(known)}")


def write_vectors(
    folder: Path,
    asked: Asked,
    formats: Sequence[str],
    watch: Watch = lambda done, total, what: None,
    faults: Sequence[str] = (),
) -> dict[str, VectorSet]:
    """Write a set into a new folder, or an empty one; the sets by the names of their forms.

    ``faults`` are those that count, all if none are named. ``UsageError`` as ``check`` raises it, and where a folder
    cannot be written.
    """
    check(folder, asked, formats)
    forms = [form for form in FORMS if form is ELEMENTWISE or any(FORMATS[name].form is form for name in formats)]
    sets = search(asked, forms, watch, faults)
    others = _beside(asked, sets, watch)
    part = folder.resolve().with_name(f"{folder.resolve().name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name in formats:
            (part / name).mkdir()
            FORMATS[name].write(part / name, sets[FORMATS[name].form.name].chosen)
        (part / "kills.json").write_text(_kills(sets, others), encoding="utf-8")
        (part / "LICENSE.txt").write_text(licence(), encoding="utf-8")
        (part / "README.md").write_text(readme(asked, formats, sets, others, _sizes(part)), encoding="utf-8")
        (part / "SHA256SUMS").write_text(_checksums(part), encoding="utf-8")
        if folder.exists():
            # An empty one, which may be where somebody stands.
            for one in sorted(part.iterdir()):
                one.rename(folder / one.name)
        else:
            part.replace(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}", "name another folder") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sets


def _beside(asked: Asked, sets: dict[str, VectorSet], watch: Watch) -> list[Beside | str]:
    """Other people's vectors, which are float32, on the same faults; or why they could not be tried."""
    if asked.dtype != "float32":
        return []
    tried: list[Beside | str] = []
    sources: tuple[tuple[str, Callable[[], Peer]], ...] = ((ONNX.name, onnx_tests), (WEBNN.name, webnn_tests))
    for number, (name, make) in enumerate(sources, 1):
        try:
            tried.append(beside(name, make(), sets[ELEMENTWISE.name].shown))
        except UsageError as error:
            tried.append(f"{name}'s own vectors were not tried: {error.args[0]}")
        watch(number, len(sources), "other people's vectors")
    return tried


def _kills(sets: dict[str, VectorSet], others: Sequence[Beside | str]) -> str:
    """The kill matrix: by form, each vector with the faults that it kills, and the faults that none kills.

    ``others`` has what other people's vectors kill.
    """
    forms = {
        name: {
            "vectors": {one.name: sorted(one.kills) for one in found.chosen},
            "not killed": sorted(found.shown - found.killed),
        }
        for name, found in sets.items()
    }
    beside = {other.name: sorted(other.kills) for other in others if isinstance(other, Beside)}
    return json.dumps({"format": VERSION, "suite": __version__, "forms": forms, "others": beside}, indent=1) + "\n"


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each folder's files."""
    return {
        one.name: sum(path.stat().st_size for path in one.rglob("*") if path.is_file())
        for one in sorted(folder.iterdir())
        if one.is_dir()
    }


def _checksums(folder: Path) -> str:
    """What ``sha256sum -c SHA256SUMS`` reads."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
