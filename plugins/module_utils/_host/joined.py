# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Join bridges of the host, then become QEMU. Run from a machine's directory as a program of its own.

QEMU could have its bridge helper run itself, but not within the sandbox that denies it other programs and other users'
rights. So the helper (setuid root) runs before there is a QEMU, and QEMU gets the open taps.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS of prctl(2)


def join(helper: str, bridge: str, descriptor: int) -> None:
    """A tap on the bridge, open as ``descriptor``."""
    ours, its = socket.socketpair()
    with ours, its:
        done = subprocess.run([helper, "--use-vnet", f"--fd={its.fileno()}", f"--br={bridge}"], stdin=subprocess.DEVNULL, pass_fds=[its.fileno()], check=False)
        if done.returncode:
            raise SystemExit(f"{helper} cannot join the bridge {bridge}")
        received = socket.recv_fds(ours, 1, 1)[1]
    os.dup2(received[0], descriptor)
    os.close(received[0])


def main() -> None:
    """Arguments: the helper, ``<descriptor>=<bridge>``…, ``--``, QEMU's command line."""
    split = sys.argv.index("--")
    for pair in sys.argv[2:split]:
        descriptor, _equals, bridge = pair.partition("=")
        join(sys.argv[1], bridge, int(descriptor))
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    os.execv(sys.argv[split + 1], sys.argv[split + 1 :])  # noqa: S606


if __name__ == "__main__":
    main()
