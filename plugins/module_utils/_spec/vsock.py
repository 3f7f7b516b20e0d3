# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A socket between host and guest that needs no network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from .option import Option
from .part import Part
from .site import Site

OPTIONS = (Option("vsock", "bool", False, device="vsock"),)


def make_cid(uuid: str) -> int:
    """The guest's address, the same for the same machine. All users of a host share one space of addresses and nobody
    allots them, so small numbers, which others count up from 3, are left alone."""
    return (1 << 24) + int(hashlib.sha256(f"{uuid}/vsock".encode()).hexdigest()[:15], 16) % (1 << 30)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    if spec["vsock"]:
        yield Part("device", {"driver": "vhost-vsock-pci", "id": "vsock", "guest-cid": site.identity["cid"]})
