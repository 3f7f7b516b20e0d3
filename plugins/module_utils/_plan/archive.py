# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes into a machine's export, whether one that is there is of the same point, and the machine that an import makes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._errors import MaqetError, RefusedError
from .._spec.declaration import OPTIONS, declare, host_files
from .._spec.disk_file import DiskFile, disk_files
from .._spec.firmware import image, nvram_name
from .._spec.manifest import IDENTITY, SCHEMA
from .._spec.nic import make_mac
from .._spec.option import keep_order
from .._spec.size import format_size
from .._spec.vsock import make_cid
from .at_rest import travelling
from .record import Record
from .steps import Step

# What has to be equal in two exports of one machine at one point.
_POINT = ("name", "arch", "base", "compress", "declaration", "order", "identity", "point")


class Transfer(NamedTuple):
    """What a task asks.

    :param path: a directory, or one file where it ends in ``.tar``.
    :param base: what becomes of an overlay: ``flatten`` or ``include``.
    """

    name: str
    path: str
    state: str = "exported"
    base: str = "flatten"
    compress: bool = False
    force: bool = False
    new_identity: bool = False
    timeout: float = 3600


class DiskLook(NamedTuple):
    """What was seen of a disk's file.

    :param needed: bytes that its copy takes at most.
    :param backing: the file that it lies on, and its format; empty where it is whole.
    """

    virtual_size: int
    needed: int
    backing: str = ""
    backing_format: str = ""


class Look(NamedTuple):
    """What was seen of a machine's files.

    :param nvram: the virtual size of its UEFI variables; None without; tpm: names of its TPM's files; qemu: this host's version.
    :param point: size and time of change of each, by what it is: they change with its data.
    """

    disks: dict[str, DiskLook]
    nvram: int | None
    tpm: list[str]
    point: dict[str, list[int]]
    qemu: str = ""

    @property
    def needed(self) -> int:
        return sum(disk.needed for disk in self.disks.values()) + (self.nvram or 0)


@dataclass(repr=False, eq=False)
class Pack(Step):
    """Put one file into the export.

    :param section, entry: where the manifest has it, and what it says beside size and sum.
    :param form: the format of ``source`` that is made a qcow2; empty: it is copied as it is.
    :param base: the file that it stays an overlay on.
    """

    section: str
    what: str
    source: str
    entry: dict[str, Any]
    form: str = ""
    base: str = ""
    base_format: str = ""
    compress: bool = False
    action = "export"

    def summary(self) -> str:
        return f"export {self.what}"

    def details(self) -> dict[str, Any]:
        return {"source": self.source, **({"file": self.entry["file"]} if "file" in self.entry else {})}


@dataclass(repr=False, eq=False)
class Publish(Step):
    """Give the export its name."""

    path: str
    replaces: bool
    action = "publish"

    def summary(self) -> str:
        return f"{'replace' if self.replaces else 'write'} {self.path}"

    def details(self) -> dict[str, Any]:
        return {"file": self.path}


@dataclass(repr=False, eq=False)
class Unpack(Step):
    """Take one file out of the export.

    :param target: its place here; form: the format that it gets there.
    """

    section: str
    what: str
    entry: dict[str, Any]
    target: str
    form: str = ""
    action = "import"

    def summary(self) -> str:
        return f"import {self.what}"

    def details(self) -> dict[str, Any]:
        return {"source": self.entry["file"], "file": self.target}


def left_behind(record: Record) -> list[str]:
    """What the other host needs, and no export has: in words."""
    gone = {f"disks[{item.disk}].path" for item in travelling(record)}
    words = [f"{option}: {path} is not exported, the other host needs it" for option, path in host_files(record.declared) if option not in gone]
    words += [f"shares[{name}].path: {share['path']} is not exported" for name, share in record.declared["shares"].items()]
    if record.snapshots:
        words.append(f"snapshots are not exported: {', '.join(record.snapshots)}")
    return words


