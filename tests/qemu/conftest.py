# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a QEMU of these tests lives, and the files that it is given."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.qemu.machine import free_ports


@pytest.fixture
def short_path():
    """A directory whose path leaves room for sockets."""
    path = tempfile.mkdtemp(prefix="maqet-")
    yield Path(path)
    shutil.rmtree(path)


@pytest.fixture
def words(short_path, files):
    """What the words of the data cases stand for here."""
    for name in ("dir", "run"):
        (short_path / name).mkdir()
    ports = free_ports(5)
    return {"files": files, "dir": short_path / "dir", "run": short_path / "run", "port": ports[0], "port2": ports[1], "auto": ports[2]}


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """Files that the cases name."""
    folder = tmp_path_factory.mktemp("files")
    # As much of a Linux kernel as QEMU reads: a boot sector with the header of boot protocol 2.12.
    kernel = bytearray(32768)
    kernel[0x1F1] = 4
    kernel[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x020C)
    kernel[0x211] = 1
    kernel[0x22C:0x230] = struct.pack("<I", 0x7FFFFFFF)
    (folder / "kernel").write_bytes(kernel)
    (folder / "initrd").write_bytes(bytes(4096))
    (folder / "a,b.raw").write_bytes(bytes(1 << 20))
    (folder / "key").write_text("not so secret", encoding="utf-8")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(folder / "base.qcow2"), "16M"], check=True)
    return folder
