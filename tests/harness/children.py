# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python in a child process: to be killed there, or to have a small disk of its own."""

from __future__ import annotations

import ctypes
import os
import traceback

_NEW_USER, _NEW_MOUNTS, _REMOUNT = 0x10000000, 0x00020000, 32


class Child:
    """A child that does ``work``; :meth:`end` gives its exit code, negative for a signal."""

    def __init__(self, work):
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not go on as a second pytest
            traceback.print_exc()
        os._exit(code)

    def end(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def in_a_small_disk(directory, work):
    """In a child: ``work(resize)`` where ``directory`` is a file system of its own, as any user may have one (user_namespaces(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()

    def do(function, *words):
        if function(*words):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def mount(size, flags):
        do(libc.mount, b"tmpfs", os.fsencode(directory), b"tmpfs", flags, f"size={size}".encode())

    do(libc.unshare, _NEW_USER | _NEW_MOUNTS)
    for file, words in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{file}", "w", encoding="ascii") as out:
            out.write(words)
    os.makedirs(directory, exist_ok=True)
    mount(1 << 20, 0)
    work(lambda size: mount(size, _REMOUNT))
