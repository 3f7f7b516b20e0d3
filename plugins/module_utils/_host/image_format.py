# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an image is, and whether it leans on other files, by its first bytes.

QEMU opens what an image's header names: a backing file, a data file, extents. That is how an image from elsewhere reads files of
its host, so its header is looked at before any program of QEMU opens it (qemu/docs/interop/qcow2.rst, block/vmdk.c).
"""

from __future__ import annotations

import os
import struct

_DATA_FILE = 1 << 2
_VMDK_DESCRIPTOR = slice(0x200, 0x200 + 20 * 512)
_HEAD = 1 << 16


def detect(file: str) -> str:
    """``qcow2``, ``vmdk``, ``vdi``, ``vhdx``, ``vpc``, and ``raw`` for all else."""
    head, tail = _ends(file)
    if head.startswith(b"QFI\xfb"):
        return "qcow2"
    if head.startswith((b"KDMV", b"COWD")) or b"# Disk DescriptorFile" in head[:512]:
        return "vmdk"
    if head[0x40:0x44] == b"\x7f\x10\xda\xbe":
        return "vdi"
    if head.startswith(b"vhdxfile"):
        return "vhdx"
    # One of fixed size has only a footer.
    return "vpc" if head.startswith(b"conectix") or tail.startswith(b"conectix") else "raw"


def leans_on(file: str, form: str) -> str:
    """Why the image is not whole by itself; empty when it is."""
    head, _tail = _ends(file)
    if form == "qcow2":
        return _qcow2(head)
    if form == "vmdk":
        return _vmdk(head)
    return ""


def backing_of(file: str) -> str:
    """The backing file that a qcow2 names; empty without one."""
    with open(file, "rb") as data:
        head = data.read(_HEAD)
    if len(head) < 72 or not head.startswith(b"QFI\xfb"):
        return ""
    offset, length = struct.unpack_from(">QI", head, 8)
    return os.fsdecode(head[offset : offset + length]) if offset else ""


def _qcow2(head: bytes) -> str:
    if len(head) < 72:
        return "its header is cut off"
    version, offset, length = struct.unpack_from(">IQI", head, 4)
    if offset:
        return f"it names a backing file ({os.fsdecode(head[offset : offset + length]) or 'beyond its header'})"
    if version >= 3 and struct.unpack_from(">Q", head, 72)[0] & _DATA_FILE:
        return "its data is in another file"
    return "it is encrypted" if struct.unpack_from(">I", head, 32)[0] else ""


def _vmdk(head: bytes) -> str:
    """Only a monolithic one is a whole: its magic, a capacity of its own, and no parent."""
    if not head.startswith(b"KDMV") or not any(head[12:20]):
        return "its data is in other files (extents)"
    return "it names a parent" if b"parentFileNameHint" in head[_VMDK_DESCRIPTOR] else ""


def _ends(file: str) -> tuple[bytes, bytes]:
    with open(file, "rb") as data:
        head = data.read(_HEAD)
        data.seek(max(0, os.fstat(data.fileno()).st_size - 512))
        return head, data.read(512)
