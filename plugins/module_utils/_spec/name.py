# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's name."""

from __future__ import annotations

import re
from typing import Any

from .._errors import SpecError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
NAME_EXPECTS = "1 to 63 letters, digits, '_', '.' or '-', the first a letter or digit"


def check_name(name: Any) -> str:
    """The name, when it can be one: it becomes a unit, a directory and a guest's name."""
    if not isinstance(name, str) or not re.match(NAME_PATTERN, name) or name.endswith("\n"):
        raise SpecError("name", f"{name!r} cannot be a machine's name", hint=f"Use {NAME_EXPECTS}")
    return name
