# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flight recorder: every QMP event that a machine's QEMU emits, in ``events.jsonl``, with nobody attached.

QEMU's third monitor reads its greeting's answer from ``hello.json`` and writes to ``events.jsonl``. A line with the
greeting marks each start of QEMU; before it one of ours says how long the serial log was then and what time it was, unless the guest
goes on where it was. The last line may be torn when QEMU was killed.

Everybody reads it in one way: from a cursor on, whole lines, and on from the cursor behind them. Who reads it keeps it small: its head
is freed in place (see ``bounded.py``), and a file that is too long is put aside as ``events.jsonl.1`` before a start.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from .._errors import HostError
from .._spec.moment import Cursor
from . import bounded
from .paths import size_of, write_private

_TAIL = 1 << 18
_GREETING = b'{"QMP":'
_BOOT = b'{"serial": '
_LONGEST_MARK = 80
HELLO = '{"execute":"qmp_capabilities"}\n'


BEGINNING = Cursor()


class Line(NamedTuple):
    """:param item: an event, a greeting or a mark of ours; cursor: behind it."""

    item: dict[str, Any]
    cursor: Cursor


class Boot(NamedTuple):
    """Where a guest's last start stands in its files."""

    events: Cursor
    serial: int


def events_file(directory: str) -> str:
    return f"{directory}/events.jsonl"


def serial_log(directory: str) -> str:
    return f"{directory}/serial.log"


def prepare(directory: str, *, resumes: bool) -> None:
    """The recorder's standard input, and the files that QEMU writes to: ours alone before a supervisor opens them."""
    hello = f"{directory}/hello.json"
    if size_of(hello) != len(HELLO):
        write_private(hello, HELLO, durable=False)
    if not resumes:
        for file in (events_file(directory), serial_log(directory)):
            bounded.begin_anew(file)
    mark = b"" if resumes else b'%s%d, "time": %d}\n' % (_BOOT, size_of(serial_log(directory)), time.time())
    for file, text in ((events_file(directory), mark), (f"{directory}/qemu.log", b"")):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)


def position(directory: str) -> Cursor:
    """Where the next event will stand."""
    try:
        facts = os.stat(events_file(directory))
    except FileNotFoundError:
        return BEGINNING
    return Cursor(facts.st_ino, facts.st_size)


def read(directory: str, start: Cursor = BEGINNING, limit: int = bounded.LIMIT) -> tuple[list[Line], Cursor]:
    """Every line from the cursor on, and the cursor behind the last whole one. A cursor of a file that is no more is the beginning.

    :param limit: bytes on the disk beyond which the older half is freed.
    """
    path = events_file(directory)
    try:
        found, end = _read_file(path, start)
        if start.inode != end.inode:
            with suppress(FileNotFoundError):
                found = _read_file(bounded.aside(path), start)[0] + found
        if bounded.is_large(os.stat(path), limit):
            _trim(directory, limit)
    except FileNotFoundError:
        return [], start
    except OSError as exc:
        raise HostError(f"cannot read {path}: {exc.strerror}") from exc
    return found, end


def _read_file(path: str, start: Cursor) -> tuple[list[Line], Cursor]:
    """Its lines, from the cursor on when it is of this file."""
    with open(path, "rb") as file:
        facts = os.fstat(file.fileno())
        own = start.inode == facts.st_ino and start.offset <= facts.st_size
        offset = start.offset if own else 0
        lines = []
        for end, text in _lines(file.fileno(), offset):
            offset = end
            item = _parsed(text)
            if item:
                lines.append(Line(item, Cursor(facts.st_ino, end)))
    return lines, Cursor(facts.st_ino, offset)


def _lines(descriptor: int, start: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines and where each ends. What was freed has none; the line that is being written has no end."""
    for begin, piece in bounded.pieces(descriptor, start):
        end = begin
        for line in piece.splitlines(keepends=True):
            end += len(line)
            if line.endswith(b"\n"):
                yield end, line


def read_events(directory: str, start: Cursor = BEGINNING) -> tuple[list[dict[str, Any]], Cursor]:
    """The events among those lines."""
    lines, end = read(directory, start)
    return [line.item for line in lines if "event" in line.item], end


def last_events(directory: str, count: int) -> list[Line]:
    """The last ``count`` events, oldest first."""
    end = position(directory)
    lines, _end = read(directory, end._replace(offset=max(0, end.offset - _TAIL)))
    return [line for line in lines if "event" in line.item][-count:] if count else []


def events_since_start(directory: str, tail: int = _TAIL) -> list[dict[str, Any]]:
    """The events of the last QEMU, as far as the tail of the file reaches."""
    try:
        with open(events_file(directory), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - tail))
            text = file.read()
    except FileNotFoundError:
        return []
    items = map(_parsed, text[text.rfind(_GREETING) + 1 :].splitlines())
    return [item for item in items if item and "event" in item]


def last_boot(directory: str) -> Boot:
    """Where the guest's last start stands; one that is older than such marks began with its QEMU."""
    inode = position(directory).inode
    for mark in (_BOOT, _GREETING):
        place, line = _find_last(events_file(directory), mark)
        if line:
            said = _parsed(line) if mark is _BOOT else None
            return Boot(Cursor(inode, place), int((said or {}).get("serial", 0)))
    return Boot(Cursor(inode, 0), 0)


def _find_last(path: str, mark: bytes) -> tuple[int, bytes]:
    """The last line of a file that has the mark, from there on, and its place."""
    end = size_of(path)
    while end > 0:
        start = max(0, end - _TAIL)
        with open(path, "rb") as file:
            file.seek(start)
            text = file.read(end - start + len(mark) + _LONGEST_MARK)
        place = text.rfind(mark)
        if place >= 0:
            return start + place, text[place:].partition(b"\n")[0]
        end = start
    return 0, b""


def _trim(directory: str, limit: int) -> None:
    """Of what is freed the guest's last start is kept: who waits counts from there."""
    place, line = _find_last(events_file(directory), _BOOT)
    bounded.trim(events_file(directory), keep=(place, place + len(line) + 1) if line else (0, 0), limit=limit)


def seconds(event: dict[str, Any]) -> float:
    """When it came, by the clock of the host, in seconds since 1970."""
    stamp = event.get("timestamp", {})
    return float(stamp.get("seconds", 0)) + float(stamp.get("microseconds", 0)) / 1e6


def matches(wanted: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether an event is the one: its name, and each key of ``match`` in its data."""
    return event["event"] == wanted["event"] and _contains(event.get("data", {}), wanted.get("match") or {})


def _contains(data: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(data, dict) and all(key in data and _contains(data[key], item) for key, item in wanted.items())
    return bool(data == wanted)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        item = json.loads(line.strip(b"\0\r\n "))
    except ValueError:
        # What follows on a torn line is the next start.
        place = max(line.rfind(_BOOT), line.rfind(_GREETING))
        return _parsed(line[place:]) if place > 0 else None
    return item if isinstance(item, dict) else None
