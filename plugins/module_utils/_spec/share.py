# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories of the host in the guest (virtiofs), each by a virtiofsd of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .helper import Helper, socket_path
from .option import Option
from .part import Part
from .site import Site

# The guest mounts a share by its tag, and a tag has at most 36 bytes (virtio 1.2, 5.11.4).
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,35}$"
_NAME_EXPECTS = "1 to 36 letters, digits, '_', '.' or '-', the first a letter or digit"

OPTIONS = (
    Option(
        "shares",
        "keyed",
        device="share-{}",
        options=(
            Option("name", required=True, pattern=_NAME_PATTERN, expects=_NAME_EXPECTS),
            Option("path", "path", required=True),
            Option("readonly", "bool", False),
        ),
    ),
)


def helpers(spec: dict[str, Any], site: Site) -> Iterator[Helper]:
    for name, share in spec["shares"].items():
        path = socket_path(site, f"share-{name}")
        argv = ["virtiofsd", f"--socket-path={path}", f"--shared-dir={share['path']}"]
        yield Helper(f"share-{name}", f"shares[{name}]", [*argv, "--readonly"] if share["readonly"] else argv, path, f"share-{name}")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for name in spec["shares"]:
        yield Part("chardev", {"backend": "socket", "id": f"share-{name}", "path": socket_path(site, f"share-{name}")})
        yield Part("device", {"driver": "vhost-user-fs-pci", "id": f"share-{name}", "chardev": f"share-{name}", "tag": name})
