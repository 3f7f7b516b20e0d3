# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that QEMU holds open and appends to, kept small: their heads are freed in place, so that every position in them stays true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from .._errors import HostError
from .command import find_program, run

LIMIT = 8 << 20
# A hole costs nothing but the time to jump over it.
_LONGEST = 64 << 20
_BLOCK = 512
_PIECE = 1 << 16


def is_large(facts: os.stat_result, limit: int = LIMIT) -> bool:
    """Whether more than that lies on the disk."""
    return facts.st_blocks * _BLOCK > limit


def trim(path: str, *, keep: tuple[int, int] = (0, 0), limit: int = LIMIT) -> None:
    """Free what lies before the last half of the limit, at a line's end. Who writes to the file need not know.

    :param keep: from where to where nothing is freed.
    """
    with suppress(OSError, HostError):  # a file system without holes keeps it whole; it is begun anew at a start
        with open(path, "rb") as file:
            facts = os.fstat(file.fileno())
            if not is_large(facts, limit):
                return
            end = _line_after(file.fileno(), facts.st_size - limit // 2)
        first, behind = (min(place, end) for place in keep)
        for begin, stop in ((0, first), (behind, end)):
            if stop > begin:
                run([find_program("fallocate"), "--punch-hole", "--offset", str(begin), "--length", str(stop - begin), path])


def _line_after(descriptor: int, place: int) -> int:
    """Where the first line begins that is wholly behind the place; the place itself where there is none."""
    newline = os.pread(descriptor, _PIECE, place).find(b"\n")
    return place + newline + 1 if newline >= 0 else place


def aside(path: str) -> str:
    """Where the file's predecessor lies."""
    return f"{path}.1"


def begin_anew(path: str, longest: int = _LONGEST) -> None:
    """Put a file that has grown too long aside, in the place of its predecessor, while nobody has it open for writing."""
    with suppress(FileNotFoundError):
        if os.stat(path).st_size <= longest:
            return
        # The new one is there before an old one goes: no two of the three are ever the same inode.
        fresh = f"{path}.new"
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        os.replace(path, aside(path))
        os.replace(fresh, path)


def pieces(descriptor: int, start: int) -> Iterator[tuple[int, bytes]]:
    """What lies in the file from there on, without its holes, each piece with its place."""
    while True:
        try:
            begin = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:
            return  # there is no more
        start = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, os.pread(descriptor, start - begin, begin)
