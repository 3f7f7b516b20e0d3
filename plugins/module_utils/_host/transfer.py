# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a machine on their way into an export and out of one: no QEMU has them open."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from contextlib import suppress
from typing import Any

from .._errors import CommandError, HostError, RefusedError
from .._plan.archive import DiskLook, Look, Pack, Transfer, Unpack, imported_record
from .._plan.at_rest import travelling
from .._plan.record import Record
from .._spec.disk_file import DiskFile
from .._spec.firmware import image, nvram_name
from .actions import Work
from .archive import Reader, Writer, check_room, copy, take
from .bases import stamp
from .deadline import Deadline
from .firmware import find_firmware
from .host import Host
from .image_format import leans_on
from .paths import make_private
from .ports import allot
from .prepare import check_vacant
from .probe import find_qemu, qemu_facts
from .qemu_img import make_durable, qemu_img


async def _facts(file: str, form: str, deadline: Deadline) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(await qemu_img(deadline, "info", "--output=json", "-f", form, file))
    return facts


async def look(host: Host, record: Record, wish: Transfer, deadline: Deadline) -> Look:
    """The files that are exported."""
    async with host.probing:
        qemu = (await qemu_facts(host.paths, find_qemu(record.declared["arch"]), keep=host.keeps))["version"]
    items = travelling(record)
    disks = {item.disk: await _look_at(item, wish, deadline) for item in items}
    point = {f"disks[{item.disk}]": stamp(item.file) for item in items}
    tpm = _tpm_files(record)
    point.update({f"tpm/{name}": stamp(f"{record.directory}/tpm/{name}") for name in tpm})
    nvram, size = f"{record.directory}/{nvram_name(record.declared)}", None
    if nvram in record.made:
        size = (await _facts(nvram, image(record.declared, record.site())["template_format"], deadline))["virtual-size"]
        point["nvram"] = stamp(nvram)
    return Look(disks, size, tpm, point, qemu)


async def _look_at(item: DiskFile, wish: Transfer, deadline: Deadline) -> DiskLook:
    try:
        facts = await _facts(item.file, item.format, deadline)
        backing, form = facts.get("full-backing-filename", ""), facts.get("backing-filename-format", "raw")
        if wish.base == "flatten" or not item.owned or not backing:
            measured = json.loads(await qemu_img(deadline, "measure", "--output=json", "-f", item.format, "-O", "qcow2", item.file))
            return DiskLook(facts["virtual-size"], measured["required"], backing, form)
        below = await _facts(backing, form, deadline)
    except CommandError as exc:
        raise HostError(f"disks[{item.disk}]: {item.file} cannot be exported: {exc.message}", hint="Check it with qemu-img info --backing-chain") from exc
    if "backing-filename" in below:
        raise RefusedError(f"disks[{item.disk}]: its image {backing} lies on another one", hint="base: flatten exports all of it in one file")
    return DiskLook(facts["virtual-size"], facts["actual-size"] + os.stat(backing).st_size, backing, form)


def _tpm_files(record: Record) -> list[str]:
    folder = f"{record.directory}/tpm"
    if not record.declared["tpm"] or not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if not name.startswith(".") and os.path.isfile(f"{folder}/{name}"))


async def pack(writer: Writer, step: Pack, packed: dict[str, str], deadline: Deadline) -> dict[str, Any]:
    """Put one file into the export: its entry in the manifest.

    :param packed: the sums of images that went before, by their path.
    """
    made = f"{writer.staging}/{step.section}.making"
    # An image is taken as it is where it can be: its sum is the same in every export, and on every host.
    if step.form and not (step.section == "bases" and step.form == "qcow2" and not leans_on(step.source, "qcow2")):
        over = ["-B", step.base, "-F", step.base_format] if step.base else []
        compress = ["-c"] if step.compress else []
        await qemu_img(deadline, "convert", "-q", "-f", step.form, "-O", "qcow2", *compress, *over, step.source, made)
        if step.base:
            # No header in an export names another file: the manifest does.
            await qemu_img(deadline, "rebase", "-u", "-f", "qcow2", "-b", "", made)
    else:
        with open(step.source, "rb") as source, open(made, "wb") as target:
            copy(source, target, deadline)
    entry = {**step.entry, **({"base": packed.get(step.base)} if step.section == "disks" else {})}
    sealed = writer.seal(made, entry.get("file", "bases/{}.qcow2"), deadline)
    if step.section == "bases":
        packed[step.source] = sealed["sha256"]
    return {**entry, **sealed}


