# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A declaration held against its JSON Schema; what is wrong said in one sentence."""

from __future__ import annotations

import difflib
import functools
from typing import Any

from .._errors import HostError, SpecError
from .image import shown
from .option import Option, json_schema
from .said import said

_TYPES = {"object": "a dictionary", "array": "a list", "boolean": "a boolean, true or false", "integer": "an integer", "number": "a number", "string": "a text"}


def validate(options: tuple[Option, ...], raw: dict[str, Any]) -> None:
    """
    :raises SpecError: naming the path, the value, what is allowed and, for an unknown key, the nearest known one.
    """
    errors = sorted(_validator(options).iter_errors(raw), key=lambda error: [str(word) for word in error.absolute_path])
    if errors:
        raise _explain(errors[0], raw)


@functools.lru_cache(maxsize=4)
def _validator(options: tuple[Option, ...]) -> Any:
    try:
        from jsonschema import Draft202012Validator
    except ImportError as exc:
        raise HostError(
            "the Python library jsonschema is missing where the module runs", hint="Install python3-jsonschema, or apply the role maqet.qemu.host"
        ) from exc
    return Draft202012Validator(json_schema(options))


def nearest(word: str, known: list[str]) -> str:
    """``Did you mean 'size'?`` when something known is near, else what is known."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(sorted(known))}"


def _explain(error: Any, raw: Any) -> SpecError:
    path = _path(error.absolute_path, raw)
    value, rule = error.instance, error.validator_value
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        key = next(name for name in value if name not in known)
        return SpecError(f"{path}.{key}" if path else str(key), "is no option here", hint=nearest(str(key), known))
    if error.validator == "required":
        key = next(name for name in rule if name not in value)
        return SpecError(f"{path}.{key}" if path else key, "is missing", hint=f"Add {key}")
    allowed = error.schema.get("description", "")
    if error.schema.get("writeOnly"):
        return SpecError(path, "is not allowed as it is", hint=f"Use {allowed or 'a text'}")
    if error.validator == "enum":
        return SpecError(path, f"{said(value)} is not allowed", hint=f"Use one of {', '.join(rule)}")
    if error.validator == "type":
        kinds = " or ".join(_TYPES[kind] for kind in ([rule] if isinstance(rule, str) else rule))
        return SpecError(path, f"{said(value)} is not {kinds}", hint=f"Use {allowed or kinds}")
    if error.validator in ("pattern", "minimum", "maximum") and allowed:
        return SpecError(path, f"{said(value)} is not allowed", hint=f"Use {allowed}")
    return SpecError(path, f"{said(value)} is not allowed" if isinstance(value, (dict, list)) else shown(error.message))


def _path(words: Any, raw: Any) -> str:
    """``disks[root].size``: elements by their name where they have one."""
    path, here = "", raw
    for word in words:
        here = here[word]
        if isinstance(word, int):
            name = next((here[key] for key in ("name", "id", "guest") if isinstance(here, dict) and key in here), word)
            path += f"[{name if isinstance(name, int) else repr(name)[1:-1]}]"
        else:
            path += f".{word}" if path else str(word)
    return path
