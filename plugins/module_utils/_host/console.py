# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's serial console, by the library ``pexpect`` on its socket.

QEMU writes all that the guest says to ``serial.log``, and to the socket while somebody is there. So what came before we connected,
and between two tasks, is read from the log; how far the last task has read stands in ``console.json`` beside it. What comes while we
are there is read from the socket: the log has characters twice that a client takes too slowly (``qemu_chr_write_buffer`` of QEMU 7.2
logs each try).
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import termios
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from .._errors import HostError, MachineError
from .._plan.record import Record
from .._spec.terminal import Reader, overlap, plain, veil
from . import recorder
from .deadline import Deadline
from .paths import size_of, write_private

# What came before is read this far back, and this much of what nobody asked for is kept for the next task.
_TAIL, _KEPT = 1 << 20, 1 << 16
_PAUSE = 0.05
# A line may come in pieces: one that ends where the text ends is looked at again.
_SETTLE_SECONDS, _LONGEST_SETTLE_SECONDS = 0.15, 2.0
# What QEMU's serial port takes at once is far less.
_CHUNK = 256
_INT = "i"


class ClosedError(Exception):
    """QEMU has ended, or closed the socket."""


class LateError(Exception):
    """It did not come in time."""


class Seen(NamedTuple):
    """:param which: number of the pattern that fits; text: all from what was seen before to the end of it; match: of ``re``."""

    which: int
    text: str
    match: Any


class Console:
    """An open console.

    :param client: a socket that QEMU has taken the connection of.
    :param secrets: what ``lines`` and errors do not show.
    """

    def __init__(self, record: Record, client: socket.socket, since: str, secrets: Iterable[str] = ()) -> None:
        self._state = f"{record.directory}/console.json"
        self._log = recorder.serial_log(record.directory)
        self._client = client
        self._secrets = list(secrets)
        self._boot = recorder.last_boot(record.directory)
        self._start = f"{self._boot.events} {self._boot.serial}"
        known = self._known()
        # What was to be hidden and the guest echoed stays hidden from the tasks that follow.
        self._secrets += known.get("hidden", [])
        begin, rest, twice = self._begin(known, since)
        said = _read(self._log, begin)
        rest = rest[: len(rest) - overlap(rest[len(rest) - twice :], said)]
        self._child = _spawn(client)
        now = self._child.more(0)
        # What came in this moment is in both.
        self._child.pending = rest + said[: len(said) - overlap(said, now)] + now

    def _known(self) -> dict[str, Any]:
        """What the last task has left, if the guest has not been started since."""
        with suppress(OSError, ValueError), open(self._state, encoding="utf-8") as file:
            known: dict[str, Any] = json.load(file)
            if known.get("boot") == self._start:
                return known
        return {}

    def _begin(self, known: dict[str, Any], since: str) -> tuple[int, str, int]:
        """Where in the log to begin, what was read and not asked for, and how much at its end may stand in the log once more."""
        end = size_of(self._log)
        if since == "now":
            return end, "", 0
        begin, rest, twice = self._boot.serial, "", 0
        if since == "last" and known:
            begin, rest, twice = known["position"], known["rest"], known["twice"]
        if begin > end:  # somebody has emptied it
            begin = 0
        return (begin, rest, twice) if end - begin <= _TAIL else (end - _TAIL, "", 0)

    def expect(self, patterns: list[Any], deadline: Deadline) -> Seen:
        """The first of the patterns (compiled, of text) that fits what comes.

        :raises LateError, ClosedError: none did, in time or ever.
        """
        import pexpect

        before, settled = -1, Deadline(0)
        while True:
            try:
                which = self._child.expect_list(patterns, timeout=max(deadline.left, _PAUSE))
            except pexpect.TIMEOUT as exc:
                raise LateError from exc
            except pexpect.EOF as exc:
                raise ClosedError from exc
            seen = Seen(which, self._child.before + self._child.after, self._child.match)
            start = len(self._child.before)
            if start != before:
                before, settled = start, Deadline(_LONGEST_SETTLE_SECONDS)
            more = "" if self._child.unread or settled.over else self._child.more(_SETTLE_SECONDS)
            if not more:
                return seen
            self._child.pending = seen.text + more

    def send(self, text: str, deadline: Deadline) -> None:
        """Type; done when the guest has taken it.

        :raises MachineError: it takes nothing. :raises ClosedError: nobody is there.
        """
        for start in range(0, len(text), _CHUNK):
            try:
                self._child.send(text[start : start + _CHUNK])
            except OSError as exc:
                raise ClosedError from exc
            self._await_taken(deadline)

    def _await_taken(self, deadline: Deadline) -> None:
        """What is not taken when we close the socket would be lost, and QEMU takes what the guest's port has room for."""
        pause = 0.001
        while _untaken(self._client):
            self._child.pending += self._child.more(pause)
            if self._child.flag_eof:
                raise ClosedError
            if deadline.over:
                raise MachineError("the guest takes nothing from its serial console", hint="What was typed last has not reached it; does it still run?")
            pause = min(pause * 1.5, _PAUSE)

    def unread(self) -> str:
        """What has come and nobody has asked for."""
        self._child.pending += self._child.more(0)
        return str(self._child.unread)

    def lines(self, count: int) -> list[str]:
        """The last lines since the guest's start, without secrets."""
        text = self.veil(_read(self._log, self._last()))
        return text.strip("\n").split("\n")[-count:] if text.strip() else []

    def _last(self) -> int:
        end = size_of(self._log)
        return max(self._boot.serial if self._boot.serial <= end else 0, end - _KEPT)

    def veil(self, text: str) -> str:
        return veil(text, self._secrets)

    def conceal(self, text: str) -> None:
        """Show nobody these lines."""
        self._secrets += [line.strip() for line in text.splitlines()]

    def keep(self) -> None:
        """Let the next task go on where this one ended."""
        before = len(self.unread())
        position = size_of(self._log)
        rest = self.unread()
        known = {"boot": self._start, "position": position, "rest": rest[-_KEPT:], "twice": len(rest) - before}
        said = _read(self._log, self._last())
        known["hidden"] = [secret for secret in dict.fromkeys(self._secrets) if veil(said, [secret]) != said]
        with suppress(HostError):  # removed meanwhile, or the disk is full: then it reads again what was read
            write_private(self._state, json.dumps(known), durable=False)


