# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether QEMU was built with what a machine needs; distributions put some of it into packages of their own."""

from __future__ import annotations

from .._errors import HostError
from .._plan.record import Record
from .._spec.declaration import qemu_types as wanted_types
from .host import Host
from .probe import find_qemu, qemu_types

_PACKAGES = {
    "chardev-spicevmc": "qemu-system-modules-spice on Debian 13, qemu-ui-spice-core on Fedora",
    "qxl-vga": "qemu-system-modules-spice on Debian 13, qemu-device-display-qxl on Fedora",
}


async def check_build(host: Host, new: Record) -> None:
    """Nothing is stored: check mode comes here too.

    :raises HostError: naming the option, and the package where one is known.
    """
    wanted = wanted_types(new.declared)
    binary = find_qemu(new.declared["arch"])
    for fresh in (False, True):
        if not wanted:
            return
        async with host.probing:
            known = set(await qemu_types(host.paths, binary, keep=False, fresh=fresh))
        wanted = [(option, name) for option, name in wanted if name not in known]
    if not wanted:
        return
    option, name = wanted[0]
    package = f"Install it ({_PACKAGES[name]}), or use another" if name in _PACKAGES else "Use another"
    raise HostError(f"{option}: {binary} has no {name}", hint=package, path=option)
