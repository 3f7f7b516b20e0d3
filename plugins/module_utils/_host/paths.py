# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things live on a hypervisor."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from typing import NamedTuple

from .._errors import HostError

# sun_path holds 108 bytes with its closing NUL (unix(7)).
SOCKET_PATH_MAX = 107
_LAST_BYTES = 1 << 16


class Paths(NamedTuple):
    """
    :param runtime: this user's runtime directory; None without one.
    """

    state: str
    data: str
    cache: str
    runtime: str | None

    @property
    def db(self) -> str:
        return f"{self.state}/state.db"

    @property
    def locks(self) -> str:
        return f"{self.state}/locks"

    @property
    def machines(self) -> str:
        return f"{self.data}/vms"

    @property
    def networks(self) -> str:
        return f"{self.data}/networks"

    @property
    def in_use(self) -> bool:
        """Whether this user ever had a machine or a network here."""
        return any(os.path.isdir(path) for path in (self.state, self.machines, self.networks))

    @property
    def sockets(self) -> str:
        """The parent of the machines' socket directories."""
        if self.runtime:
            return f"{self.runtime}/maqet"
        return os.path.join(tempfile.gettempdir(), f"maqet-{os.getuid()}")

    def run_dir(self, name: str) -> str:
        """A machine's socket directory: short, since a socket's path has little room."""
        return f"{self.sockets}/{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def find_paths() -> Paths:
    """The paths of the calling user, by the XDG base directory rules."""
    home = os.path.expanduser("~")

    def base(variable: str, default: str) -> str:
        value = os.environ.get(variable, "")
        return f"{value if value.startswith('/') else os.path.join(home, default)}/maqet"

    return Paths(
        state=base("XDG_STATE_HOME", ".local/state"),
        data=base("XDG_DATA_HOME", ".local/share"),
        cache=base("XDG_CACHE_HOME", ".cache"),
        runtime=find_runtime(),
    )


def find_runtime() -> str | None:
    """``XDG_RUNTIME_DIR``, or ``/run/user/<uid>`` when a play came without a login session."""
    for path in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.getuid()}"):
        try:
            facts = os.stat(path)
        except OSError:
            continue
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid():
            return path
    return None


def make_private(path: str) -> None:
    """Make ``path`` a directory of ours with mode 0700.

    :raises HostError: when it cannot be made, or is another user's.
    """
    try:
        if not os.path.isdir(path):
            os.makedirs(path, mode=0o700, exist_ok=True)
        facts = os.lstat(path)
    except OSError as exc:
        raise HostError(f"cannot make the directory {path}: {exc.strerror}", hint="Check its owner, its mode and the free space") from exc
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise HostError(f"{path} belongs to another user", hint="Remove it, or set XDG_RUNTIME_DIR to a directory of yours")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        os.chmod(path, 0o700)


def check_readable(option: str, path: str) -> None:
    """
    :raises HostError: the file that an option names is not there, or no file, or closed to us.
    """
    if not os.path.exists(path):
        raise HostError(f"{option}: {path} does not exist", hint="Check the path on the host that runs the machine", path=option)
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):  # who reads a pipe or a terminal may wait for ever
        what = "is a directory" if stat.S_ISDIR(mode) else "is no file"
        raise HostError(f"{option}: {path} {what}", hint="Name a file", path=option)
    if not os.access(path, os.R_OK):
        raise HostError(f"{option}: {path} may not be read by this user", hint="Check its mode and its directories' modes", path=option)


def size_of(path: str) -> int:
    """Its bytes; none when it is not there."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def free_bytes(directory: str) -> int:
    """What this user may still write there."""
    facts = os.statvfs(directory)
    return facts.f_bavail * facts.f_frsize


def last_words(path: str, start: int = 0, lines: int = 15) -> list[str]:
    """The last lines of a log, of what was written to it after ``start``."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            return file.read().decode(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        return []


def write_private(path: str, content: str | bytes, *, durable: bool = True) -> None:
    """Replace a file of ours (0600) at once or not at all.

    :param durable: it is still whole after a power cut; not worth its time for what is written anew at each start.
    """
    temporary = f"{path}.{os.getpid()}.new"  # what QEMU can do is written by any task that asks it
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as exc:
        with suppress(OSError):
            os.unlink(temporary)
        raise HostError(f"cannot write {path}: {exc.strerror}", hint="Check its directory's owner and the free space") from exc
