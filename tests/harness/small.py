# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file system that is full when a test wants it to be: scripts/test mounts a small tmpfs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from .home import Home

BLOCK = 1 << 16


@pytest.fixture
def small_home(tmp_path):
    """A home on the small file system."""
    folder = os.environ.get("MAQET_TEST_SMALL")
    if not folder:
        pytest.skip("scripts/test makes the small file system")
    # Who fills it is alone in it.
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = Path(folder) / "home"
        root.mkdir()
        scratch = Home(root, desk=tmp_path)
        yield scratch
        scratch.close()
        shutil.rmtree(root)


class Filler:
    """Takes all the space that is left where the home is, but for so many bytes."""

    def __init__(self, home):
        self.file = home.root / "filler"

    def fill(self, leave=0):
        facts = os.statvfs(self.file.parent)
        with open(self.file, "ab", buffering=0) as file:
            try:
                left = facts.f_bavail * facts.f_frsize - leave
                while left > 0:
                    left -= file.write(bytes(min(left, BLOCK)))
                while not leave:
                    file.write(bytes(512))
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise

    def empty(self):
        self.file.unlink(missing_ok=True)

    @contextmanager
    def full(self, leave=0):
        self.fill(leave)
        try:
            yield
        finally:
            self.empty()
