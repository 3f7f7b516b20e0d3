# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One record per option: type, default, limits, and how it can change.

From this record come the argument spec, the JSON Schema, the normal form and the diff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .._errors import SpecError
from . import size

LIVE = "live"
NEXT_START = "next start"

_ARGUMENT_TYPES = {"size": "str", "map": "dict", "text": "raw"}
_SCHEMA_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "dict": "object", "text": ["string", "object"]}


@dataclass(repr=False, eq=False)
class Option:
    """One key of a machine's declaration.

    :param type: ``str``, ``int``, ``float``, ``bool``, ``path``, ``size`` (normal form: bytes), ``dict`` (free),
        ``list`` (of ``elements``), ``map`` (a dict with ``options``), ``keyed`` (a list of dicts with ``options``,
        normal form: a dict by the values of ``key`` joined by ``/``), ``text`` (or a dict that becomes one in ``language``).
        In lab files alone: ``float``, ``named`` (a dict of dicts with ``options``, by name), ``names`` (one, or a list).
    :param expects: what is allowed, for messages, where a pattern or a range does not say it.
    :param change: :data:`LIVE` or :data:`NEXT_START`: when a change of it reaches a running machine.
    :param refuse: given the values before and after, why that change is impossible, or None.
    :param live: given a change and the site, the deeds (see ``live.py``) that bring it about; without it nothing in QEMU
        has to change.
    :param device: id of the device by which QEMU shows that the option is in force; ``{}`` is an element's name.
    :param told: the command line cannot carry it: QEMU is told after each start.
    :param whole: a ``keyed`` option whose elements are compared as wholes, not by their options.
    :param optional: a ``map`` that is not there (None) is another thing than an empty one.
    :param short: a ``map`` may be written as the value of this one of its options.
    :param secret: its value is shown to nobody; shown: its value as people may see it.
    :param note: how far a change goes while the machine runs, for the documentation.
    """

    name: str
    type: str = "str"
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    expects: str = ""
    elements: str = "str"
    options: tuple[Option, ...] = ()
    key: tuple[str, ...] = ("name",)
    change: str = NEXT_START
    refuse: Callable[[Any, Any], str | None] | None = None
    live: Callable[[Any, Any], list[Any]] | None = None
    device: str = ""
    told: bool = False
    whole: bool = False
    optional: bool = False
    short: str = ""
    language: str = ""
    secret: bool | None = None
    shown: Callable[[Any], Any] | None = None
    note: str = ""


def argument_spec(options: tuple[Option, ...]) -> dict[str, Any]:
    """Ansible's argument spec. Defaults stay out: an absent key and a given default are told apart."""
    return {option.name: _argument(option) for option in options}


def _argument(option: Option) -> dict[str, Any]:
    if option.short:
        return {"type": "raw", "required": True} if option.required else {"type": "raw"}
    argument: dict[str, Any] = {"type": _ARGUMENT_TYPES.get(option.type, option.type)}
    if option.type == "keyed":
        argument.update(type="list", elements="dict")
    elif option.type == "list":
        argument["elements"] = option.elements
    if option.required:
        argument["required"] = True
    if option.secret is not None:
        # Ansible takes each word and number within a dict for a secret, and masks it wherever it comes up: those we hide ourselves.
        argument["no_log"] = option.secret and option.type == "str"
    if option.choices:
        argument["choices"] = list(option.choices)
    if option.options:
        argument["options"] = argument_spec(option.options)
    return argument


def json_schema(options: tuple[Option, ...]) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of a dict with ``options``; unknown keys are refused."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {option.name: _property(option) for option in options},
        "additionalProperties": False,
    }
    required = [option.name for option in options if option.required]
    if required:
        schema["required"] = required
    return schema


def _property(option: Option) -> dict[str, Any]:
    if option.type in ("keyed", "list", "names", "map", "named"):
        return _container(option)
    schema: dict[str, Any] = {"type": _SCHEMA_TYPES.get(option.type, "string")}
    bounds = {"minimum": option.minimum, "maximum": option.maximum}
    if option.type in ("int", "float"):
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})
    if option.choices:
        schema["enum"] = list(option.choices)
    pattern = size.PATTERN if option.type == "size" else option.pattern
    if pattern:
        # Python's $ also matches before a newline at the end; no pattern of ours means that.
        schema["pattern"] = rf"{pattern}(?!\n)"
    if option.type == "path":
        schema["pattern"] = option.pattern or "^[/~]"
    if option.secret:
        schema["writeOnly"] = True
    if expects(option):
        schema["description"] = expects(option)
    return schema


