# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files from web servers, by Ansible's own ``open_url``: its proxies, ``.netrc`` and certificates. What was cut off goes on.

A download is ``<file>`` and, beside it, ``<file>.json`` with what the server said of it. All of this blocks: it runs in a thread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from .._errors import HostError, MaqetError
from .._spec.image import shown
from .deadline import Deadline
from .paths import free_bytes, size_of, write_private

_CHUNK = 1 << 20
_SILENCE = 30
# Attempts that bring nothing more, one after the other.
_FUTILE = 4
_PAUSE = 0.5
_TEXT_MAX = 8 << 20
_GONE = (400, 401, 403, 404, 405, 410)


class Cut(Exception):  # noqa: N818 - it is caught here, and no error yet
    """The connection ended too early; another attempt may go on."""


class Download:
    """One file on its way.

    :param vouched: a checksum says what it must be.
    :param facts: what the server said of it: ``{url, etag, last_modified, size}``; resumed: some of it is from an earlier task.
    """

    def __init__(self, url: str, file: str, deadline: Deadline, *, vouched: bool = False) -> None:
        self.url, self.file, self.deadline, self.vouched = url, file, deadline, vouched
        self.facts = _read_facts(f"{file}.json", url)
        self.resumed = size_of(file) > 0 and self._resumes

    def run(self, witness: Callable[[str], None]) -> dict[str, Any]:
        """The whole file, or an error. :param witness: told of each write's beginning and end."""
        most, futile = 0, 0
        while True:
            try:
                self._attempt(witness)
                return self.facts
            except Cut as exc:
                have = size_of(self.file)
                futile = 0 if have > most else futile + 1
                most = max(most, have)
                if futile >= _FUTILE or self.deadline.over:
                    raise HostError(
                        f"{shown(self.url)}: {exc}; {have} bytes are here after {self.deadline.seconds - self.deadline.left:.0f} s",
                        hint="Run it again, it goes on from there" if self._resumes else "Check the URL, the server and the network, or give a longer timeout",
                    ) from exc
                time.sleep(min(_PAUSE * futile, self.deadline.left))

    def discard(self) -> None:
        """Remove what is here of it."""
        for path in (f"{self.file}.json", self.file):
            with suppress(FileNotFoundError):
                os.unlink(path)

    @property
    def _resumes(self) -> bool:
        return bool(self._validator)

    @property
    def _validator(self) -> str:
        """By what a server knows that the file is still the same (RFC 9110, If-Range): a weak ETag does not do."""
        etag = self.facts.get("etag") or ""
        return str(etag if etag and not etag.startswith("W/") else self.facts.get("last_modified") or "")

    def _attempt(self, witness: Callable[[str], None]) -> None:
        have = size_of(self.file) if self._resumes else 0
        whole = bool(have) and have == self.facts.get("size")
        headers = conditions(self.facts) if whole else {"Range": f"bytes={have}-", "If-Range": self._validator} if have else {}
        try:
            response = get(self.url, headers, self.deadline)
        except HTTPError as exc:
            if whole and exc.code == 304:
                return
            if exc.code == 416:
                self.discard()
                self.facts = {}
                raise Cut("what was here of it was of no use") from exc
            raise _refused(self.url, exc) from exc
        with response:
            check_scheme(self.url, response, vouched=self.vouched)
            start = have if response.status == 206 and _continues(response, have, self.facts) else 0
            if response.status == 206 and start != have:
                self.discard()
                raise Cut("the server sent another part than the one asked for")
            self._receive(response, start, witness)

    def _receive(self, response: Any, start: int, witness: Callable[[str], None]) -> None:
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        check_space(os.path.dirname(self.file), (total or 0) - start, shown(self.url))
        if not start:
            self._begin(response, total)
            witness("download begun")
        with open(self.file, "r+b" if start else "wb", buffering=0) as file:
            file.truncate(start)
            file.seek(start)
            got = start + self._copy(response, file, witness)
        if total is not None and got < total:
            raise Cut(f"the connection ended after {got} of {total} bytes")
        if total is None:  # now it is known, for who asks again whether it is whole
            self.facts["size"] = got
            write_private(f"{self.file}.json", json.dumps(self.facts))

    def _begin(self, response: Any, total: int | None) -> None:
        self.discard()
        said = response.headers
        self.facts = {"url": self.url, "etag": said.get("ETag"), "last_modified": said.get("Last-Modified"), "size": total}
        write_private(f"{self.file}.json", json.dumps(self.facts))

    def _copy(self, response: Any, file: Any, witness: Callable[[str], None]) -> int:
        count = 0
        while True:
            if self.deadline.over:
                raise Cut(f"no end within {self.deadline.seconds:g} s")
            try:
                chunk = response.read(_CHUNK)
            except (OSError, HTTPException) as exc:
                raise Cut(str(exc) or type(exc).__name__) from exc
            if not chunk:
                return count
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
            count += len(chunk)
            witness("downloaded")


