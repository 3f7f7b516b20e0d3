# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source maqet.qemu.events of ansible-rulebook: QMP events of machines, as QEMU itself records them.

ansible-rulebook runs this file alone, without the collection in its path. Tried out by hand it prints what it would tell::

    python events.py '{"lab": "shop", "since": "start"}'
"""

from __future__ import annotations

import asyncio
import difflib
import errno
import fcntl
import fnmatch
import json
import logging
import os
import re
import sqlite3
import sys
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

DOCUMENTATION = r"""
---
short_description: QMP events of virtual machines
description:
  - Tells a rulebook the events of QEMU machines that M(maqet.qemu.maqet_vm) and M(maqet.qemu.maqet_lab) run, such as C(SHUTDOWN), C(RESET),
    C(GUEST_PANICKED), C(WATCHDOG) or C(BLOCK_IO_ERROR).
  - QEMU itself appends each event to a file of its machine, whether anybody listens or not. This source reads these files. So it is to run on
    the host of the machines, as their user.
  - Machines may come and go while it runs. One that comes is told of from its first event on, of one that is removed the last are told too.
  - What the rulebook took is remembered under the name O(cursor). After a restart the source goes on from there, with what happened
    meanwhile. Each event is told at least once. When the source is killed some of the last may be told again.
options:
  name:
    description:
      - Names of machines. All when left out. One that does not exist yet may come later.
    type: list
    elements: str
  lab:
    description:
      - Only machines of these labs. All when left out.
    type: list
    elements: str
  labels:
    description:
      - Only machines that have each of these labels with this value.
    type: dict
  events:
    description:
      - Which events to tell. All when left out.
      - An item is an event's name, in which V(*) stands for any letters, or a dictionary of C(event), such a name, and C(match), what the
        event's data must hold.
    type: list
    elements: raw
  since:
    description:
      - Where to begin when the cursor is new. V(now) tells of what happens from now on, V(start) of each machine's events since its QEMU was
        started last. A time such as V(2026-11-22T08:00:00Z), or seconds since 1970, tells of what is recorded since then.
      - From the second run on the cursor alone says where to go on.
    type: str
    default: now
  cursor:
    description:
      - The name under which this source remembers how far it got, in C($XDG_STATE_HOME/maqet/eda/<cursor>.json).
      - Sources that run at the same time need a name each. An empty one remembers nothing.
    type: str
    default: default
  interval:
    description:
      - Seconds between two looks for new events, 0.01 to 60.
    type: float
    default: 0.1
  feedback:
    description:
      - An option of ansible-rulebook itself, for sources with a name of their own and a run with C(--persistence-id). The cursor then moves on
        when the rule engine has stored the event. Otherwise it does when the rule engine was given it.
    type: bool
    default: false
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: All events of all machines
  maqet.qemu.events:

- name: Panics in the lab shop
  maqet.qemu.events:
    lab: shop
    events: [GUEST_PANICKED]
    cursor: panics

- name: Guests of two machines that ended by themselves, and what their disks report
  maqet.qemu.events:
    name: [web, db]
    events:
      - event: SHUTDOWN
        match:
          guest: true
      - BLOCK_*
    cursor: ends
    since: start

- name: Machines of a role, looked at twice a second, no event lost even when ansible-rulebook is killed
  maqet.qemu.events:
    labels:
      role: database
    cursor: databases
    interval: 0.5
    feedback: true
