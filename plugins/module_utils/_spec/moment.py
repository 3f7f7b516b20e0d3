# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A point in a machine's history, as a task names it."""

from __future__ import annotations

from datetime import datetime

from .._errors import SpecError

WORDS = ("start", "now")


def parse_moment(text: str, path: str = "since") -> str | float:
    """``start``, ``now``, or seconds since 1970.

    :raises SpecError: it is none of these, and no date with a time.
    """
    if text in WORDS:
        return text
    try:
        return float(text)
    except ValueError:
        pass
    try:
        # Python before 3.11 knows no Z, and no basic format.
        return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text).timestamp()
    except ValueError:
        hint = "Use start, now, a time such as 2026-03-01T12:00:00Z, or seconds since 1970"
        raise SpecError(path, f"{text!r} is no time", hint=hint) from None
