# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that run beside a machine's QEMU and serve it at a socket."""

from __future__ import annotations

from typing import NamedTuple

from .site import Site

# sun_path holds 108 bytes (unix(7)), and passt cuts a path off after 98 (its UNIX_PATH_MAX is 100).
_PATH_MAX = 98


class Helper(NamedTuple):
    """
    :param name: of its unit and of its log, among the machine's.
    :param option: what wants it, for messages.
    :param argv: its first word is a program's bare name; it runs in the machine's directory.
    :param socket: where it listens; device: what has nothing behind it when the program is gone.
    :param folder: a directory of its own, made before it starts.
    """

    name: str
    option: str
    argv: list[str]
    socket: str
    device: str
    folder: str = ""


def socket_path(site: Site, name: str) -> str:
    """Where a helper listens: in the machine's directory, since AppArmor's profiles of swtpm and passt open the home and
    not the runtime directory to them. A path that is too long, or has swtpm's separator, is in the runtime directory."""
    near = f"{site.directory}/{name}.sock"
    if len(near.encode()) <= _PATH_MAX and "," not in near:
        return near
    return f"{site.sockets['qmp'].rpartition('/')[0]}/{name}.sock"
