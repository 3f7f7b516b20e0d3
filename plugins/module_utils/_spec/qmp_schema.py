# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QMP commands held against a QEMU's own schema (the answer to ``query-qmp-schema``). Pure.

The schema's words are QEMU's (docs/devel/qapi-code-gen, "Client JSON Protocol introspection").
"""

from __future__ import annotations

from typing import Any

from .._errors import SpecError
from .validate import nearest

_READS = frozenset({"qom-get", "qom-list", "qom-list-types", "qom-list-properties", "device-list-properties", "trace-event-get-state", "qmp_capabilities"})
VEIL = "********"
_SECRET_WORDS = ("password", "secret", "passphrase")
_JSON_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "number": (int, float), "boolean": (bool,), "null": (type(None),)}


def is_read(command: dict[str, Any]) -> bool:
    """Whether the command changes nothing."""
    name = command["execute"]
    if name == "human-monitor-command":
        return str(command.get("arguments", {}).get("command-line", "")).split()[:1] == ["info"]
    return name.startswith(("query-", "x-query-")) or name in _READS


def secrets(value: Any) -> set[str]:
    """The texts in a command that nobody should see again: values of keys that speak of passwords or secrets."""
    if isinstance(value, list):
        return {text for item in value for text in secrets(item)}
    if not isinstance(value, dict):
        return set()
    found = {text for item in value.values() for text in secrets(item)}
    found |= {item for key, item in value.items() if isinstance(item, str) and any(word in key for word in _SECRET_WORDS)}
    if value.get("qom-type") == "secret" and isinstance(value.get("data"), str):
        found.add(value["data"])
    return found


def veil(value: Any) -> Any:
    """A copy of commands without their secrets."""
    hidden = secrets(value)

    def cover(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: cover(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [cover(inner) for inner in item]
        return VEIL if isinstance(item, str) and item in hidden else item

    return cover(value) if hidden else value


class QmpSchema:
    """:param entries: the list that ``query-qmp-schema`` returns."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = {entry["name"]: entry for entry in entries}

    def check(self, command: dict[str, Any], path: str) -> None:
        """
        :raises SpecError: an unknown command, an unknown, missing or wrong argument.
        """
        name = command["execute"]
        entry = self._entries.get(name)
        if entry is None or entry["meta-type"] != "command":
            known = [key for key, item in self._entries.items() if item["meta-type"] == "command"]
            raise SpecError(path, f"this QEMU has no command {name!r}", hint=_near(name, known))
        self._check(entry["arg-type"], command.get("arguments") or {}, f"{path} ({name})")

    def _check(self, type_name: str, value: Any, path: str) -> None:
        entry = self._entries[type_name]
        kind = entry["meta-type"]
        if kind == "object":
            self._check_object(entry, value, path)
        elif kind == "array":
            self._check_array(entry, value, path)
        elif kind == "enum":
            values = entry.get("values") or [member["name"] for member in entry["members"]]
            if value not in values:
                raise SpecError(path, f"{value!r} is not allowed", hint=nearest(str(value), values))
        elif kind == "builtin":
            self._check_builtin(entry, value, path)
        # An alternate takes one of several forms; QEMU itself says which it wants.

    def _check_builtin(self, entry: dict[str, Any], value: Any, path: str) -> None:
        wanted = entry["json-type"]
        types = _JSON_TYPES.get(wanted)
        if types and (not isinstance(value, types) or (isinstance(value, bool) and wanted != "boolean")):
            raise SpecError(path, f"{value!r} is no {wanted}", hint=f"Give a {wanted}")

    def _check_array(self, entry: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise SpecError(path, f"{value!r} is no list", hint="Give a list")
        for position, item in enumerate(value):
            self._check(entry["element-type"], item, f"{path}[{position}]")

    def _check_object(self, entry: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise SpecError(path, f"{value!r} is no dictionary", hint="Give a dictionary")
        members = self._members(entry, value)
        if members is None:
            return
        for key, item in value.items():
            if key not in members:
                raise SpecError(f"{path}.{key}", "is no argument here", hint=nearest(key, list(members)))
            self._check(members[key]["type"], item, f"{path}.{key}")
        for key, member in members.items():
            if "default" not in member and key not in value:
                raise SpecError(f"{path}.{key}", "is missing", hint=f"Add {key}")

    def _members(self, entry: dict[str, Any], value: dict[str, Any]) -> dict[str, Any] | None:
        """The object's members with those of its variant; None where anything goes (``device_add``)."""
        members = {member["name"]: member for member in entry["members"]}
        if entry["name"] in self._open_types():
            return None
        case = value.get(entry.get("tag", ""))
        for variant in entry.get("variants", ()):
            if variant["case"] == case:
                members.update(self._members(self._entries[variant["type"]], value) or {})
        return members

    def _open_types(self) -> set[str]:
        """``device_add`` and ``netdev_add`` of older QEMUs take properties that the schema does not list ('gen': false)."""
        return {self._entries[name]["arg-type"] for name in ("device_add",) if name in self._entries}


def _near(name: str, known: list[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("Did") else "command: query-commands lists what it has"
