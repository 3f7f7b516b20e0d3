# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An export on disk: a directory, or one tar file. Written beside its final name, read without following a path in it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from .._errors import CommandError, HostError, RefusedError
from .._spec.manifest import MANIFEST, check_manifest, files
from .._spec.size import format_size
from .deadline import Deadline
from .paths import write_private
from .qemu_img import make_durable

_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1 << 24
_TAR = "export.tar"


def is_file(path: str) -> bool:
    """Whether the export is one file."""
    return path.endswith(".tar")


class Writer:
    """An export in the making, in a directory of its own beside its final name.

    What an earlier task left there when it was cut off goes first.
    """

    def __init__(self, path: str, machine: str) -> None:
        self.path = path
        parent, name = os.path.split(path)
        self.staging, self._aside = f"{parent}/.{name}.{machine}.new", f"{parent}/.{name}.{machine}.old"
        self._tar: tarfile.TarFile | None = None

    def repair(self) -> None:
        """An export that was set aside, and whose successor never came, gets its name back."""
        if os.path.isdir(self._aside) and not os.path.exists(self.path):
            os.rename(self._aside, self.path)
        self.clean()

    def clean(self) -> None:
        if self._tar:
            with suppress(OSError):  # a full disk has no room for its end either
                self._tar.close()
            self._tar = None
        for place in (self.staging, self._aside):
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)

    def begin(self) -> None:
        for place in (self.staging, f"{self.staging}/bases", f"{self.staging}/tpm"):
            os.mkdir(place, 0o700)
        if is_file(self.path):
            self._tar = tarfile.open(f"{self.staging}/{_TAR}", "w")  # noqa: SIM115 - closed at the end

    def seal(self, made: str, name: str, deadline: Deadline) -> dict[str, Any]:
        """Take a file of the staging directory in, under its name: ``{file, bytes, sha256}``; ``{}`` in the name is its sum."""
        with open(made, "rb+") as file:
            count, sha256 = copy(file, None, deadline)
            os.fsync(file.fileno())
        name = name.format(sha256)
        if self._tar:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = count, 0o600, int(os.stat(made).st_mtime)
            with open(made, "rb") as file:
                self._tar.addfile(member, file)
            os.unlink(made)
        else:
            os.chmod(made, 0o600)
            os.rename(made, f"{self.staging}/{name}")
        return {"file": name, "bytes": count, "sha256": sha256}

    def end(self, manifest: dict[str, Any], deadline: Deadline) -> None:
        """All of it is on the disk, under a temporary name."""
        write_private(f"{self.staging}/{MANIFEST}", json.dumps(manifest, indent=1))
        if self._tar:
            self.seal(f"{self.staging}/{MANIFEST}", MANIFEST, deadline)
            self._tar.close()
            self._tar = None
            make_durable(f"{self.staging}/{_TAR}")
            os.chmod(f"{self.staging}/{_TAR}", 0o600)
        for place in ("bases", "tpm"):
            if not os.listdir(f"{self.staging}/{place}"):
                os.rmdir(f"{self.staging}/{place}")
            else:
                make_durable(f"{self.staging}/{place}")
        make_durable(self.staging)

    def publish(self, witness: Any) -> None:
        if is_file(self.path):
            os.replace(f"{self.staging}/{_TAR}", self.path)
        else:
            if os.path.isdir(self.path) and os.listdir(self.path):
                os.rename(self.path, self._aside)
                witness("the old export set aside")
            os.rename(self.staging, self.path)
        witness("published")
        make_durable(os.path.dirname(self.path))
        self.clean()


