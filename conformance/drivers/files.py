"""A file that a command writes at its end: claimed at its start, written beside, and renamed once it is whole.

``report.json.part`` is all three: it shows at the start that the folder can be written, its lock tells other runs that
the file is taken, and it becomes the file. The lock ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from conformance.drivers import console
from conformance.drivers.console import Unwritten
from conformance.errors import UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: The name that stands for standard output.
STANDARD_OUTPUT = Path("-")

#: Writes a text, with an end of line, or bytes as they are.
Write = Callable[[str | bytes], None]


@contextlib.contextmanager
def claimed(option: str, path: Path | None) -> Iterator[Write]:
    """Claim the file that an option names; the function that is given writes it, whole or not at all.

    Without a file, it writes nothing. Raises ``UsageError`` for a file that cannot be written or is claimed by another
    run; the function raises ``Unwritten``, and leaves the file as it was.
    """
    if path is None:
        yield lambda text: None
    elif path == STANDARD_OUTPUT:
        yield lambda text: console.write(text if isinstance(text, str) else text.decode())
    elif path.exists() and not path.is_file():
        yield from _in_place(option, path)
    else:
        yield from _beside(option, path)


def _in_place(option: str, path: Path) -> Iterator[Write]:
    """A device or a pipe cannot be replaced by a file."""
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder", f"name a file, such as {path / 'report.json'}")

    def write(text: str | bytes) -> None:
        try:
            path.write_bytes(text if isinstance(text, bytes) else text.encode() + b"\n")
        except OSError as error:
            raise _unwritten(path, error) from None

    yield write


def _beside(option: str, path: Path) -> Iterator[Write]:
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    final = path.resolve()
    part, file = _claim(option, path, final)
    renamed = False

    def write(text: str | bytes) -> None:
        nonlocal renamed
        try:
            file.write(text if isinstance(text, bytes) else text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            _release(file)
            part.replace(final)
        except OSError as error:
            raise _unwritten(path, error) from None
        renamed = True

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):
            _release(file)
        with contextlib.suppress(OSError):
            if not renamed:
                part.unlink()
        with contextlib.suppress(OSError):
            file.close()


def _claim(option: str, path: Path, final: Path) -> tuple[Path, BinaryIO]:
    """The file beside the final one, locked and empty."""
    part = final.with_name(f"{final.name}.part")
    if final.exists() and not os.access(final, os.W_OK):
        raise UsageError(f"{option} {path} cannot be written: it is read-only", "name another file")
    while True:
        try:
            file = part.open("ab")
        except OSError as error:
            raise UsageError(f"{option} {path} cannot be written: {error.strerror}", "name another file") from None
        if not _lock(file):
            file.close()
            raise UsageError(f"{option} {path}: another run is about to write it", "name another file for this one")
        # The run that held it may have renamed it since it was opened here.
        if _is(file, part):
            file.truncate(0)
            return part, file
        file.close()


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed, or tell that another process has. Where nothing can be locked, nothing is."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _is(file: BinaryIO, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _release(file: BinaryIO) -> None:
    """Windows renames and removes no open file; elsewhere the lock is held until that is done."""
    if sys.platform == "win32":
        file.close()


def _unwritten(path: Path, error: OSError) -> Unwritten:
    return Unwritten(f"{path} cannot be written: {error.strerror or error}")
