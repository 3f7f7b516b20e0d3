# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flight recorder: every QMP event that a machine's QEMU emits, in ``events.jsonl``, with nobody attached.

QEMU's third monitor reads its greeting's answer from ``hello.json`` and writes to ``events.jsonl``. A line with the
greeting marks each start of QEMU; before it one of ours says how long the serial log was then, unless the guest goes on where
it was. The last line may be torn when QEMU was killed.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from .._errors import HostError
from .paths import size_of, write_private

_TAIL = 1 << 18
_GREETING = b'{"QMP":'
_BOOT = b'{"serial": '
BEGINNING = 0
HELLO = '{"execute":"qmp_capabilities"}\n'


class Boot(NamedTuple):
    """Where a guest's last start stands in its files."""

    events: int
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
    mark = b"" if resumes else b"%s%d}\n" % (_BOOT, size_of(serial_log(directory)))
    for file, text in ((events_file(directory), mark), (f"{directory}/qemu.log", b"")):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)


def position(directory: str) -> int:
    """Where the next event will stand."""
    return size_of(events_file(directory))


def read_events(directory: str, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from ``start`` on, and the position after the last whole line."""
    try:
        with open(events_file(directory), "rb") as file:
            file.seek(start)
            text = file.read()
    except FileNotFoundError:
        return [], start
    except OSError as exc:
        raise HostError(f"cannot read {events_file(directory)}: {exc.strerror}") from exc
    whole = text[: text.rfind(b"\n") + 1]
    return [event for event in map(_event, whole.splitlines()) if event], start + len(whole)


def last_events(directory: str, count: int) -> list[dict[str, Any]]:
    """The last ``count`` events, oldest first."""
    end = position(directory)
    start = max(0, end - _TAIL)
    events, _position = read_events(directory, start)
    return events[-count:] if count else []


def events_since_start(directory: str, tail: int = _TAIL) -> list[dict[str, Any]]:
    """The events of the last QEMU, as far as the tail of the file reaches."""
    start = max(0, position(directory) - tail)
    try:
        with open(events_file(directory), "rb") as file:
            file.seek(start)
            text = file.read()
    except FileNotFoundError:
        return []
    return [event for event in map(_event, text[text.rfind(_GREETING) + 1 :].splitlines()) if event]


def last_boot(directory: str) -> Boot:
    """Where the guest's last start stands; one that is older than such marks began with its QEMU."""
    for mark in (_BOOT, _GREETING):
        place, line = _find_last(events_file(directory), mark)
        if line:
            length = line[len(_BOOT) :].partition(b"}")[0] if mark is _BOOT else b""
            return Boot(place, int(length) if length.isdigit() else 0)
    return Boot(0, 0)


def _find_last(path: str, mark: bytes) -> tuple[int, bytes]:
    """The last line of a file that has the mark, from there on, and its place."""
    end = size_of(path)
    while end > 0:
        start = max(0, end - _TAIL)
        with open(path, "rb") as file:
            file.seek(start)
            text = file.read(end - start + len(mark) + 24)
        place = text.rfind(mark)
        if place >= 0:
            return start + place, text[place:].partition(b"\n")[0]
        end = start
    return 0, b""


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


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        item = json.loads(line)
    except ValueError:
        return None
    return item if isinstance(item, dict) and "event" in item else None
