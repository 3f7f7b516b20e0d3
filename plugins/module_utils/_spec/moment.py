# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A point in a machine's history, as a task names it."""

from __future__ import annotations

import re
from typing import NamedTuple

from .._errors import SpecError

WORDS = ("start", "now")
_CURSOR = re.compile(r"(\d+):(\d+)")


class Cursor(NamedTuple):
    """A place in what a machine's QEMU has told. As a text it is ``<inode>:<offset>``."""

    inode: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.inode}:{self.offset}"


def parse_moment(text: str, path: str = "since") -> str | float | Cursor:
    """``start``, ``now``, a cursor, or seconds since 1970.

    :raises SpecError: it is none of these, and no date with a time.
    """
    from datetime import datetime

    cursor = _CURSOR.fullmatch(text)
    if text in WORDS or cursor:
        return Cursor(int(cursor[1]), int(cursor[2])) if cursor else text
    try:
        return float(text)
    except ValueError:
        pass
    try:
        # Python before 3.11 knows no Z, and no basic format.
        return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text).timestamp()
    except ValueError:
        hint = "Use start, now, a time such as 2026-03-01T12:00:00Z, seconds since 1970, or a cursor that a task returned"
        raise SpecError(path, f"{text!r} is no time", hint=hint) from None