def packs(wish: Transfer, record: Record, look: Look) -> list[Pack]:
    """The files of an export, in their order."""
    items = [(item, look.disks[item.disk]) for item in travelling(record)]
    thin = [(item, seen) for item, seen in items if wish.base == "include" and item.owned and seen.backing]
    bases = {seen.backing: _pack_base(record.bases.get(item.disk, {}), seen) for item, seen in thin}
    found = [*bases.values(), *(_pack_disk(wish, record, item, seen) for item, seen in items)]
    if look.nvram is not None:
        nvram = nvram_name(record.declared)
        entry = {"file": nvram, "format": image(record.declared, record.site())["template_format"], "virtual_size": look.nvram}
        found.append(Pack("nvram", "the UEFI variables", f"{record.directory}/{nvram}", entry))
    return [*found, *(Pack("tpm", f"the TPM's {name}", f"{record.directory}/tpm/{name}", {"file": f"tpm/{name}"}) for name in look.tpm)]


def _pack_base(known: dict[str, Any], seen: DiskLook) -> Pack:
    entry = {"image": str(known.get("image") or seen.backing), "content": str(known.get("content") or "")}
    return Pack("bases", f"the image {seen.backing}", seen.backing, entry, form=seen.backing_format)


def _pack_disk(wish: Transfer, record: Record, item: DiskFile, seen: DiskLook) -> Pack:
    entry = {
        "file": f"{item.disk}.qcow2",
        "name": item.disk,
        "size": record.made[item.disk] if item.owned else seen.virtual_size,
        "virtual_size": seen.virtual_size,
        "path": None if item.owned else item.file,
    }
    if wish.base == "include" and item.owned and seen.backing:
        what = f"disk {item.disk}, over its image"
        return Pack("disks", what, item.file, entry, item.format, seen.backing, seen.backing_format, wish.compress)
    return Pack("disks", f"disk {item.disk}", item.file, entry, item.format, compress=wish.compress)


def outline(wish: Transfer, record: Record, look: Look) -> dict[str, Any]:
    """The manifest, without its files."""
    identity = {key: record.identity[key] for key in IDENTITY if key in record.identity}
    order = {option.name: list(record.declared[option.name]) for option in OPTIONS if option.type == "keyed" and record.declared[option.name]}
    return {
        "schema": SCHEMA,
        "name": record.name,
        "qemu": record.qemu_version or look.qemu,
        "arch": record.declared["arch"],
        "base": wish.base,
        "compress": wish.compress,
        "declaration": record.raw,
        "order": order,
        "identity": copy.deepcopy(identity),
        "point": look.point,
        "snapshots": list(record.snapshots),
    }


