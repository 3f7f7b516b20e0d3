# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that only the machine's user may read, written before a start."""

from __future__ import annotations

from typing import NamedTuple, Union


class PrivateFile(NamedTuple):
    """
    :param content: its text, or, for a seed, the texts of the files on it by their names.
    """

    path: str
    content: Union[str, dict[str, str]]  # noqa: UP007 - Python 3.9 evaluates it
