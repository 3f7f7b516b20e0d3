# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flight recorder: every QMP event that a machine's QEMU emits, in ``events.jsonl``, with nobody attached.

QEMU's third monitor reads its greeting's answer from ``hello.json`` and writes to ``events.jsonl``. A line with the
greeting marks each start. The last line may be torn when QEMU was killed.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .._errors import HostError
from .paths import size_of, write_private

_TAIL = 1 << 18
_GREETING = b'{"QMP":'
HELLO = '{"execute":"qmp_capabilities"}\n'


def events_file(directory: str) -> str:
    return f"{directory}/events.jsonl"


def prepare(directory: str) -> None:
    """The recorder's standard input, and the files that QEMU writes to: ours alone before a supervisor opens them."""
    hello = f"{directory}/hello.json"
    if size_of(hello) != len(HELLO):
        write_private(hello, HELLO, durable=False)
    for file in (events_file(directory), f"{directory}/qemu.log"):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


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


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        item = json.loads(line)
    except ValueError:
        return None
    return item if isinstance(item, dict) and "event" in item else None
