# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files unpacked: what the first bytes say they are packed with. Holes stay holes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import IO, Any, cast

from .._errors import HostError, ImageError
from .deadline import Deadline

_MAGIC = {b"\xfd7zXZ\0": "xz", b"\x1f\x8b\x08": "gz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}
_CHUNK = 1 << 20
_HOLE = 1 << 16
_NOTHING = bytes(_HOLE)


def packed_with(file: str) -> str:
    """``xz``, ``gz``, ``bz2``, ``zst``; empty when it is not packed."""
    with open(file, "rb") as data:
        head = data.read(6)
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def unpack(file: str, target: str, deadline: Deadline) -> None:
    """Write what is in the file; a file that is not packed is copied. Blocks: it runs in a thread.

    :raises ImageError: it is damaged or cut off.
    """
    kind = packed_with(file)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb", buffering=0) as out:
        for chunk in _chunks(file, kind):
            _write(out, chunk)
            if deadline.over:
                raise HostError(f"{file} is not unpacked after {deadline.seconds:g} s", hint="Give a longer timeout")
        out.truncate(out.tell())


def _write(out: Any, chunk: bytes) -> None:
    for start in range(0, len(chunk), _HOLE):
        piece = chunk[start : start + _HOLE]
        if piece == _NOTHING[: len(piece)]:
            out.seek(len(piece), os.SEEK_CUR)
            continue
        while piece:
            piece = piece[out.write(piece) :]


def _chunks(file: str, kind: str) -> Any:
    import zlib
    from lzma import LZMAError

    with _OPENERS[kind](file) as data:
        while True:
            try:
                chunk = data.read(_CHUNK)
            except (LZMAError, zlib.error, EOFError, OSError, ValueError) as exc:
                raise ImageError(f"{file} cannot be unpacked ({kind}): {exc}", hint="It is damaged; check where it comes from") from exc
            if not chunk:
                return
            yield chunk


def _open(file: str) -> Any:
    return open(file, "rb")


def _xz(file: str) -> Any:
    import lzma

    return lzma.open(file)


def _gz(file: str) -> Any:
    import gzip

    return gzip.open(file)


def _bz2(file: str) -> Any:
    import bz2

    return bz2.open(file)


@contextmanager
def _zst(file: str) -> Any:
    """Python has it from 3.14 on; before, the program."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        pass
    else:
        with zstd.open(file) as data:
            yield data
        return
    import subprocess

    from .command import find_program

    with subprocess.Popen(
        [find_program("zstd", "Install zstd"), "-dcq", "--", file], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        yield _Piped(program)


class _Piped:
    """A program's output; its bad end is an error of reading."""

    def __init__(self, program: Any) -> None:
        self._program = program

    def read(self, size: int) -> bytes:
        data = cast(IO[bytes], self._program.stdout).read(size)
        if not data and self._program.wait():
            raise OSError(self._program.stderr.read().decode(errors="replace").strip())
        return data


_OPENERS: dict[str, Callable[[str], Any]] = {"": _open, "xz": _xz, "gz": _gz, "bz2": _bz2, "zst": _zst}
