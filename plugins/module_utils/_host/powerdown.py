# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a machine's guest to power down and wait for its end; systemd runs this as the unit's ``ExecStop=``.

It is copied into the machine's directory, since the collection is not there when a host shuts down:
``python3 powerdown.py <qmp socket> <pid> <seconds>``.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys


async def powerdown(path: str) -> None:
    """One ACPI power button."""
    from qemu.qmp import QMPClient

    client = QMPClient("powerdown")
    await client.connect(path)
    await client.execute("system_powerdown")
    await client.disconnect()


def main(path: str, pid: str, seconds: str) -> None:
    try:
        process = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return
    try:
        asyncio.run(asyncio.wait_for(powerdown(path), 5))
    except Exception as exc:  # noqa: BLE001 - systemd's own signals follow, whatever went wrong here
        sys.stderr.write(f"powerdown: {exc!r}\n")
        return
    select.select([process], [], [], float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