class Reader:
    """
    :raises RefusedError: the path holds no export, or one with files that do not belong to it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._members: dict[str, tarfile.TarInfo] = {}
        self._tar: tarfile.TarFile | None = None
        if is_file(path):
            try:
                self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by close()
                self._members = {member.name: member for member in self._tar.getmembers()}
            except tarfile.TarError as exc:
                raise RefusedError(f"{path} cannot be read: {exc}", hint="It may be cut off: export the machine again") from exc
        self.manifest = check_manifest(path, self._load())
        self._check_files()

    def close(self) -> None:
        if self._tar:
            self._tar.close()

    @property
    def size(self) -> int:
        return sum(entry["bytes"] for entry in files(self.manifest))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A regular file of the export; a link leads nowhere.

        :raises RefusedError: it is none, or is not there.
        """
        if self._tar:
            member = self._members.get(name)
            data = self._tar.extractfile(member) if member and member.isreg() else None
            if data is None:
                raise self._bad(name)
            with data:
                yield data
            return
        place = f"{self.path}/{name}"
        if any(os.path.islink(step) for step in (place, os.path.dirname(place))) or not os.path.isfile(place):
            raise self._bad(name)
        with open(place, "rb") as file:
            yield file

    def _bad(self, name: str) -> RefusedError:
        return RefusedError(f"{self.path}: {name} is not there, or is no regular file", hint="Export the machine again")

    def _load(self) -> Any:
        try:
            with self.open(MANIFEST) as file:
                return json.loads(file.read(_LARGEST_MANIFEST))
        except (RefusedError, ValueError, RecursionError) as exc:
            raise RefusedError(f"{self.path} is no export of a machine: it has no {MANIFEST} that can be read", hint="Give the path of an export") from exc

    def _check_files(self) -> None:
        """Each file is there in its length, and nothing else is."""
        wanted = {entry["file"]: entry["bytes"] for entry in files(self.manifest)}
        strange = self._names() - {*wanted, MANIFEST}
        if strange:
            raise RefusedError(f"{self.path} holds what is no part of the export: {', '.join(sorted(strange)[:3])!r}", hint="Move it elsewhere")
        for name, count in wanted.items():
            with self.open(name) as file:
                if file.seek(0, os.SEEK_END) != count:
                    raise RefusedError(f"{self.path}: {name} has not the length that {MANIFEST} says", hint="Copy it again, or export the machine again")

    def _names(self) -> set[str]:
        if self._tar:
            return set(self._members)
        found = set()
        for folder, directories, names in os.walk(self.path):
            links = [name for name in directories if os.path.islink(f"{folder}/{name}")]
            found |= {os.path.relpath(f"{folder}/{name}", self.path) for name in [*names, *links]}
        return found


def find_export(path: str) -> Reader | None:
    """What is at the path; None for nothing, or an empty directory.

    :raises RefusedError: it is no export: such a thing is never replaced.
    """
    if not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path)):
        return None
    return open_export(path)


def open_export(path: str) -> Reader:
    """
    :raises MaqetError: there is none.
    """
    if not os.path.exists(path):
        raise HostError(f"path: {path} does not exist", hint="Copy the export to this host first")
    if os.path.isdir(path) == is_file(path):
        kind = "a directory and its name ends in .tar" if is_file(path) else "a file and its name does not end in .tar"
        raise RefusedError(f"path: {path} is {kind}", hint="An export is a directory, or a file whose name ends in .tar")
    return Reader(path)


def copy(source: IO[bytes], target: IO[bytes] | None, deadline: Deadline) -> tuple[int, str]:
    """Its length and its SHA-256; ``target`` gets its bytes, where they are not zeros."""
    digest, count = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        if deadline.over:
            raise HostError(f"no end after {deadline.seconds:g} s", hint="Give the task a longer timeout")
        digest.update(chunk)
        count += len(chunk)
        if target:
            target.write(chunk) if chunk.count(0) < len(chunk) else target.seek(len(chunk), os.SEEK_CUR)
    if target:
        target.truncate(count)
    return count, digest.hexdigest()


def take(reader: Reader, entry: dict[str, Any], target: str, deadline: Deadline) -> None:
    """Copy one file of the export to ``target``, where it is on the disk when its sum is right.

    :raises RefusedError: it is not what the manifest says.
    """
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with reader.open(entry["file"]) as source, open(descriptor, "wb") as file:
        count, sha256 = copy(source, file, deadline)
        file.flush()
        os.fsync(file.fileno())
    if (count, sha256) != (entry["bytes"], entry["sha256"]):
        said = f"SHA-256 {sha256}, and {MANIFEST} says {entry['sha256']}"
        raise RefusedError(f"{reader.path}: {entry['file']} is damaged: {said}", hint="Copy it again, or export the machine again")


def check_room(needs: dict[str, int]) -> None:
    """
    :param needs: bytes by directory; those on one file system count together.
    :raises HostError: saying what is needed and what is free.
    """
    together: dict[int, list[tuple[str, int]]] = {}
    for wanted, count in needs.items():
        place = wanted
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        together.setdefault(os.stat(place).st_dev, []).append((place, count))
    for entries in together.values():
        needed, free = sum(count for _place, count in entries), shutil.disk_usage(entries[0][0]).free
        if needed > free:
            raise _full(entries[0][0], needed, free)


@contextmanager
def room_told(place: str, needed: int) -> Iterator[None]:
    """A full disk says what was needed and what is free."""
    try:
        yield
    except (OSError, CommandError) as exc:
        if getattr(exc, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and "No space left" not in str(exc) and "quota exceeded" not in str(exc):
            raise
        raise _full(place, needed, shutil.disk_usage(place).free) from exc


def _full(place: str, needed: int, free: int) -> HostError:
    numbers = f"up to {_round(needed)} is needed, {_round(free)} is free"
    return HostError(f"the disk of {place} is full: {numbers}", hint="Make room, or use another place", needed=needed, free=free)


def _round(count: int) -> str:
    return format_size(-(-count // (1 << 20)) << 20)
