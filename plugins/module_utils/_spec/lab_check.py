# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab file held against its JSON Schema: each option where it is written. A lab that is stored as it is was checked before."""

from __future__ import annotations

from typing import Any

from . import lab_arguments
from .declaration import OPTIONS
from .lab import places
from .lab_options import LAB
from .option import normalize
from .taken import taken
from .validate import validate


def check_lab(definition: dict[str, Any]) -> None:
    """
    :raises SpecError: the first thing that is wrong, with the place in the file. What depends on two options of one machine is
        left to that machine.
    """
    file = _said(taken(definition, lab_arguments.LAB))
    validate(LAB, file)
    for path, source in places(file):
        normalize(OPTIONS, source, path)


def _said(value: Any) -> Any:
    """Without what is null: it takes a key away."""
    if isinstance(value, dict):
        return {key: _said(item) for key, item in value.items() if item is not None}
    return [_said(item) for item in value] if isinstance(value, list) else value
