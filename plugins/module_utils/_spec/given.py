# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task gave of a machine's options."""

from __future__ import annotations

from typing import Any

from .arguments import ARGUMENTS


def given(params: dict[str, Any]) -> dict[str, Any]:
    """The spec options of a task's parameters that were given, those inside dicts too."""
    return {name: _stripped(value, ARGUMENTS[name]) for name, value in params.items() if name in ARGUMENTS and value is not None}


def _stripped(value: Any, argument: dict[str, Any]) -> Any:
    if argument.get("type") == "raw":
        return value
    inner = argument.get("options", {})
    if isinstance(value, dict):
        return {name: _stripped(item, inner.get(name, {})) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_stripped(item, argument) for item in value]
    return value
