# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host can do for machines, and what is in the way."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from typing import Any

from ._errors import MaqetError
from ._host import accel, systemd
from ._host.command import find_program
from ._host.host import Host
from ._host.paths import SOCKET_PATH_MAX
from ._host.probe import find_qemu, qemu_facts
from ._spec.machine import default_arch, default_machine

_TOOLS = ("qemu-img", "systemctl", "setsid", "swtpm", "virtiofsd", "vde_switch", "vde_plug", "dpipe", "passt", "tesseract", "zstd")
_NEEDED = {"qemu-img": "Install qemu-utils (Debian) or qemu-img (Fedora)", "setsid": "Install util-linux"}
_VERSIONS = {"qemu.qmp": ">=0.0.5,<0.1", "jsonschema": ">=4.10", "jeepney": ">=0.8", "pexpect": ">=4.8", "Pillow": ">=9", "pycdlib": ">=1.12", "PyYAML": ">=6"}
_LIBRARIES = {name: name + version for name, version in _VERSIONS.items()}


def diagnose(arch: str | None, *, check: bool) -> dict[str, Any]:
    """``maqet_host_info``'s ``host``.

    :param check: cache nothing that was asked of QEMU.
    """
    host, arch = Host(), arch or default_arch()
    facts: dict[str, Any] = {
        "arch": arch,
        "qemu": _qemu(host, arch, keep=not check),
        "accelerators": _accelerators(arch),
        "user_manager": _user_manager(host),
        "user": _user(),
        "tools": {name: _path(name) for name in _TOOLS},
        "libraries": {**{name: _version(name) for name in _LIBRARIES}, "sqlite": sqlite3.sqlite_version},
        "limits": _limits(host),
        "paths": host.paths._asdict(),
    }
    facts["networks"] = _networks(facts)
    facts["problems"] = _problems(facts)
    return facts


def _qemu(host: Host, arch: str, *, keep: bool) -> dict[str, Any]:
    try:
        path = find_qemu(arch)
        known = asyncio.run(qemu_facts(host.paths, path, keep=keep))
    except MaqetError as exc:
        return {"path": None, "version": None, "machines": [], "default_machine": None, "netdevs": [], "kvm": False, "reason": str(exc)}
    machines = known["machines"]
    return {
        "path": path,
        "version": known["version"],
        "machines": sorted(set(machines.values())),
        "default_machine": machines.get(default_machine(arch)),
        "netdevs": known["netdevs"],
        "kvm": known["kvm"],
        "reason": "",
    }


def _networks(facts: dict[str, Any]) -> dict[str, Any]:
    switch = "vde" if facts["tools"]["vde_switch"] and "vde" in facts["qemu"]["netdevs"] else "hub"
    return {"switch": switch, "links": switch == "vde" and bool(facts["tools"]["vde_plug"] and facts["tools"]["dpipe"] and _path("ssh"))}


def _accelerators(arch: str) -> dict[str, Any]:
    reason = accel.why_no_kvm(arch)
    return {"kvm": {"usable": not reason, "reason": reason}, "tcg": {"usable": True, "reason": ""}}


def _user_manager(host: Host) -> dict[str, Any]:
    runtime = host.paths.runtime
    reason = systemd.why_unusable(runtime)
    name = _user()["name"]
    return {
        "usable": not reason,
        "reason": reason,
        "version": systemd.manager_version(),
        "runtime": runtime,
        "linger": os.path.exists(f"/var/lib/systemd/linger/{name}"),
    }


def _user() -> dict[str, Any]:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return {"name": name, "uid": os.getuid(), "groups": sorted(_group(gid) for gid in {os.getgid(), *os.getgroups()})}


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _path(name: str) -> str | None:
    try:
        return find_program(name)
    except MaqetError:
        # virtiofsd is no command: distributions keep it beside QEMU's other helpers.
        places = [f"{directory}/{name}" for directory in ("/usr/lib/qemu", "/usr/libexec")]
        return next((place for place in places if os.access(place, os.X_OK)), None)


def _version(library: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _limits(host: Host) -> dict[str, Any]:
    place = host.paths.data
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    return {
        "cpus": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "free_space": shutil.disk_usage(place).free,
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "socket_path_room": SOCKET_PATH_MAX - len(os.fsencode(host.paths.run_dir("x"))) - len("/monitor.sock"),
    }


def _problems(facts: dict[str, Any]) -> list[dict[str, str]]:
    """What is in the way, the worst first."""
    found = [*_lacking(facts), *_host_problems(facts)]
    return [{"problem": problem, "fix": fix} for problem, fix in found]


def _lacking(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["qemu"]["reason"]:
        yield facts["qemu"]["reason"], f"Install QEMU for {facts['arch']} (qemu-system-x86 on Debian for x86_64)"
    for tool, fix in _NEEDED.items():
        if not facts["tools"][tool]:
            yield f"the program {tool} is missing", fix
    for library, requirement in _LIBRARIES.items():
        if not facts["libraries"][library]:
            yield f"the Python library {library} is missing", f"pip install '{requirement}' for the interpreter that runs the modules"


def _host_problems(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    user, manager, kvm = facts["user"]["name"], facts["user_manager"], facts["accelerators"]["kvm"]
    if kvm["reason"]:
        for_group = f"usermod -aG kvm {user}, then log in again"
        yield f"kvm is not used: {kvm['reason']}", for_group if "group" in kvm["reason"] else "None here: machines run on tcg, slower"
    if not manager["usable"]:
        fix = f"loginctl enable-linger {user} as root; without systemd nothing restarts a machine that failed"
        yield f"machines run without systemd: {manager['reason']}", fix
    elif not manager["linger"]:
        yield f"{user} does not linger: machines end with the last session", f"loginctl enable-linger {user} as root"
    if facts["limits"]["socket_path_room"] < 0:
        yield "socket paths are too long", "Use a shorter XDG_RUNTIME_DIR or TMPDIR"
