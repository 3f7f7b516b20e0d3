# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module as Ansible packed it, kept for the next run: decision 29."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import ansible
from ansible import constants
from ansible.plugins.loader import module_utils_loader
from ansible.release import __version__
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import find_paths, make_private, write_private

_MODULES = "ansible_collections.maqet.qemu.plugins.modules"
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What Ansible, and what we, have beside a packed module while it is written.
_UNFINISHED = (".lock", "-part", ".new")


@contextmanager
def packed(action: str) -> Iterator[None]:
    """Meanwhile the module need not be packed anew; what cannot be kept is packed as ever.

    :param action: the module's name, with or without its collection.
    """
    name = action.rpartition(".")[2]
    run, kept = f"{constants.DEFAULT_LOCAL_TMP}/ansiballz_cache", f"{find_paths().cache}/packed"
    mark = ""
    with suppress(OSError, MaqetError):
        if not _names(run, name):
            mark = "." + _digest(name)
            _bring(kept, run, name, mark)
    yield
    with suppress(OSError, MaqetError):
        if mark:
            _keep(run, kept, name, mark)


def _bring(kept: str, run: str, name: str, mark: str) -> None:
    names = [file for file in _names(kept, name) if file.endswith(mark)]
    if names:
        make_private(kept)  # Ansible unpickles what it finds: nobody else may have put it there
        os.makedirs(run, exist_ok=True)
    for file in names:
        _copy(f"{kept}/{file}", f"{run}/{file[: -len(mark)]}")


def _keep(run: str, kept: str, name: str, mark: str) -> None:
    there = _names(kept, name)
    missing = [file for file in _names(run, name) if file + mark not in there]
    if not missing:
        return
    make_private(kept)
    for file in missing:
        _copy(f"{run}/{file}", f"{kept}/{file}{mark}")
    for old in there:
        if not old.endswith(mark):
            os.unlink(f"{kept}/{old}")


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as file:
        write_private(target, file.read(), durable=False)


def _names(directory: str, module: str) -> list[str]:
    """The packed files of a module; one for each compression."""
    if not os.path.isdir(directory):
        return []
    return [file for file in os.listdir(directory) if file.startswith(f"{_MODULES}.{module}-") and not file.endswith(_UNFINISHED)]


def _digest(name: str) -> str:
    """Another one as soon as any file has changed that the module may be packed from."""
    digest = hashlib.sha256(f"{__version__} {ansible.__file__} {sys.version}".encode())
    for top in [*module_utils_loader.print_paths().split(os.pathsep), f"{_OURS}/module_utils"]:
        for directory, _directories, files in os.walk(top):
            for file in files:
                if file.endswith(".py"):
                    _add(digest, f"{directory}/{file}")
    _add(digest, f"{_OURS}/modules/{name}.py")
    return digest.hexdigest()[:32]


def _add(digest: hashlib._Hash, path: str) -> None:
    facts = os.stat(path)
    digest.update(f"{path} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}\n".encode())