"""

_OPTIONS = ("name", "lab", "labels", "events", "since", "cursor", "interval", "feedback")
_CHUNK = 1 << 18
_GREETING = b'{"QMP":'
_LOOK_SECONDS = 0.5
_NONE = -1  # in the place of an inode or a descriptor
_MARK = uuid.UUID("5f0b4d5e-6a57-4f0e-9d3b-5f2f3c3a7e0d")
_QUERY = "SELECT json_extract(record, '$.name', '$.directory', '$.lab', '$.declared.labels', '$.identity.uuid') FROM machines"
_log = logging.getLogger("maqet.qemu.events")


class ArgumentError(ValueError):
    """What a rulebook says of this source cannot be."""


class Options(NamedTuple):
    """:param events: names with what the data must hold. since: ``now``, ``start`` or seconds since the epoch."""

    name: list[str]
    lab: list[str]
    labels: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    since: str | float
    cursor: str
    interval: float

    def means(self, machine: Machine) -> bool:
        own = machine.labels
        labelled = all(key in own and str(own[key]) == str(value) for key, value in self.labels.items())
        return labelled and (not self.name or machine.name in self.name) and (not self.lab or machine.lab in self.lab)

    def wants(self, event: dict[str, Any]) -> bool:
        if isinstance(self.since, float) and _seconds(event) < self.since:
            return False
        named = (match for name, match in self.events if fnmatch.fnmatchcase(event["event"], name))
        return not self.events or any(_contains(event.get("data", {}), match) for match in named)


def check(args: dict[str, Any]) -> Options:
    """
    :raises ArgumentError: which argument cannot be, and why.
    """
    for key in args:
        if key not in _OPTIONS and not str(key).startswith("eda_"):  # ansible-rulebook's own
            near = difflib.get_close_matches(str(key), _OPTIONS, 1)
            raise ArgumentError(f"{key}: is no option here. " + (f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(_OPTIONS)}"))
    labels = args.get("labels") or {}
    if not isinstance(labels, dict):
        raise ArgumentError(f"labels: {labels!r} is no dictionary")
    cursor = args.get("cursor", "default") or ""
    if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?", str(cursor)):
        raise ArgumentError(f"cursor: {cursor!r} is no name: 1 to 63 letters, digits, '_', '.' or '-'")
    try:
        interval = float(args.get("interval", 0.1))
    except (TypeError, ValueError):
        interval = 0.0
    if not 0.01 <= interval <= 60:
        raise ArgumentError(f"interval: {args['interval']!r} is no number of seconds from 0.01 to 60")
    names, labs, events = _words("name", args), _words("lab", args), [_wanted(item) for item in _list("events", args)]
    return Options(names, labs, labels, events, _since(args.get("since", "now")), str(cursor), interval)


def _list(key: str, args: dict[str, Any]) -> list[Any]:
    value = args.get(key) or []
    return value if isinstance(value, list) else [value]


def _words(key: str, args: dict[str, Any]) -> list[str]:
    words = _list(key, args)
    if not all(isinstance(word, str) and word for word in words):
        raise ArgumentError(f"{key}: {args[key]!r} is no list of names")
    return words


def _wanted(item: Any) -> tuple[str, dict[str, Any]]:
    fields = {"event": item} if isinstance(item, str) else item
    if not isinstance(fields, dict) or "event" not in fields or not set(fields) <= {"event", "match"}:
        raise ArgumentError(f"events: {item!r} is neither an event's name nor a dictionary of 'event' and 'match'")
    name, match = fields["event"], fields.get("match") or {}
    if not isinstance(name, str) or not re.fullmatch(r"[A-Z0-9_*]+", name):
        hint = f". Did you mean {name.upper()!r}?" if isinstance(name, str) and re.fullmatch(r"\w+", name) else ""
        raise ArgumentError(f"events: {name!r} is no name of an event of QEMU, which are in capitals{hint}")
    if not isinstance(match, dict):
        raise ArgumentError(f"events: match: {match!r} is no dictionary")
    return name, match


def _since(value: Any) -> str | float:
    if value in ("now", "start"):
        return str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise ArgumentError(f"since: {value!r} is neither 'now' nor 'start' nor a time such as 2026-11-22T08:00:00Z") from None
    return (moment if moment.tzinfo else moment.astimezone()).timestamp()


class Cursor(NamedTuple):
    """A place in a recording: which file, and how many of its bytes were read. In text ``<inode>:<offset>``."""

    inode: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.inode}:{self.offset}"

    @classmethod
    def of(cls, text: str) -> Cursor:
        inode, _colon, offset = text.partition(":")
        return cls(int(inode), int(offset))


class Machine(NamedTuple):
    """What is stored of a machine, as far as it matters here."""

    name: str
    directory: str
    lab: str
    labels: dict[str, Any]
    uuid: str

    @classmethod
    def of(cls, name: str, directory: str, lab: str | None, labels: dict[str, Any] | None, identity: str | None) -> Machine:
        return cls(name, directory, lab or str((labels or {}).get("lab", "")), labels or {}, identity or name)


class Machines:
    """All machines of this user, as the state DB has them, or their directories where there is no DB that can be read."""

    def __init__(self) -> None:
        self._db = f"{_home('XDG_STATE_HOME', '.local/state')}/state.db"
        self._vms = f"{_home('XDG_DATA_HOME', '.local/share')}/vms"
        self._stamps: list[Any] = []
        self._known: dict[str, Machine] | None = None

    def all(self) -> dict[str, Machine] | None:
        """By UUID. None as long as the DB is busy and was never read."""
        stamps = [_stamp(path) for path in (self._db, f"{self._db}-wal", self._vms)]
        if stamps != self._stamps:
            try:
                self._known = {machine.uuid: machine for machine in self._read()}
                self._stamps = stamps
            except sqlite3.OperationalError as exc:  # somebody writes to it, or is to mend it
                if self._known is None and "locked" not in str(exc):
                    raise RuntimeError(f"the state DB {self._db} cannot be read: {exc}") from exc
        return self._known

    def _read(self) -> list[Machine]:
        if os.path.exists(self._db):
            try:
                with closing(sqlite3.connect(f"{Path(self._db).as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
                    return [Machine.of(*json.loads(row[0])) for row in connection.execute(_QUERY)]
            except sqlite3.DatabaseError as exc:
                if not any(words in str(exc) for words in ("not a database", "malformed", "no such table")):
                    raise
                _log.warning("the state DB %s is damaged: the machines' directories say which there are", self._db)
        found = []
        for file in sorted(Path(self._vms).glob("*/machine.json")):
            with suppress(OSError, ValueError, KeyError, AttributeError):
                record = json.loads(file.read_text(encoding="utf-8"))
                declared, identity = record.get("declared") or {}, record.get("identity") or {}
                found.append(Machine.of(record["name"], str(file.parent), record.get("lab"), declared.get("labels"), identity.get("uuid")))
        return found


class Recording:
    """
    A machine's ``events.jsonl``. QEMU appends to it. Its head may be freed in place, which leaves a hole; before a start of QEMU it
    may be begun anew, with the former file beside it.

    :param at: how far it was read. A new cursor begins with the oldest file there is.
    :param done: how far the rulebook took what was read.
    :param leaving: its machine is gone. What was opened before can be read to its end.
    """

    def __init__(self, machine: Machine, at: Cursor) -> None:
        self.machine = machine
        self.at = self.done = at
        self.leaving = False
        self._path = f"{machine.directory}/events.jsonl"
        self._file = _NONE
        self._due = 0.0
        self.follow()

    def follow(self) -> None:
        """Open the file that the cursor is of, and once that is read the one that was begun after it. Done twice a second, not more."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _LOOK_SECONDS
        # In this order: one that is begun anew just now is seen as both, and looked at again later.
        newest, former = _inode(self._path), _inode(f"{self._path}.1")
        if self._file >= 0 and self.at.offset > os.fstat(self._file).st_size:
            _log.warning("%s was cut off: what it holds now is told", self._path)
            self.at = Cursor(self.at.inode)
        if newest == former or (self._file >= 0 and (self.at.inode == newest or b"\n" in self._text()[1])):
            return
        if self._file < 0 and self.at.inode in (newest, former):
            wanted = self.at.inode
        else:
            wanted = former if former not in (_NONE, self.at.inode) else newest
            if self._file < 0 and self.at.inode:
                _log.warning("%s is another file than the one that the cursor is of: all it holds is told", self._path)
        self._open(f"{self._path}.1" if wanted == former else self._path, wanted)

    def _open(self, path: str, inode: int) -> None:
        with suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY)
            facts = os.fstat(file)
            if facts.st_ino != inode:  # begun anew meanwhile
                os.close(file)
                return
            self.close()
            self._file = file
            # The number may have been given to another file since.
            ends_line = not self.at.offset or os.pread(file, 1, self.at.offset - 1) in (b"\n", b"\0")
            self.at = Cursor(inode, self.at.offset if self.at.inode == inode and ends_line else 0)

    def _text(self) -> tuple[int, bytes]:
        """What follows, and where it stands: after a hole, if there is one."""
        place = self.at.offset
        try:
            place = os.lseek(self._file, place, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                return place, b""
        return place, os.pread(self._file, _CHUNK, place)

    def read(self) -> Iterator[tuple[dict[str, Any], Cursor]]:
        """The events that came since, each with the cursor after it. Who asks for the next is done with this one."""
        place, text = self._text() if self._file >= 0 else (0, b"")
        lines = text.split(b"\n")
        torn = lines.pop()
        if not lines and len(text) == _CHUNK:  # what was freed up to a line of which this is the beginning, or no line at all
            lines = [torn[: (len(torn) - len(torn.lstrip(b"\0")) or len(torn)) - 1]]
        if lines and self.at.offset and (place > self.at.offset or text.startswith(b"\0")):
            _log.warning("%s: events were freed before they were read", self._path)
        for line in lines:
            place += len(line) + 1
            event = _event(line)
            if event:
                yield event, Cursor(self.at.inode, place)
            self.at = Cursor(self.at.inode, place)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = _NONE


class Store:
    """How far the source got with each machine, by UUID; kept under a name that one source at a time has."""

    def __init__(self, word: str) -> None:
        self._path = f"{_home('XDG_STATE_HOME', '.local/state')}/eda/{word}.json" if word else ""
        self._word = word
        self._lock = _NONE
        self._saved: dict[str, Any] = {}

    def open(self) -> dict[str, Cursor] | None:
        """The cursors; None when nothing was ever remembered here."""
        if not self._path:
            return None
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArgumentError(f"cursor: {self._word!r} is in use by another source that runs now: give each a cursor of its own") from None
        try:
            with open(self._path, encoding="utf-8") as file:
                self._saved = json.load(file)
            return {identity: Cursor.of(item["cursor"]) for identity, item in self._saved.items()}
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise RuntimeError(f"{self._path} cannot be read ({exc}): remove it, and the source begins anew") from exc

    def save(self, cursors: dict[str, Any]) -> None:
        if not self._path or cursors == self._saved:
            return
        with open(f"{self._path}.new", "w", encoding="utf-8", opener=_private) as file:
            json.dump(cursors, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self._path}.new", self._path)
        self._saved = cursors

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = _NONE


class Source:
    """
    :param queue: ansible-rulebook's, which has room for one event. So who waits to put one in waits for the rules.
    :param feedback: where ansible-rulebook says which events the rule engine has stored, if it is told to.
    """

    def __init__(self, queue: Any, options: Options, feedback: Any = None) -> None:
        self._queue, self._options, self._feedback = queue, options, feedback
        self._machines, self._store = Machines(), Store(options.cursor)
        self._cursors: dict[str, Cursor] = {}
        self._known: dict[str, Machine] = {}
        self._followed: dict[str, Recording] = {}
        # Put into the queue, and not known to be taken: the event's own id, and what is done when it is.
        self._pending: deque[tuple[str, Recording, Cursor]] = deque(maxlen=10_000)
        self._is_new = True

    async def run(self) -> None:
        cursors = self._store.open()
        self._is_new, self._cursors = cursors is None, cursors or {}
        tasks = [asyncio.ensure_future(work) for work in (self._keep(), self._follow(), self._hear())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            self._remember()
            for recording in self._followed.values():
                recording.close()
            self._store.close()

    async def _follow(self) -> None:
        while True:
            moved = [await self._tell(recording) for recording in list(self._followed.values())]
            await asyncio.sleep(0 if any(moved) else self._options.interval)

    def _look(self) -> None:
        """Which machines there are now."""
        known = self._machines.all()
        if known is None:
            return
        for identity, machine in known.items():
            recording = self._followed.get(identity)
            if not self._options.means(machine):
                self._cursors[identity] = _end_of(machine.directory)
                if recording:
                    self._followed.pop(identity).close()
            elif recording is None:
                self._followed[identity] = Recording(machine, self._begin(identity, machine))
            else:
                recording.machine = machine
        for identity, recording in self._followed.items():
            recording.leaving = identity not in known
        self._known, self._is_new = known, False

    def _begin(self, identity: str, machine: Machine) -> Cursor:
        if identity in self._cursors or not self._is_new:
            return self._cursors.get(identity, Cursor())
        since = self._options.since
        return _end_of(machine.directory) if since == "now" else _start_of(machine.directory) if since == "start" else Cursor()

    async def _tell(self, recording: Recording) -> bool:
        """Whether something came."""
        recording.follow()
        before = recording.at
        for event, place in recording.read():
            if self._options.wants(event):
                told = _told(recording.machine, event, place)
                await self._queue.put(told)
                self._pending.append((told["meta"]["uuid"], recording, place))
        if recording.leaving and recording.at == before:
            recording.close()
            self._followed.pop(recording.machine.uuid, None)
            self._cursors.pop(recording.machine.uuid, None)
        return recording.at != before

    async def _keep(self) -> None:
        """Goes on while the rulebook lets us wait: what comes is opened before it may go."""
        while True:
            self._look()
            try:
                self._remember()
            except OSError as exc:  # what is told meanwhile is told again after a restart
                _log.warning("the cursor cannot be kept: %s", exc)
            await asyncio.sleep(_LOOK_SECONDS / 2)

    async def _hear(self) -> None:
        """What is heard of was stored; what was put before it and is not, a filter dropped or the rule engine refused."""
        while self._feedback is not None:
            heard = (await self._feedback.get())["meta"]["uuid"]
            if heard in (item[0] for item in self._pending):
                while self._settle() != heard:
                    pass

    def _settle(self) -> str:
        identity, recording, place = self._pending.popleft()
        recording.done = place
        return identity

    def _remember(self) -> None:
        inner = getattr(self._queue, "queue", self._queue)  # ansible-rulebook has its filters around it
        held = inner.qsize() if hasattr(inner, "qsize") else 0
        # What a filter dropped never was in the queue: then only an empty one tells.
        is_clear = self._feedback is None and not (held and len(getattr(self._queue, "filters", ())) > 1)
        while is_clear and len(self._pending) > held:
            self._settle()
        if not self._pending:
            for recording in self._followed.values():
                recording.done = recording.at
        places = {**self._cursors, **{identity: recording.done for identity, recording in self._followed.items()}}
        if not self._is_new:
            known = self._known.items()
            self._store.save({identity: {"name": machine.name, "cursor": str(places[identity])} for identity, machine in known if identity in places})


def _told(machine: Machine, event: dict[str, Any], place: Cursor) -> dict[str, Any]:
    """What the rulebook sees. Told again after a restart it has the same id."""
    timestamp = event.get("timestamp", {})
    own = {"vm": machine.name, "lab": machine.lab, "labels": machine.labels, "cursor": str(place)}
    identity = uuid.uuid5(_MARK, f"{machine.uuid} {place} {json.dumps(timestamp)}")
    return {"event": event["event"], "data": event.get("data", {}), "timestamp": timestamp, **own, "meta": {"uuid": str(identity)}}


def _contains(data: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(data, dict) and all(key in data and _contains(data[key], item) for key, item in wanted.items())
    return bool(data == wanted)


def _event(line: bytes) -> dict[str, Any] | None:
    """None of what is no event: QEMU's greeting, our marks, what is torn."""
    try:
        item = json.loads(line.strip(b"\0\r "))
    except ValueError:
        return None
    return item if isinstance(item, dict) and "event" in item else None


def _seconds(event: dict[str, Any]) -> float:
    timestamp = event.get("timestamp", {})
    return float(timestamp.get("seconds", 0)) + float(timestamp.get("microseconds", 0)) / 1e6


def _home(variable: str, default: str) -> str:
    value = os.environ.get(variable, "")
    return f"{value if value.startswith('/') else os.path.join(os.path.expanduser('~'), default)}/maqet"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return _NONE


def _stamp(path: str) -> tuple[int, ...]:
    try:
        facts = os.stat(path)
    except OSError:
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _end_of(directory: str) -> Cursor:
    """After the last whole line."""
    return _place_of(directory, b"\n", 4096)


def _start_of(directory: str) -> Cursor:
    """Where QEMU was started last."""
    return _place_of(directory, b"\n" + _GREETING, sys.maxsize)


def _place_of(directory: str, mark: bytes, most: int) -> Cursor:
    """After the last line end that the mark begins with, within the last ``most`` bytes; the beginning when it is not there."""
    try:
        with open(f"{directory}/events.jsonl", "rb") as file:
            facts = os.fstat(file.fileno())
            start = max(0, facts.st_size - most)
            with suppress(OSError):
                start = max(start, os.lseek(file.fileno(), start, os.SEEK_DATA))
            return Cursor(facts.st_ino, start + os.pread(file.fileno(), facts.st_size - start, start).rfind(mark) + 1)
    except FileNotFoundError:
        return Cursor()


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Where ansible-rulebook enters."""
    await Source(queue, check(args), args.get("eda_feedback_queue")).run()


if __name__ == "__main__":

    class Printer:
        """Takes the place of ansible-rulebook's queue."""

        async def put(self, event: dict[str, Any]) -> None:
            print(json.dumps(event), flush=True)

    with suppress(KeyboardInterrupt):
        asyncio.run(main(Printer(), {"cursor": "", **json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")}))  # type: ignore[arg-type]
