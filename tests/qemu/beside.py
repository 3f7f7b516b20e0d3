# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a case needs beside QEMU: its helpers, run by hand, and devices of the host."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError
from ansible_collections.maqet.qemu.plugins.module_utils._host.helpers import find_helper
from ansible_collections.maqet.qemu.plugins.module_utils._host.hub import port_parts
from ansible_collections.maqet.qemu.plugins.module_utils._host.needs import check_needs
from ansible_collections.maqet.qemu.plugins.module_utils._host.programs import find_any_qemu
from ansible_collections.maqet.qemu.plugins.module_utils._plan.network import NetworkRecord
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import helpers
from ansible_collections.maqet.qemu.plugins.module_utils._spec.network import port_path, switches
from ansible_collections.maqet.qemu.plugins.module_utils._spec.part import command_line


def skip_without_needs(spec: dict[str, Any], site: Any) -> None:
    """The case is skipped where the host lacks what it needs."""
    try:
        check_needs(spec, site)
    except HostError as exc:
        pytest.skip(str(exc))


@contextmanager
def helpers_running(spec: dict[str, Any], site: Any) -> Iterator[None]:
    skip_without_needs(spec, site)
    started = []
    try:
        for name in set(switches(spec).values()):
            started.append(_switch(name, site._replace(spec=spec)))
        for helper in helpers(spec, site):
            if helper.folder:
                os.mkdir(helper.folder)
            process = subprocess.Popen(find_helper(helper).argv, cwd=site.directory, stdin=subprocess.DEVNULL)
            started.append(process)
            _await(helper.socket, process)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _switch(name: str, site: Any) -> subprocess.Popen[bytes]:
    """What a network's cards are on, with a port for each of this machine's where it is a hub."""
    there = site.identity["switches"][name]
    os.mkdir(there["path"], 0o700)
    record = NetworkRecord(name, "process", "", there["path"], declared={"uplink": "none", "links": {}}, medium=there["medium"])
    (first, *rest) = record.programs["switch"].argv
    cards = [nic for nic, switch in switches(site.spec).items() if switch == name]
    ports = [part for nic in cards for part in port_parts(port_path(there["path"], site.name, nic))]
    if there["medium"] == "vde" and not shutil.which(first):
        pytest.skip("no vde_switch is installed")
    argv = [first, *rest] if there["medium"] == "vde" else [find_any_qemu(), *rest, *command_line(ports)]
    # vde_switch ends when its standard input does.
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _await(f"{there['path']}/vde/ctl" if there["medium"] == "vde" else port_path(there["path"], site.name, cards[0]), process)
    return process


def _await(path: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while not (os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode)):
        assert process.poll() is None and time.monotonic() < end, process.args
        time.sleep(0.01)