def _container(option: Option) -> dict[str, Any]:
    if option.type == "keyed":
        return {"type": "array", "items": _element(option)}
    if option.type == "map":
        return _map(option)
    if option.type == "named":
        names = {"propertyNames": {"pattern": rf"{option.pattern}(?!\n)", "description": option.expects}} if option.pattern else {}
        return {"type": "object", **names, "additionalProperties": json_schema(option.options)}
    items = {"type": _SCHEMA_TYPES.get(option.elements, "string")}
    return {"type": "array" if option.type == "list" else ["string", "array"], "items": items}


def _map(option: Option) -> dict[str, Any]:
    whole = json_schema(option.options)
    if not option.short:
        return whole
    alone = next(_property(inner) for inner in option.options if inner.name == option.short)
    return {**alone, **whole, "type": [alone["type"], "object"]}  # bounds and patterns say nothing of an object


def _element(option: Option) -> dict[str, Any]:
    if option.options:
        return json_schema(option.options)
    return {"type": "object", "required": list(option.key)}


def expects(option: Option) -> str:
    """What is allowed, in words."""
    if option.type == "size":
        return size.EXPECTS
    if option.type == "path" and not option.expects:
        return "an absolute path"
    return option.expects


def normalize(options: tuple[Option, ...], raw: dict[str, Any], path: str = "") -> dict[str, Any]:
    """The normal form: every option there, defaults filled in, sizes in bytes, keyed lists as dicts.

    :raises SpecError: a size below its minimum, or one key twice in a keyed list.
    """
    return {option.name: _normal(option, raw.get(option.name), f"{path}.{option.name}" if path else option.name) for option in options}


def _normal(option: Option, value: Any, path: str) -> Any:
    if option.type == "map":
        given = {option.short: value} if option.short and not isinstance(value, dict) and value is not None else value or {}
        return None if option.optional and value is None else normalize(option.options, given, path)
    if option.type == "keyed":
        return _keyed(option, value or [], path)
    if value is None:
        value = option.default
    if value is None:
        return [] if option.type == "list" else {} if option.type == "dict" else None
    if option.type == "size":
        return _bytes(option, value, path)
    if option.type == "text":
        from .text import write

        return write(value, option.language)
    return value


def _bytes(option: Option, value: str, path: str) -> int:
    count = size.parse_size(value)
    if option.minimum is not None and count < option.minimum:
        raise SpecError(path, f"{value!r} is too small", hint=f"At least {size.format_size(option.minimum)}")
    return count


def _keyed(option: Option, elements: list[dict[str, Any]], path: str) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for element in elements:
        defaults = {inner.name: inner.default for inner in option.options}
        name = element_key(option, {**defaults, **element})
        item = normalize(option.options, element, f"{path}[{name}]") if option.options else dict(element)
        if name in normal:
            raise SpecError(f"{path}[{name}]", f"is declared twice (by {' and '.join(option.key)})", hint="Give each its own")
        normal[name] = item
    return normal


def element_key(option: Option, element: dict[str, Any]) -> str:
    """The name of an element in a keyed list (``root``; ``tcp/22`` for a forward)."""
    return "/".join(str(element[name]) for name in option.key)


def keep_order(options: tuple[Option, ...], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """``after`` with its keyed lists in the order of ``before``, what is new behind: devices are known by their names,
    and a name that moves in the declaration must not move its device on the guest's bus."""
    ordered = dict(after)
    for option in options:
        if option.type == "keyed":
            names = [name for name in before.get(option.name) or {} if name in after[option.name]]
            ordered[option.name] = {name: after[option.name][name] for name in [*names, *after[option.name]]}
    return ordered


def complete(options: tuple[Option, ...], spec: dict[str, Any]) -> dict[str, Any]:
    """A normal form that an older release stored, with the options that have come since."""
    return {option.name: _completed(option, spec[option.name]) if option.name in spec else _normal(option, None, option.name) for option in options}


def _completed(option: Option, value: Any) -> Any:
    if option.type == "map":
        return value and complete(option.options, value)
    if option.type == "keyed" and option.options:
        return {name: complete(option.options, element) for name, element in value.items()}
    return value


def cold(options: tuple[Option, ...], spec: dict[str, Any]) -> dict[str, Any]:
    """What a command line can carry of a normal form: options that QEMU is told of later are at their defaults."""
    return {**spec, **{option.name: _cold(option, spec[option.name]) for option in options if option.told or option.options}}


def _cold(option: Option, value: Any) -> Any:
    if option.told:
        return option.default
    if option.type == "keyed":
        return {name: cold(option.options, element) for name, element in value.items()}
    return value and cold(option.options, value)


def walk(options: tuple[Option, ...], path: str = "") -> Iterator[tuple[str, Option]]:
    """Every option with its path, those inside maps and keyed lists too (``disks.size``)."""
    for option in options:
        here = f"{path}.{option.name}" if path else option.name
        yield here, option
        yield from walk(option.options, here)
