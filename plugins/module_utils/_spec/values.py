# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values held against their records by themselves: jsonschema is slow to import, and some values are looked at in every task."""

from __future__ import annotations

import re
from typing import Any

from .._errors import SpecError
from .option import Option
from .said import said
from .taken import TYPES, WORDS, is_finite, is_one


def check_values(options: tuple[Option, ...], raw: dict[str, Any], path: str) -> None:
    """
    :param options: texts, numbers, booleans, lists of texts, and maps of them.
    :raises SpecError: in the words of ``validate.py``.
    """
    known = {option.name: option for option in options}
    for name, value in raw.items():
        if name not in known:
            from .validate import nearest

            raise SpecError(f"{path}.{name}", "is no option here", hint=nearest(str(name), list(known)))
        _check(known[name], value, f"{path}.{name}")
    for option in options:
        if option.required and option.name not in raw:
            raise SpecError(f"{path}.{option.name}", "is missing", hint=f"Add {option.name}")


def _check(option: Option, value: Any, path: str) -> None:
    if option.options and isinstance(value, dict):
        check_values(option.options, value, path)
        return
    alone = next((inner for inner in option.options if inner.name == option.short), option)
    words = WORDS.get(alone.type, "a text")
    if not is_one(value, alone.type if alone.type in TYPES else "str"):
        words += "" if alone is option else " or a dictionary"
        raise SpecError(path, f"{said(value)} is not {words}", hint=f"Use {alone.expects or words}")
    if alone.choices and value not in alone.choices:
        raise SpecError(path, f"{said(value)} is not allowed", hint=f"Use one of {', '.join(alone.choices)}")
    if not _is_within(alone, value):
        raise SpecError(path, f"{said(value)} is not allowed", hint=f"Use {alone.expects}")
    for number, item in enumerate(value if alone.type == "list" else ()):
        if not isinstance(item, str):
            raise SpecError(f"{path}[{number}]", f"{said(item)} is not a text", hint="Use a text")


def _is_within(option: Option, value: Any) -> bool:
    if option.type in ("int", "float"):
        low, high = option.minimum, option.maximum
        return is_finite(value) and (low is None or low <= value) and (high is None or value <= high)
    return not option.pattern or bool(re.search(rf"{option.pattern}(?!\n)", value))
