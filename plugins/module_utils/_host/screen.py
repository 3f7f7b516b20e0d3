# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's screen: as a picture, compared with another, and read."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import Any, NamedTuple

from .._errors import HostError, MachineError, QmpError
from .._plan.record import Record
from .command import find_program
from .deadline import Deadline
from .host import Host
from .qmp import Monitor
from .watch import monitor_of

# A letter of a text console is 16 pixels high; tesseract wants twice to thrice that.
_ENLARGED = 3
_DARK = 128
_LANGUAGE = "eng"
# A cursor that blinks makes two pictures of one screen.
_KNOWN = 4
_NO_PILLOW = "Install python3-pil, or pip install Pillow for that Python, or apply the role maqet.qemu.host"


class UnreadError(HostError):
    """There was no time to read a screen."""


class Difference(NamedTuple):
    """:param percent: of the pixels that count; area: ``x, y, width, height`` around them, or None."""

    percent: float
    area: tuple[int, int, int, int] | None


async def dump(monitor: Monitor, record: Record, where: dict[str, Any]) -> bytes:
    """The screen now, as PNG. :param where: ``device`` and ``head``, or nothing for the first screen.

    :raises MachineError: it has none.
    """
    descriptor, path = tempfile.mkstemp(prefix="screen-", suffix=".png", dir=record.run_dir)
    os.close(descriptor)
    try:
        await monitor.execute("screendump", {"filename": path, "format": "png", **where})
        with open(path, "rb") as file:
            return file.read()
    except QmpError as exc:
        if record.declared.get("video") == "none" or "no console" in exc.message or "There is no" in exc.message:
            raise MachineError(f"the machine has no such screen: {exc.message}", hint="Set video, such as std, or name another device") from exc
        raise
    finally:
        os.unlink(path)


def picture(content: bytes) -> Any:
    """Pillow's picture of a PNG.

    :raises HostError: Pillow is not there, or this is no picture.
    """
    import io

    try:
        from PIL import Image
    except ImportError as exc:
        raise HostError("the Python library Pillow is missing where the module runs", hint=_NO_PILLOW) from exc
    try:
        return Image.open(io.BytesIO(content)).convert("RGB")
    except OSError as exc:
        raise HostError(f"this is no picture: {exc}", hint="Use a PNG") from exc


def compare(first: bytes, second: bytes, mask: list[dict[str, int]], color: int) -> Difference:
    """
    :param mask: areas that do not count, ``x, y, width, height`` each. :param color: how much each of a pixel's colours may differ (0 to 255).
    """
    from PIL import Image, ImageChops

    one, other = picture(first), picture(second)
    if one.size != other.size:
        return Difference(100.0, (0, 0, *one.size))
    counts = Image.new("L", one.size, 255)
    for area in mask:
        counts.paste(0, (area["x"], area["y"], area["x"] + area["width"], area["y"] + area["height"]))
    bands = [band.point(lambda value: 255 if value > color else 0) for band in ImageChops.difference(one, other).split()]
    differs = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    differs = ImageChops.darker(differs, counts)
    number, all_of_them = differs.histogram()[255], counts.histogram()[255]
    box = differs.getbbox()
    return Difference(100.0 * number / max(1, all_of_them), box and (box[0], box[1], box[2] - box[0], box[3] - box[1]))


async def read(content: bytes, language: str, deadline: Deadline) -> str:
    """The words of a screen, by tesseract.

    :raises UnreadError: it had no time. :raises HostError: it is not there, or failed.
    """
    program = _tesseract()
    process = await asyncio.create_subprocess_exec(
        *(program, "stdin", "stdout", "-l", language, "--psm", "6", "--dpi", "96"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(_legible(content)), max(deadline.left, 0.1))
    except asyncio.TimeoutError as exc:
        raise UnreadError(f"tesseract did not read the screen within {deadline.seconds:g} s", hint="Give it a longer timeout") from exc
    finally:
        if process.returncode is None:  # late, or nobody waits any more
            process.kill()
            await process.wait()
    if process.returncode:
        raise HostError(f"tesseract: {errors.decode(errors='replace').strip()}", hint=f"Is its language {language} installed (tesseract-ocr-{language})?")
    return output.decode(errors="replace")


def _tesseract() -> str:
    try:
        return find_program("tesseract")
    except HostError as exc:
        raise HostError("the program tesseract is missing, which reads screens", hint="Install tesseract-ocr (Debian) or tesseract (Fedora)") from exc


def _legible(content: bytes) -> bytes:
    """Large and dark on light, as tesseract knows letters."""
    import io

    from PIL import Image, ImageOps, ImageStat

    gray = picture(content).convert("L")
    if ImageStat.Stat(gray).mean[0] < _DARK:
        gray = ImageOps.invert(gray)
    gray = ImageOps.autocontrast(gray).resize((gray.width * _ENLARGED, gray.height * _ENLARGED), Image.BICUBIC)
    into = io.BytesIO()
    gray.save(into, "PNG")
    return into.getvalue()


async def text_on(host: Host, record: Record, deadline: Deadline, known: dict[bytes, str]) -> str:
    """The words on a machine's screen.

    :param known: pictures that were read before; the last few are kept there.
    :raises LockedError: another task works on it. :raises UnresponsiveError: no answer.
    :raises UnreadError: no time was left. :raises HostError: nothing here reads screens.
    """
    _tesseract()
    async with monitor_of(host, record, deadline) as monitor:
        content = await dump(monitor, record, {})
    if content not in known:
        text = await read(content, _LANGUAGE, deadline)
        for old in list(known)[: -_KNOWN + 1]:
            del known[old]
        known[content] = text
    return known[content]
