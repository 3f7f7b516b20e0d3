# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What some options need of this host beside files to read."""

from __future__ import annotations

import os
import stat
from typing import Any

from .._errors import HostError
from .._spec.cloud_init import has_seed
from .._spec.declaration import helpers
from .._spec.site import Site
from .helpers import find_helper
from .seed import find_library

_VSOCK = "/dev/vhost-vsock"
_BRIDGE_CONF = "/etc/qemu/bridge.conf"
_IFF_TAP = 2


def check_needs(spec: dict[str, Any], site: Site) -> None:
    """
    :raises HostError: naming the option and what is missing.
    """
    for name, share in spec["shares"].items():
        _check_directory(f"shares[{name}].path", share["path"], write=not share["readonly"])
    for helper in helpers(spec, site):
        find_helper(helper)
    if spec["vsock"]:
        _check_vsock()
    if has_seed(spec):
        find_library()
    for name, nic in spec["nics"].items():
        if nic["network"] in ("bridge", "tap"):
            check = _why_no_bridge if nic["network"] == "bridge" else _why_no_tap
            reason, hint = check(nic["interface"])
            if reason:
                raise HostError(f"nics[{name}].interface: {reason}", hint=hint, path=f"nics[{name}].interface")


def _check_directory(option: str, path: str, *, write: bool) -> None:
    if not os.path.isdir(path):
        what = "is no directory" if os.path.exists(path) else "does not exist"
        raise HostError(f"{option}: {path} {what}", hint="Name a directory of the host that runs the machine", path=option)
    if not os.access(path, os.R_OK | os.X_OK):
        raise HostError(f"{option}: {path} may not be read by this user", hint="Check its mode and its directories' modes", path=option)
    if write and not os.access(path, os.W_OK):
        raise HostError(f"{option}: {path} may not be written by this user", hint="Check its mode, or say readonly: true", path=option)


def _check_vsock() -> None:
    if not os.path.exists(_VSOCK):
        raise HostError(f"vsock: {_VSOCK} does not exist", hint="As root: modprobe vhost_vsock (and its name into /etc/modules-load.d)", path="vsock")
    if not os.access(_VSOCK, os.R_OK | os.W_OK):
        raise HostError(f"vsock: {_VSOCK} may not be opened by this user", hint="As root: add the user to its group (kvm on Debian)", path="vsock")


def find_bridge_helper() -> str:
    """QEMU's program that opens taps on bridges for users.

    :raises HostError: it is not installed.
    """
    for place in ("/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper"):
        if os.path.exists(place):
            return place
    raise HostError("the program qemu-bridge-helper is not installed", hint="Install QEMU's package that has it (qemu-system-common on Debian)")


def _why_no_bridge(interface: str) -> tuple[str, str]:
    """The reason, and what to do."""
    if not os.path.isdir(f"/sys/class/net/{interface}/bridge"):
        return _why_no_interface(interface, "bridge"), f"As root: ip link add {interface} type bridge; or name another"
    helper = find_bridge_helper()
    facts = os.stat(helper)
    with_rights = (facts.st_mode & stat.S_ISUID and facts.st_uid == 0) or "security.capability" in os.listxattr(helper)
    if os.geteuid() and not with_rights:
        return f"{helper} has no rights to join a bridge", f"As root: dpkg-statoverride --update --add root root 4755 {helper} (elsewhere chmod u+s)"
    try:
        with open(_BRIDGE_CONF, encoding="utf-8") as file:
            rules = [line.split() for line in file if line.strip()]
    except FileNotFoundError:
        rules = []
    except PermissionError:
        return "", ""  # only root may know
    if not any(rule[0] == "include" or rule in (["allow", interface], ["allow", "all"]) for rule in rules):
        return f"{_BRIDGE_CONF} allows nobody to join {interface}", f"As root: mkdir -p /etc/qemu && echo allow {interface} >>{_BRIDGE_CONF}"
    return "", ""


def _why_no_tap(interface: str) -> tuple[str, str]:
    make = f"As root: ip tuntap add dev {interface} mode tap user {os.getuid()} && ip link set {interface} up"
    flags, owner, group = (_number(f"/sys/class/net/{interface}/{fact}") for fact in ("tun_flags", "owner", "group"))
    if flags is None or not flags & _IFF_TAP:
        return _why_no_interface(interface, "tap"), make
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun may not be opened by this user", "As root: modprobe tun; chmod 0666 /dev/net/tun"
    # -1: everybody's (tun_not_capable() of Linux).
    if os.geteuid() and (owner not in (-1, os.getuid()) or group not in (-1, os.getgid(), *os.getgroups())):
        return f"{interface} belongs to another user or group", make
    return "", ""


def _why_no_interface(interface: str, kind: str) -> str:
    there = os.path.exists(f"/sys/class/net/{interface}")
    return f"{interface} is no {kind}" if there else f"the host has no interface {interface}"


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(), 0)
    except OSError:
        return None