def is_same(there: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether an export is of the machine as it is now."""
    return all(there.get(key) == new[key] for key in _POINT)


def plan_export(wish: Transfer, files: list[Pack], new: dict[str, Any], there: dict[str, Any] | None) -> tuple[Step, ...]:
    """
    :param there: the manifest of what is at the path.
    :raises RefusedError: that is something else, and no force was given.
    """
    if there and is_same(there, new):
        return ()
    if there and not wish.force:
        raise RefusedError(f"{wish.path} is another export: {_differs(there, new)}", hint="force: true replaces it, or give another path")
    return (*files, Publish(wish.path, bool(there)))


def _differs(there: dict[str, Any], new: dict[str, Any]) -> str:
    if there["identity"]["uuid"] != new["identity"]["uuid"]:
        return f"of the machine {there['name']} ({there['identity']['uuid']})"
    options = [f"{key}: {there[key]}" for key in ("base", "compress") if there[key] != new[key]]
    return f"with {', '.join(options)}" if options else f"the machine has changed since {there['exported']}"


def is_here(wish: Transfer, manifest: dict[str, Any], old: Record | None, others: dict[str, Record]) -> bool:
    """Whether an import has nothing to do.

    :raises RefusedError: another machine has the name or the identity.
    """
    uuid = manifest["identity"]["uuid"]
    if old and old.imported.get("whole") is not False:
        if uuid == (old.imported.get("uuid") if wish.new_identity else old.identity["uuid"]):
            return True
        raise RefusedError(f"there is another machine {wish.name!r} here", hint="Import under another name, or remove that machine first")
    twins = [name for name, record in others.items() if record.identity.get("uuid") == uuid and name != wish.name]
    if twins and not wish.new_identity:
        raise RefusedError(f"the machine {twins[0]!r} here has the same identity ({uuid})", hint="new_identity: true makes a copy with its own UUID and MACs")
    return False


def imported_record(wish: Transfer, manifest: dict[str, Any], blank: Record) -> Record:
    """The machine as it was declared there, with its files where they will be.

    :param blank: a record with its name, its places, its supervisor, and the identity of a copy (``uuid``, ``salt``).
    """
    try:
        blank.raw = _declaration(manifest)
        blank.declared = keep_order(OPTIONS, manifest["order"], declare(blank.raw))
    except MaqetError as exc:
        raise RefusedError(f"the declaration in {wish.path} cannot be used here: {exc}", hint="Use the release of maqet.qemu that exported it") from exc
    fresh = blank.identity
    blank.identity = {**fresh, **manifest["identity"], "ports": {}, "firmware": {}}
    if wish.new_identity:
        blank.identity.update(fresh, macs={name: make_mac(fresh["uuid"], name) for name in blank.declared["nics"]})
        if "cid" in blank.identity:
            blank.identity["cid"] = make_cid(fresh["uuid"])
    blank.imported = {"uuid": manifest["identity"]["uuid"], "whole": False}
    return blank


def _declaration(manifest: dict[str, Any]) -> dict[str, Any]:
    """As written, where files that were named by path become the machine's own."""
    raw: dict[str, Any] = copy.deepcopy(manifest["declaration"])
    # What was left to that host is said: here it would mean another.
    if declare(raw)["arch"] != manifest["arch"] and "arch" not in raw:
        raw["arch"] = manifest["arch"]
    named = {entry["name"]: entry for entry in manifest["disks"] if entry["path"]}
    formats = manifest["identity"].get("formats", {})
    for disk in raw.get("disks", ()):
        entry = named.get(disk["name"])
        if entry and disk.get("path"):
            del disk["path"]
            disk.update(size=format_size(entry["virtual_size"]), format=disk.get("format") or formats.get(entry["name"], "qcow2"))
    return raw


def unpacks(record: Record, manifest: dict[str, Any], cache: str) -> list[Unpack]:
    """The files of an import, images first. :param cache: where images are.

    :raises RefusedError: a file that the declaration does not know.
    """
    steps = [Unpack("bases", f"the image {entry['image']}", entry, f"{cache}/{entry['sha256']}.qcow2", "qcow2") for entry in manifest["bases"]]
    own = {item.disk: item for item in disk_files(record.declared, record.site()) if item.owned}
    for entry in manifest["disks"]:
        item = own.get(entry["name"])
        if not item:
            raise RefusedError(f"the export has a disk {entry['name']!r}, and its declaration has none of its own", hint="Export the machine again")
        steps.append(Unpack("disks", f"disk {item.disk}", entry, item.file, item.format))
    for entry in manifest["nvram"]:
        if entry["file"] == nvram_name(record.declared):
            form = image(record.declared, record.site())["template_format"]
            steps.append(Unpack("nvram", "the UEFI variables", entry, f"{record.directory}/{entry['file']}", form))
    if record.declared["tpm"]:
        steps += [Unpack("tpm", f"the TPM's {entry['file'][4:]}", entry, f"{record.directory}/{entry['file']}") for entry in manifest["tpm"]]
    return steps


def imported_bases(record: Record, manifest: dict[str, Any], cache: str) -> dict[str, dict[str, Any]]:
    """What each disk lies on here: images of the cache, by what they hold. When they are there they get their stamps."""
    images = {entry["sha256"]: entry for entry in manifest["bases"]}
    found = {}
    for entry in manifest["disks"]:
        if entry["base"]:
            content = images[entry["base"]]["content"] or entry["base"]
            declared = record.declared["disks"][entry["name"]]["image"] or images[entry["base"]]["image"]
            found[entry["name"]] = {"image": declared, "content": content, "file": f"{cache}/{entry['base']}.qcow2", "format": "qcow2", "stamp": []}
    return found


def settle(record: Record, steps: list[Unpack]) -> None:
    """What the record says once all is here."""
    for step in steps:
        if step.section == "disks":
            record.made[step.entry["name"]] = step.entry["size"]
        elif step.section == "nvram":
            record.made[step.target] = None
    record.imported = {**record.imported, "whole": True}
    record.power = "stopped"


def notes(manifest: dict[str, Any], record: Record) -> list[str]:
    """What is otherwise than it was there, in words."""
    words = [
        f"disks[{entry['name']}]: it was the file {entry['path']} there and is the machine's own here; declare it with size, without path"
        for entry in manifest["disks"]
        if entry["path"]
    ]
    if "arch" in record.raw and "arch" not in manifest["declaration"]:
        words.append(f"arch: it was left out there, and is {manifest['arch']}; declare it so")
    return words
