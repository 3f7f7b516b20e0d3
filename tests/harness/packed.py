# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as Ansible packed them, handed from one scratch home to the next: packing is half of what a short play costs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

# Those of an earlier run serve nobody: the checkout lies elsewhere then.
_SECONDS = 3600


def lend(home):
    for file in _shared().glob("*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _SECONDS:
                file.unlink()
    _link(_shared(), _of(home))


def give_back(home):
    """What was packed anew; what it was packed from is in its name."""
    _link(_of(home), _shared())


def _shared():
    return Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / f"packed-{os.getuid()}"


def _of(home):
    return home.cache / "maqet/packed"


def _link(source, target):
    # Another test may be quicker, the files another user's, the home on a disk of its own: then it packs for itself.
    with suppress(OSError):
        for file in source.glob("ansible_collections.*"):
            target.mkdir(parents=True, exist_ok=True)
            if file.suffix != ".new":
                with suppress(OSError):
                    os.link(file, target / file.name)
