# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of the host, run once and waited for."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import subprocess
from collections.abc import Mapping

from .._errors import CommandError, HostError

# Plays reach a host through become or cron with a short PATH.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"))


@functools.cache
def find_program(name: str, hint: str = "") -> str:
    """The program's path.

    :raises HostError: when it is not installed.
    """
    path = shutil.which(name, path=_PATH)
    if not path:
        raise HostError(f"the program {name} is not installed", hint=hint or f"Install the package that has {name}")
    return path


def run(argv: list[str], *, env: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """Its standard output.

    :raises CommandError: when it ends with an error or does not end.
    """
    try:
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired as exc:
        raise CommandError(argv, -1, f"no end after {timeout:g} s") from exc
    except OSError as exc:
        raise CommandError(argv, -1, str(exc)) from exc
    if done.returncode:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


async def run_aside(argv: list[str], *, env: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """:func:`run` while other machines go on."""
    return await asyncio.to_thread(run, argv, env=env, timeout=timeout)