def fetch_text(url: str, deadline: Deadline) -> str:
    """A small file as text."""
    for attempt in range(_FUTILE):
        try:
            with get(url, {}, deadline) as response:
                data = response.read(_TEXT_MAX)
                return str(data.decode("utf-8", "replace"))
        except HTTPError as exc:
            raise _refused(url, exc) from exc
        except (Cut, OSError, HTTPException) as exc:
            if attempt == _FUTILE - 1 or deadline.over:
                raise HostError(f"{shown(url)}: {exc}", hint="Check the URL and the network") from exc
            time.sleep(min(_PAUSE * attempt, deadline.left))
    raise AssertionError


def look(url: str, facts: dict[str, Any], deadline: Deadline, *, vouched: bool = False) -> tuple[bool, int | None]:
    """Whether the server has something else than what ``facts`` tells of, and its size; nothing is downloaded."""
    try:
        with get(url, conditions(facts), deadline) as response:
            check_scheme(url, response, vouched=vouched)
            length = response.headers.get("Content-Length")
            return True, int(length) if length else None
    except HTTPError as exc:
        if exc.code == 304:
            return False, None
        raise _refused(url, exc) from exc
    except Cut as exc:
        raise HostError(f"{shown(url)}: {exc}", hint="Check the URL and the network") from exc


def get(url: str, headers: dict[str, str], deadline: Deadline) -> Any:
    """The server's answer, its body unread.

    :raises Cut: there is none. :raises HTTPError: it is not a good one.
    """
    from ansible.module_utils.urls import open_url

    words = {"Accept-Encoding": "identity", **headers}
    try:
        return open_url(url, headers=words, timeout=max(1, min(_SILENCE, deadline.left)), http_agent="maqet.qemu", decompress=False)
    except HTTPError as exc:
        if exc.code in (408, 425, 429) or exc.code >= 500:
            raise Cut(f"the server answered {exc.code} {exc.reason}") from exc
        raise
    except (OSError, HTTPException) as exc:
        raise Cut(str(getattr(exc, "reason", exc)) or type(exc).__name__) from exc
    except Exception as exc:  # Ansible's own kinds, such as of certificates and missing libraries
        raise HostError(f"{shown(url)}: {exc}", hint="Check the URL and the network") from exc


def conditions(facts: dict[str, Any]) -> dict[str, str]:
    """Headers that ask for the file only if it is another now."""
    pairs = {"If-None-Match": facts.get("etag"), "If-Modified-Since": facts.get("last_modified")}
    return {name: value for name, value in pairs.items() if value}


def check_scheme(url: str, response: Any, *, vouched: bool) -> None:
    """
    :raises HostError: https led to http, and no checksum vouches for what comes.
    """
    if url.startswith("https:") and not response.geturl().startswith("https:") and not vouched:
        raise HostError(f"{shown(url)} leads to {shown(response.geturl())}, where anybody on the way may change it", hint="Give its checksum")


def check_space(directory: str, need: int, what: str) -> None:
    """
    :raises HostError: the file system has less room than ``need`` bytes.
    """
    free = free_bytes(directory)
    if need > free:
        raise HostError(
            f"{what}: {need} bytes are needed in {directory}, where {free} are free",
            hint="Free some space there, remove images with prune: true, or set XDG_CACHE_HOME to another file system",
            needed=need,
            free=free,
        )


def _refused(url: str, exc: HTTPError) -> MaqetError:
    return HostError(f"{shown(url)}: the server answered {exc.code} {exc.reason}", hint="Check the URL" if exc.code in _GONE else "Check the server")


def _continues(response: Any, have: int, facts: dict[str, Any]) -> bool:
    """Whether a partial answer begins where we ended, of a file of the same size."""
    said = str(response.headers.get("Content-Range", "")).replace("bytes", "").strip()
    span, _slash, total = said.partition("/")
    same = total in ("*", "", str(facts.get("size"))) or facts.get("size") is None
    return span.partition("-")[0] == str(have) and same


def _read_facts(path: str, url: str) -> dict[str, Any]:
    with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        facts = json.load(file)
        if isinstance(facts, dict) and facts.get("url") == url:
            return facts
    return {}
