# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is being done, for who watches: a line of JSON each, ``[seconds, name, what]``."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Any

from .._errors import HostError


class Teller:
    """Appends to the file, which is made (0600) and is there until :meth:`end`.

    :param path: a name that nobody guesses, where others may write too.
    :raises HostError: it cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.told: list[list[Any]] = []
        self._path, self._began = path, time.monotonic()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise HostError(f"cannot write {path}: {exc.strerror}") from exc
        self._file = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")

    def __call__(self, name: str, what: str) -> None:
        self.told.append([round(time.monotonic() - self._began, 1), name, what])
        with suppress(OSError):  # a full disk is no reason to stop
            self._file.write(json.dumps(self.told[-1]) + "\n")

    def end(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)
        with suppress(OSError):
            self._file.close()
