# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache of images, as a task wants it: one image there or not, and nothing kept that nobody needs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ._engine import Engine
from ._errors import SpecError
from ._host.bring import Errand
from ._host.deadline import Deadline
from ._host.flatten import Flattening
from ._host.host import Host
from ._host.image_format import backing_of
from ._host.images import Image
from ._host.observe import observe
from ._host.prune import leftovers, unused
from ._outcome import Outcome
from ._plan.at_rest import disk_to_take
from ._spec.disk_file import disk_files
from ._spec.image import Source, check_source, shown
from ._spec.name import NAME_EXPECTS, NAME_PATTERN


class Wanted(NamedTuple):
    """
    :param source: the image by its name, and where it comes from; None: there is only to prune.
    :param absent: the name is to go. force: what needs no asking by itself is asked again.
    :param vm, disk: the machine and its disk that the image is made of, in place of a source that has a place.
    """

    source: Source | None
    absent: bool = False
    prune: bool = False
    force: bool = False
    timeout: float = 1800
    vm: str | None = None
    disk: str | None = None


@dataclass(repr=False, eq=False)
class Result(Outcome):
    """What became of the image.

    :param image: as it is then; in check mode, as far as it is known.
    :param removed: files that went.
    """

    image: dict[str, Any] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


def manage(wanted: Wanted, *, check: bool = False, host: Host | None = None, witness: Callable[[str], None] = lambda moment: None) -> Result:
    """
    :raises MaqetError: the source is wrong, cannot be had, or is not what it should be.
    """
    return asyncio.run(_Task(wanted, host or Host(), check, witness).run())


def facts(image: Image) -> dict[str, Any]:
    """An image as a task returns it."""
    return {
        **{key: getattr(image, key) for key in ("name", "content", "file", "format", "virtual_size", "source_format")},
        "checksum": image.checksum and shown(image.checksum),
        "source": Source(image.name, image.url, image.path).place,
        "fetched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(image.fetched)) if image.fetched else None,
    }


