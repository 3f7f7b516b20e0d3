# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wrong value as an error may show it."""

from __future__ import annotations

from typing import Any


def said(value: Any) -> str:
    """A list or a dictionary is named and not shown: what is in it may be a password."""
    if isinstance(value, dict):
        return "a dictionary"
    if isinstance(value, (list, tuple, set)):
        return "a list"
    from .image import shown

    return shown(repr(value))
