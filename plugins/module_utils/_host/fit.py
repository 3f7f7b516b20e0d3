# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image from elsewhere made fit for the cache: unpacked, found to be whole, and qcow2."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from .._errors import CommandError, HostError, ImageError
from .deadline import Deadline
from .download import check_space
from .image_format import detect, leans_on
from .qemu_img import image_info, outside_of, run_qemu_img
from .unpack import packed_with, unpack

_SECTOR = 512
# ENOSPC, EDQUOT and EFBIG, as a program says them.
_NO_ROOM = ("No space left", "quota exceeded", "File too large")


class Fit(NamedTuple):
    """:param file: a qcow2 that may be moved; source_format: what it was made from."""

    file: str
    source_format: str
    virtual_size: int


async def make_fit(file: str, form: str | None, stem: str, deadline: Deadline, witness: Callable[[str], None], *, owned: bool, what: str) -> Fit:
    """
    :param form: what the file is once unpacked; None: what its first bytes say.
    :param stem: what files made on the way begin with, on the file system of the cache.
    :param owned: the file is on its way to the cache itself and may be moved there.
    :param what: the image, for messages.
    :raises ImageError: it is damaged, or leans on other files.
    :raises HostError: there is no room.
    """
    unpacked = f"{stem}.unpacked"
    clean(stem)  # of one who was killed: it may be read-only already
    if owned:
        os.chmod(file, 0o600)
    if await in_thread(packed_with, file):
        await in_thread(unpack, file, unpacked, deadline)
        witness("image unpacked")
        file, owned = unpacked, True
    form = check_whole(file, form, what)
    if form != "qcow2":
        await _convert(file, form, f"{stem}.qcow2", deadline, what)
        witness("image converted")
        file, source_format = f"{stem}.qcow2", form
    else:
        source_format = form
        if not owned:
            await in_thread(unpack, file, unpacked, deadline)
            file = unpacked
        await _check(file, deadline, what)
    return Fit(file, source_format, await virtual_size(file))


def clean(stem: str) -> None:
    """Remove what :func:`make_fit` made on the way."""
    for ending in ("unpacked", "qcow2"):
        with suppress(FileNotFoundError):
            os.unlink(f"{stem}.{ending}")


def check_whole(file: str, form: str | None, what: str) -> str:
    """The file's format, when it can be an image by itself.

    :raises ImageError: it leans on other files of the host, or is no image.
    """
    found = detect(file)
    if form not in (None, "raw", found):
        raise ImageError(f"{what} is {found} and not {form}", hint="Correct format, or leave it out")
    form = form or found
    reason = leans_on(file, form)
    if reason:
        raise ImageError(f"{what} is no image by itself: {reason}", hint="Flatten it where it comes from: qemu-img convert -O qcow2")
    size = os.path.getsize(file)
    if not size or (found == "raw" and size % _SECTOR):
        with open(file, "rb") as data:
            start = data.read(24)
        raise ImageError(f"{what} is no image: {size} bytes that begin with {start!r}", hint="Check where it comes from")
    return form


async def virtual_size(file: str) -> int:
    """Of a qcow2 in the cache."""
    facts = await image_info(file, "qcow2")
    outside = outside_of(facts)
    if outside:
        raise ImageError(f"{file} leans on {outside}", hint="Remove it from the cache")
    return int(facts["virtual-size"])


async def _convert(file: str, form: str, target: str, deadline: Deadline, what: str) -> None:
    try:
        facts = json.loads(await in_thread(run_qemu_img, ["measure", "--output=json", "-O", "qcow2", "-f", form, file], max(1, deadline.left)))
        check_space(os.path.dirname(target), facts["required"], what)
        await in_thread(run_qemu_img, ["convert", "-q", "-f", form, "-O", "qcow2", file, target], max(1, deadline.left))
    except CommandError as exc:
        kind = HostError if exc.data["rc"] < 0 or any(words in exc.message for words in _NO_ROOM) else ImageError
        raise kind(f"{what} cannot be converted from {form}: {exc.message}", hint="Check its format and the free space") from exc


async def _check(file: str, deadline: Deadline, what: str) -> None:
    argv = ["check", "-q", "-f", "qcow2", file]
    try:
        await in_thread(run_qemu_img, argv, max(1, deadline.left))
    except CommandError as exc:
        if exc.data["rc"] == 3:  # space that nothing uses; this copy is ours to mend
            await in_thread(run_qemu_img, [*argv[:1], "-r", "leaks", *argv[1:]], max(1, deadline.left))
            return
        raise ImageError(f"{what} is damaged: {exc.message}", hint="Check where it comes from") from exc


async def in_thread(work: Callable[..., Any], *words: Any) -> Any:
    """Blocking work in a thread of its own: a slow server must not take the threads that other machines need, nor our end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(result)

    def go() -> None:
        result, error = None, None
        try:
            result = work(*words)
        except BaseException as exc:  # noqa: BLE001 - it is raised again where it is waited for
            error = exc
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=go, daemon=True).start()
    return await future