class _Task:
    def __init__(self, wanted: Wanted, host: Host, check: bool, witness: Callable[[str], None]) -> None:
        self.wanted, self.host, self.check, self.witness = wanted, host, check, witness
        self.images = host.images
        self.deadline = Deadline(wanted.timeout)
        self.result = Result(wanted.source.name if wanted.source else "images")

    async def run(self) -> Result:
        source = self.wanted.source
        if source is None and not self.wanted.prune:
            raise SpecError("image", "is missing", hint="Give the image's name, or prune: true alone")
        if source and self.wanted.absent:
            await self._remove(source.name)
        elif source and self.wanted.vm:
            try:
                await self._flatten(source, self.wanted.vm, self.wanted.disk or "")
            finally:
                await self.host.close()
        elif source:
            await self._bring(source)
        if self.wanted.prune:
            await self._prune()
        self.result.changed = bool(self.result.actions)
        return self.result

    async def _bring(self, source: Source) -> None:
        for error in check_source("", source):
            raise error
        old = self.images.known(source.name)
        found = await self.images.find(source, self.deadline, force=self.wanted.force)
        if found:
            self.result.image = facts(found)
            return
        moments: list[str] = []
        if self.check:
            new, action = await self._foresee(source)
        else:
            new = facts(await self.images.bring(source, self.deadline, moments.append, force=self.wanted.force))
            action = _fetch(source) if "verified" in moments else _name(source, new)
        self._tell(old, new, action)

    def _tell(self, old: Image | None, new: dict[str, Any], action: dict[str, Any]) -> None:
        self.result.image = new
        if not old or new["content"] is None or new["content"] != old.content:
            self.result.actions.append(action)
            self._tell_difference(old, new)

    async def _flatten(self, source: Source, vm: str, disk: str) -> None:
        """The image of a machine's disk."""
        if not self.host.store.load([vm]):
            raise SpecError("vm", f"there is no machine {vm!r}", hint="maqet_vm_info lists them")
        engine, old = Engine(self.host, witness=self.witness), self.images.known(source.name)
        async with engine.hold(vm, self.deadline) as record:
            if record is None:
                raise SpecError("vm", f"there is no machine {vm!r} any more")
            item = disk_to_take(record, await observe(self.host, record, self.deadline), disk)
            for error in check_source("", source._replace(path=item.file)):
                raise error
            errand = Flattening(self.images, source.name, item, self.deadline, self.witness, force=self.wanted.force)
            found = await errand.find()
            if found:
                self.result.image = facts(found)
                return
            unknown = dict.fromkeys(("content", "file", "virtual_size", "source_format"))
            new = {**facts(Image(source.name, "", "", path=item.file)), **unknown} if self.check else facts(await errand.run())
        action = {"action": "flatten", "summary": f"make an image of disk {disk} of {vm}", "source": item.file}
        self._tell(old, new, action)

    async def _foresee(self, source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
        """The image as far as it can be known, and what would be done: check mode fails where the run would."""
        errand = Errand(self.images, source, self.deadline, force=self.wanted.force)
        image, size = await errand.foresee()
        if image.file:
            return facts(image), _name(source, facts(image))
        unknown = {"file": None, "virtual_size": None, "source_format": None, "content": image.content or None}
        return {**facts(image), **unknown}, _fetch(source, size)

    async def _remove(self, name: str) -> None:
        import re

        if not re.fullmatch(NAME_PATTERN, name):
            raise SpecError("image", f"{name!r} cannot be an image's name", hint=f"Use {NAME_EXPECTS}")
        if not os.path.exists(f"{self.images.root}/names/{name}.json"):
            return
        old = self.images.known(name)
        if self.check:
            gone = [file for file in unused(self.images, self.in_use(), name) if old and file == old.file]
        else:
            gone = await self.images.remove(name, self.in_use, self.deadline)
        stays = "" if gone or not old else ", whose content stays: disks or other images need it"
        self.result.actions.append({"action": "remove", "summary": f"remove the image {name}{stays}", "files": gone})
        self.result.removed += gone
        self._tell_difference(old, {})

    async def _prune(self) -> None:
        if self.check:
            # What a removal in the same task leaves needed by nobody is gone by then.
            gone = [file for file in (*unused(self.images, self.in_use()), *leftovers(self.images)) if file not in self.result.removed]
        elif os.path.isdir(self.images.root):
            gone = await self.images.prune(self.in_use, self.deadline)
        else:
            return
        if gone:
            self.result.actions.append({"action": "prune", "summary": f"remove {len(gone)} files of the cache that nothing needs", "files": gone})
            self.result.removed += gone

    def in_use(self) -> set[str]:
        """The files that disks lie on: as their machines' records say, and as their own headers do."""
        records = self.host.store.load(None).values()
        named = {item.file for record in records for item in disk_files(record.declared, record.site())}
        return {base["file"] for record in records for base in record.bases.values()} | named | set(self._backing_files(named))

    def _backing_files(self, named: set[str]) -> Iterator[str]:
        ours = (f"{directory}/{file}" for directory, _directories, files in os.walk(self.host.paths.machines) for file in files)
        for path in {*named, *ours}:
            with suppress(FileNotFoundError):  # other tasks write there
                if os.path.isfile(path):
                    yield os.path.join(os.path.dirname(path), backing_of(path))

    def _tell_difference(self, old: Image | None, new: dict[str, Any]) -> None:
        keys = ("content", "source", "checksum", "virtual_size")
        before = facts(old) if old else {}
        self.result.before = {key: before[key] for key in keys if key in before}
        self.result.after = {key: new[key] for key in keys if key in new}


def _fetch(source: Source, size: int | None = None) -> dict[str, Any]:
    return {"action": "fetch", "summary": f"fetch {source.place}{f' ({size} bytes)' if size else ''}", "source": source.place}


def _name(source: Source, image: dict[str, Any]) -> dict[str, Any]:
    return {"action": "name", "summary": f"name {source.name} what is in the cache: {image['content']}", "file": image["file"]}
