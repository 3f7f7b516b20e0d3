# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file's keys taken as Ansible takes a task's: known ones, of their types, texts of numbers where a text is meant."""

from __future__ import annotations

import re
import sys
from typing import Any

from .._errors import SpecError
from .arguments import VEILED
from .said import said

WORDS = {"dict": "a dictionary", "list": "a list", "bool": "a boolean, true or false", "int": "an integer", "float": "a number", "str": "a text"}
TYPES: dict[str, tuple[type, ...]] = {"dict": (dict,), "list": (list,), "bool": (bool,), "int": (int,), "float": (float, int), "str": (str,)}
_VEILED = (*VEILED, "password", "objects", "devices", "extra_args")
_LABELS = ("name", "id", "guest")


def taken(raw: Any, arguments: dict[str, Any], path: str = "", *, here: bool = True) -> dict[str, Any]:
    """
    :param arguments: an argument spec; beside Ansible's types it has ``named`` (a dict of dicts) and ``names`` (a list, or one).
    :param here: paths are this host's, so ``~`` in them is this user's.
    :raises SpecError: a key that is not known, or a value that is of another type. What else is wrong tells the JSON Schema.
    """
    if not isinstance(raw, dict):
        raise _mistaken(path, raw, "dict")
    result = {}
    for name, value in raw.items():
        place = f"{path}.{name}" if path else str(name)
        if name not in arguments:
            from .validate import nearest

            raise SpecError(place, "is no option here", hint=nearest(str(name), list(arguments)))
        result[name] = None if value is None else _value(value, arguments[name], place, here)
    return result


def _value(value: Any, argument: dict[str, Any], path: str, here: bool) -> Any:
    kind, inner = argument["type"], argument.get("options")
    if kind == "named":
        if not isinstance(value, dict):
            raise _mistaken(path, value, "dict")
        return {str(name): taken({} if item is None else item, inner or {}, f"{path}.{name}", here=here) for name, item in value.items()}
    if kind == "names":
        value = [str(value)] if isinstance(value, (str, int, float)) else value
        kind = "list"
    value = _converted(value, kind if here or kind != "path" else "str", path)
    if value not in argument.get("choices", (value,)):
        raise SpecError(path, f"{value!r} is not allowed", hint=f"Use one of {', '.join(argument['choices'])}")
    if kind == "list":
        return [_item(item, argument, f"{path}[{_label(item, position)}]", here) for position, item in enumerate(value)]
    return taken(value, inner, path, here=here) if inner else value


def _label(item: Any, position: int) -> Any:
    return next((item[key] for key in _LABELS if isinstance(item.get(key), (str, int))), position) if isinstance(item, dict) else position


def _item(item: Any, argument: dict[str, Any], path: str, here: bool) -> Any:
    inner = argument.get("options")
    item = _converted(item, argument.get("elements", "str"), path)
    if not inner:
        if isinstance(item, dict) and isinstance(item.get("id"), (dict, list)):  # by which such elements are known
            raise _mistaken(f"{path}.id", item["id"], "str")
        return item
    for name, about in inner.items():
        if about.get("required") and item.get(name) is None:
            raise SpecError(f"{path}.{name}", "is missing", hint=f"Add {name}")
    return taken(item, inner, path, here=here)


def _converted(value: Any, kind: str, path: str) -> Any:
    if kind == "raw" or (kind in TYPES and kind != "float" and is_one(value, kind)):
        return value
    from ansible.module_utils.common import validation

    try:
        if kind in ("str", "path") and isinstance(value, (dict, list)):
            raise TypeError
        result = value if is_one(value, kind) else getattr(validation, f"check_type_{kind}")(value)
        if kind == "float" and not is_finite(result):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise _mistaken(path, value, kind) from None
    return result


def is_one(value: Any, kind: str) -> bool:
    """Whether it is of that type. On the controller Ansible has texts and numbers of its own, which are Python's too; a boolean is no number."""
    return isinstance(value, TYPES.get(kind, ())) and (kind == "bool" or not isinstance(value, bool))


def is_finite(number: float) -> bool:
    """Whether it is a number to reckon with: neither endless nor too large for a float."""
    return abs(number) <= sys.float_info.max


def _mistaken(path: str, value: Any, kind: str) -> SpecError:
    words = WORDS.get(kind, "a path")
    if not isinstance(value, (dict, list)) and any(name in path for name in _VEILED):
        return SpecError(path, "is not allowed as it is", hint=f"Use {words}")
    # In a text in the place of options may be any of them.
    is_whole = kind == "dict" and isinstance(value, str) and not re.match(r"[\w.-]{1,63}\Z", value)
    return SpecError(path, f"{'a text' if is_whole else said(value)} is not {words}", hint=f"Use {words}")
