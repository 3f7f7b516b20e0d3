# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that outlive the task that starts them, and signals to them and to no other."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from .._errors import HostError
from .command import find_program


def start(argv: list[str], what: str, *, cwd: str = "/", **streams: Any) -> None:
    """In a session of its own, nobody's child: setsid --fork ends at once.

    :param what: is started, for the message; streams: as subprocess has them.
    :raises HostError: it cannot be.
    """
    try:
        subprocess.run([find_program("setsid"), "--fork", *argv], cwd=cwd, umask=0o077, check=True, **streams)
    except (OSError, subprocess.SubprocessError) as exc:
        raise HostError(f"cannot start {what}: {exc}") from exc


def start_logged(argv: list[str], what: str, log: str, *, cwd: str = "/") -> None:
    """The same without any input, and with what it says behind what is in the log (0600)."""
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        start(argv, what, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def send_signal(pid: int, is_it: Callable[[], bool], number: signal.Signals) -> bool:
    """To that process and no other that may have got its pid; False when it is gone.

    :param is_it: whether the pid is still the one that is meant, asked when it can become nobody else's any more.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_it():
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
