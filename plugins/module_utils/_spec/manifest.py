# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an exported machine says of itself: the ``machine.json`` of its directory or archive.

It came from elsewhere: nothing of it is used before it was held against its schema, and no path in it is followed.
"""

from __future__ import annotations

from typing import Any

from .._errors import HostError, RefusedError
from .name import NAME_PATTERN

SCHEMA = 1
MANIFEST = "machine.json"
SECTIONS = ("bases", "disks", "nvram", "tpm")
# What of a machine's identity is its own; the rest (ports, firmware) is of its host.
IDENTITY = ("uuid", "salt", "machine", "macs", "cid", "formats", "pci", "pcie_ports", "slots")

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_HASH = {"type": "string", "pattern": r"^[0-9a-f]{64}\Z"}
_DISK = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,25}"


def _texts(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^{pattern}\Z"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _files(pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(file=_texts(pattern), bytes=_COUNT, sha256=_HASH, **more)}


def _each(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": value}


def _or_none(value: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [value, {"type": "null"}]}


_FORMAT = {"enum": ["qcow2", "raw"]}
_IDENTITY_SCHEMA = {
    **_object(uuid=_texts("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), machine=_texts("[A-Za-z0-9_.-]+"), macs=_each(_texts("([0-9a-f]{2}:){5}[0-9a-f]{2}"))),
    "additionalProperties": {},
}
_IDENTITY_SCHEMA["properties"] = {
    **_IDENTITY_SCHEMA["properties"],
    "cid": {"type": "integer", "minimum": 3, "maximum": (1 << 32) - 2},
    "salt": _texts("[0-9a-f]{32}"),
    "formats": _each(_FORMAT),
    "pci": {"type": "array", "items": _texts("[A-Za-z0-9_.-]+")},
    "pcie_ports": {"type": "integer", "minimum": 0, "maximum": 112},
    "slots": _each({"type": "integer", "minimum": 0, "maximum": 112}),
}
_SCHEMA = _object(
    schema={"const": SCHEMA},
    name=_texts(NAME_PATTERN.strip("^$")),
    exported=_TEXT,
    qemu=_TEXT,
    arch=_texts("[a-z0-9_]+"),
    base={"enum": ["flatten", "include"]},
    compress={"type": "boolean"},
    declaration={"type": "object"},
    order=_each({"type": "array", "items": _TEXT}),
    identity=_IDENTITY_SCHEMA,
    point={"type": "object"},
    disks=_files(rf"{_DISK}\.qcow2", name=_texts(_DISK), size=_or_none(_COUNT), virtual_size=_COUNT, base=_or_none(_HASH), path=_or_none(_TEXT)),
    bases=_files(r"bases/[0-9a-f]{64}\.qcow2", image=_TEXT, content=_texts("([0-9a-f]{64})?")),
    nvram=_files(r"nvram(-secure)?\.fd", format=_FORMAT, virtual_size=_COUNT),
    tpm=_files(r"tpm/[A-Za-z0-9_-][A-Za-z0-9_.-]*"),
    snapshots={"type": "array", "items": _TEXT},
)


def check_manifest(path: str, data: Any) -> dict[str, Any]:
    """The manifest itself, when it can be used.

    :param path: the export that it is of.
    :raises RefusedError: it is of a newer release, or says what no export of ours says.
    """
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise RefusedError(f"{path} is no export of a machine", hint="maqet_archive with state: exported writes one")
    if data["schema"] > SCHEMA:
        raise RefusedError(f"{path} was written by a newer maqet.qemu (schema {data['schema']}, here {SCHEMA})", hint="Update the collection on this host")
    try:
        from jsonschema import Draft202012Validator
    except ImportError as exc:
        raise HostError("the Python library jsonschema is missing where the module runs", hint="Install python3-jsonschema") from exc
    for error in Draft202012Validator(_SCHEMA).iter_errors(data):
        raise _unusable(path, f"{error.json_path}: {error.message[:200]}")
    names = [entry["file"] for entry in files(data)]
    if len(set(names)) != len(names):
        raise _unusable(path, "two of its files have one name")
    for entry in data["bases"]:
        if entry["file"] != f"bases/{entry['sha256']}.qcow2":
            raise _unusable(path, f"{entry['file']} is not named by its content")
    for entry in data["disks"]:
        if entry["file"] != f"{entry['name']}.qcow2" or entry["base"] not in (None, *(base["sha256"] for base in data["bases"])):
            raise _unusable(path, f"disk {entry['name']} has no such file or base")
    return data


def files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Every file that belongs to it: ``{file, bytes, sha256, …}``."""
    return [entry for section in SECTIONS for entry in manifest[section]]


def _unusable(path: str, why: str) -> RefusedError:
    return RefusedError(f"{path} cannot be used: {MANIFEST} says what no export says ({why})", hint="Export the machine again")
