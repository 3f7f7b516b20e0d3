# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One image on its way into the cache. Whatever cuts it off, a later one goes on or begins again."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._errors import HostError, ImageError
from .._spec.image import Source, shown
from .checksum import Sum, digests
from .deadline import Deadline
from .download import Download, look
from .fit import Fit, check_whole, clean, in_thread, make_fit, virtual_size
from .images import Image, Images
from .paths import check_readable, free_bytes
from .prune import sweep
from .qemu_img import make_durable
from .unpack import packed_with

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Errand:
    """:param force: what a name without a checksum points at is looked at again."""

    def __init__(
        self, images: Images, source: Source, deadline: Deadline, witness: Callable[[str], None] = lambda moment: None, *, force: bool = False
    ) -> None:
        self.images, self.source, self.deadline, self.witness, self.force = images, source, deadline, witness, force
        key = hashlib.sha256(f"{source.url or source.path}".encode()).hexdigest()[:16]
        self.stem = f"{images.root}/work/{key}"
        self._lock = f"work/{key}.lock"

    async def find(self) -> Image | None:
        """The image, if its name points at what is wanted."""
        return await self._current(await self.images.wanted(self.source, self.deadline))

    async def run(self) -> Image:
        """The image, in the cache and named."""
        image = await self._run()
        for stem in (self.stem, f"{self.images.root}/work/{image.content}"):
            if os.path.exists(f"{stem}.lock"):  # of one who was killed
                sweep(stem)
        return image

    async def _run(self) -> Image:
        wanted = await self.images.wanted(self.source, self.deadline)
        image = await self._current(wanted)
        if image:
            return image
        if self.source.path:
            check_readable("path", self.source.path)
        async with self.images.lock(self._lock, self.deadline, fcntl.LOCK_EX, f"fetches {self.source.place}"):
            try:
                # Who held the lock before may have brought it.
                image = await self._current(wanted) or await self._name_what_is_here(wanted) or await self._fetch(wanted)
                self._discard()
                return image
            except OSError as exc:
                raise _explain(exc, self.images.root) from exc
            finally:
                clean(self.stem)

    async def foresee(self) -> tuple[Image, int | None]:
        """The image as far as it can be known without bringing it, and how many bytes would come. Writes nothing.

        :raises HostError: :meth:`run` would fail.
        """
        wanted = await self.images.wanted(self.source, self.deadline)
        image = await self._here(wanted)
        if image:
            return image, None
        if self.source.path:
            return await self._foresee_path(self.source.path, wanted)
        _changed, size = await in_thread(look, self.source.url, {}, self.deadline)
        return self._named(Image(self.source.name, wanted.digits if wanted and wanted.algorithm == "sha256" else "", "")), size

    async def _foresee_path(self, path: str, wanted: Sum | None) -> tuple[Image, int | None]:
        check_readable("path", path)
        sums = await in_thread(digests, path)
        _check_sum(self.source, wanted, sums)
        image, file = self._named(Image(self.source.name, sums["sha256"], "")), self.content_file(sums["sha256"])
        if os.path.exists(file):
            return image._replace(file=file, virtual_size=await virtual_size(file), source_format=self.source.format or ""), None
        if not packed_with(path):
            check_whole(path, self.source.format, self.source.place)
        return image, os.path.getsize(path)

    def content_file(self, content: str) -> str:
        return f"{self.images.root}/{content}{'-raw' if self.source.format == 'raw' else ''}.qcow2"

    async def _current(self, wanted: Sum | None) -> Image | None:
        image = self.images.known(self.source.name)
        return image if image and self._fits(image, wanted) and not await self._is_stale(image, wanted) else None

    def _fits(self, image: Image, wanted: Sum | None) -> bool:
        """Whether an image of the cache is what the source is, as far as can be told without asking anybody."""
        source = self.source
        if image.file != self.content_file(image.content) or source.format not in (None, image.source_format):
            return False
        if wanted:
            return wanted.digits == (image.content if wanted.algorithm == "sha256" else image.sha512)
        return (image.url, image.path) == (source.url, source.path) and (not source.path or image.stamp == _stamp(source.path))

    async def _is_stale(self, image: Image, wanted: Sum | None) -> bool:
        if not self.force or wanted:
            return False
        if image.path:
            return bool((await in_thread(digests, image.path))["sha256"] != image.content)
        changed, _size = await in_thread(look, image.url, image._asdict(), self.deadline)
        return bool(changed)

    async def _here(self, wanted: Sum | None) -> Image | None:
        """The source's image, by this name, of a content that is here under another name or none."""
        for other in self.images.all() if not self.force else ():
            if self._fits(other, wanted):
                return self._named(other)
        if wanted and wanted.algorithm == "sha256" and os.path.exists(self.content_file(wanted.digits)):
            file = self.content_file(wanted.digits)
            form = self.source.format or ""
            return self._named(Image(self.source.name, wanted.digits, file, virtual_size=await virtual_size(file), source_format=form))
        return None

    def _named(self, image: Image) -> Image:
        source = self.source
        return image._replace(name=source.name, url=source.url, path=source.path, checksum=source.checksum)

    async def _name_what_is_here(self, wanted: Sum | None) -> Image | None:
        async with self.images.used(self.deadline):
            image = await self._here(wanted)
            if image:
                self._write(image)
            return image

    def _write(self, image: Image) -> None:
        self.witness("before name")
        self.images.write(image)
        self.witness("after name")

    async def _fetch(self, wanted: Sum | None) -> Image:
        file, facts, sums = await self._verified(wanted)
        self.witness("verified")
        alone = self.images.lock(f"work/{sums['sha256']}.lock", self.deadline, fcntl.LOCK_EX, "stores the same image")
        async with self.images.used(self.deadline), alone:
            return await self._store(file, sums, facts)

    async def _verified(self, wanted: Sum | None) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The source's bytes in a file, what is known of them, and their sums."""
        while True:
            file, facts, resumed = await (self._from_path() if self.source.path else self._from_url(wanted))
            sums = await in_thread(digests, file)
            try:
                _check_sum(self.source, wanted, sums)
            except ImageError:
                self._discard()
                if not resumed:
                    raise
            else:
                return file, facts, sums

    async def _store(self, file: str, sums: dict[str, str], facts: dict[str, Any]) -> Image:
        final = self.content_file(sums["sha256"])
        source, form = self.source, self.source.format or ""
        self._check_unchanged(facts)
        if os.path.exists(final):
            size = await virtual_size(final)
        else:
            fit = await self._make_fit(file)
            self._check_unchanged(facts)
            size, form = fit.virtual_size, fit.source_format
            await in_thread(self._move, fit.file, final)
        image = Image(source.name, sums["sha256"], final, virtual_size=size, source_format=form, sha512=sums["sha512"], fetched=time.time())
        image = self._named(image)._replace(**facts)
        self._discard()  # before the name: who finds that looks no further
        self._write(image)
        return image

    async def _make_fit(self, file: str) -> Fit:
        source = self.source
        try:
            return await make_fit(file, source.format, self.stem, self.deadline, self.witness, owned=not source.path, what=source.place)
        except ImageError:
            self._discard()  # what is fetched anew may be better
            raise

    def _move(self, file: str, final: str) -> None:
        """Into its place, whole and for good."""
        os.chmod(file, 0o400)
        make_durable(file)
        self.witness("before content")
        os.replace(file, final)
        make_durable(self.images.root)
        self.witness("after content")

    def _check_unchanged(self, facts: dict[str, Any]) -> None:
        if self.source.path and facts["stamp"] != _stamp(self.source.path):
            raise HostError(f"{self.source.path} changed while it was read", hint="Run it again when nobody writes it")

    async def _from_url(self, wanted: Sum | None) -> tuple[str, dict[str, Any], bool]:
        url = self.source.url or ""
        download = Download(url, f"{self.stem}.part", self.deadline, vouched=bool(wanted))
        facts = await in_thread(download.run, self.witness)
        return download.file, {"etag": facts.get("etag"), "last_modified": facts.get("last_modified")}, download.resumed

    async def _from_path(self) -> tuple[str, dict[str, Any], bool]:
        path = self.source.path or ""
        return path, {"stamp": _stamp(path)}, False

    def _discard(self) -> None:
        """Remove what is here of the source on its way."""
        clean(self.stem)
        for ending in ("part", "part.json"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self.stem}.{ending}")


def _stamp(path: str) -> tuple[int, ...]:
    try:
        facts = os.stat(path)
    except OSError:
        return ()
    return (facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _check_sum(source: Source, wanted: Sum | None, sums: dict[str, str]) -> None:
    if not wanted or sums[wanted.algorithm] == wanted.digits:
        return
    said_by = f" ({shown(wanted.said_by)})" if wanted.said_by else ""
    raise ImageError(
        f"{source.place} has the wrong {wanted.algorithm}: {wanted.digits} is wanted{said_by}, and it has {sums[wanted.algorithm]}",
        hint="Correct checksum, or find out who changed the file; nothing of it is kept",
        wanted=wanted.digits,
        found=sums[wanted.algorithm],
    )


def _explain(exc: OSError, root: str) -> HostError:
    if exc.errno not in _FULL:
        return HostError(f"{exc.filename or root}: {exc.strerror or exc}", hint="Check its owner and its mode")
    return HostError(
        f"{root} is full: {free_bytes(root)} bytes are free there",
        hint="Free some space, remove images with prune: true, or set XDG_CACHE_HOME to another file system; a download goes on from where it is",
    )