async def prepare(host: Host, wish: Transfer, manifest: dict[str, Any], *, keep: bool) -> Record:
    """The record of the machine that an import makes; nothing is written.

    :raises MaqetError: this host has not what the machine is made for.
    """
    name = wish.name
    blank = Record(name, host.choose_supervisor("auto"), f"{host.paths.machines}/{name}", host.paths.run_dir(name))
    blank.identity = {"uuid": str(uuid.uuid4()), "salt": uuid.uuid4().hex}
    new = imported_record(wish, manifest, blank)
    arch, machine = new.declared["arch"], new.identity["machine"]
    binary = find_qemu(arch)
    async with host.probing:
        facts = await qemu_facts(host.paths, binary, keep=keep)
    if machine not in facts["machines"]:
        raise HostError(
            f"the machine is a {machine}, and QEMU {facts['version']} of this host has no such machine type",
            hint="Use a host whose QEMU is not older, or declare a machine type that both have before the export",
        )
    new.identity["ports"] = allot(new, {**host.store.ports(), **host.promised})
    nvram = nvram_name(new.declared)
    if nvram:
        new.identity["firmware"] = {nvram: find_firmware(arch, machine, secure=new.declared["secure_boot"])}
        await _check_nvram(new, manifest, Deadline(wish.timeout))
    return new


async def _check_nvram(new: Record, manifest: dict[str, Any], deadline: Deadline) -> None:
    chosen = image(new.declared, new.site())
    size = (await _facts(chosen["template"], chosen["template_format"], deadline))["virtual-size"]
    for entry in manifest["nvram"]:
        if entry["file"] == nvram_name(new.declared) and entry["virtual_size"] != size:
            raise HostError(
                f"the UEFI firmware of this host ({chosen['code']}) has variables of {size} bytes, the machine has {entry['virtual_size']}",
                hint="Install the build of it that the other host has",
            )


def check_place(new: Record, old: Record | None, steps: list[Unpack], cache: str) -> None:
    """
    :param old: what an import that was cut off left.
    :raises MaqetError: the files of a machine that is not known lie there, or the room does not suffice.
    """
    if not old:
        check_vacant(new.directory)
    missing = [step for step in steps if step.section == "bases" and not os.path.exists(step.target)]
    images = sum(step.entry["bytes"] for step in missing)
    rest = sum(step.entry["bytes"] * (2 if step.form == "raw" else 1) for step in steps if step.section != "bases")
    check_room({new.directory: rest, cache: images})


async def unpack(reader: Reader, step: Unpack, work: Work, deadline: Deadline) -> None:
    """Take one file out: under its final name it is whole, or not there."""
    if step.section != "bases":
        make_private(os.path.dirname(step.target))
        await _place(reader, step, work, deadline)
        return
    images, key = work.host.images, step.entry["sha256"]
    # As a source on its way into the cache, so that prune leaves it alone now, and takes what is left of it later.
    taken = f"{images.root}/work/{key}.import"
    async with images.lock(f"work/{key}.lock", deadline, fcntl.LOCK_EX, "imports the same image"):
        try:
            if not os.path.exists(step.target):
                await _place(reader, step, work, deadline, taken)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(taken)


async def _place(reader: Reader, step: Unpack, work: Work, deadline: Deadline, taken: str = "") -> None:
    taken = taken or f"{step.target}.import"
    take(reader, step.entry, taken, deadline)
    work.witness("taken")
    if step.section != "tpm":
        taken = await _adapt(step, taken, work.record, deadline)
    work.witness("adapted")
    os.chmod(taken, 0o400 if step.section == "bases" else 0o600)
    make_durable(taken)
    os.replace(taken, step.target)
    make_durable(os.path.dirname(step.target))
    work.witness("placed")


async def _adapt(step: Unpack, taken: str, record: Record, deadline: Deadline) -> str:
    """The file as it is needed here; what its header says was looked at before any program opens it."""
    form = step.entry.get("format", "qcow2")
    outside = leans_on(taken, form) if form == "qcow2" else ""
    if outside:
        raise RefusedError(f"{step.entry['file']} is no file of an export: {outside}", hint="Import nothing from where this came from")
    if form == "qcow2":
        size = (await _facts(taken, form, deadline))["virtual-size"]
        if size != step.entry.get("virtual_size", size):
            raise RefusedError(f"{step.entry['file']} is {size} bytes large for a guest, and not as its export says", hint="Export the machine again")
    if step.entry.get("base"):
        base = record.bases[step.entry["name"]]
        await qemu_img(deadline, "rebase", "-u", "-f", "qcow2", "-b", base["file"], "-F", base["format"], taken)
    if step.form == form:
        return taken
    other = f"{taken}.{step.form}"
    await qemu_img(deadline, "convert", "-q", "-f", form, "-O", step.form, taken, other)
    os.unlink(taken)
    return other