def _read(path: str, begin: int) -> str:
    with suppress(FileNotFoundError), open(path, "rb") as file:
        file.seek(begin)
        return plain(file.read().decode(errors="replace"))
    return ""


def _untaken(client: socket.socket) -> int:
    """Bytes that QEMU has not read (SIOCOUTQ of unix(7))."""
    return int(struct.unpack(_INT, fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, struct.pack(_INT, 0)))[0])


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(path)
    except OSError as exc:
        client.close()
        raise MachineError(f"its serial console cannot be connected: {exc.strerror}", hint=f"Its socket is {path}") from exc
    return client


def _spawn(client: socket.socket) -> Any:
    """pexpect's own on a descriptor, which reads what people would see.

    ``pending`` was read and given back.
    """
    try:
        import pexpect
        from pexpect import fdpexpect
    except ImportError as exc:
        raise HostError(
            "the Python library pexpect is missing where the module runs",
            hint="Install python3-pexpect, or pip install 'pexpect>=4.8' for that Python, or apply the role maqet.qemu.host",
        ) from exc

    class Child(fdpexpect.fdspawn):  # type: ignore[misc]
        pending = ""
        reader = Reader()

        @property
        def unread(self) -> str:
            return str(self.buffer) + self.pending

        def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
            text, self.pending = self.pending, ""
            deadline = Deadline(timeout or 0)
            while not text:
                text = self.reader.feed(super().read_nonblocking(size, deadline.left))
            return text

        def more(self, seconds: float) -> str:
            """What is there after so many seconds, if anything."""
            text = ""
            deadline = Deadline(seconds)
            with suppress(pexpect.TIMEOUT, pexpect.EOF):
                while True:
                    text += self.reader.feed(super().read_nonblocking(1 << 16, 0 if text else deadline.left))
            return text

    return Child(client.fileno(), encoding="utf-8", codec_errors="replace", timeout=None, maxread=1 << 16, use_poll=True)
