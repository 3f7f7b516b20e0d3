# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every declaration of the data cases as the real QEMU takes it: at its start, and while it runs."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._spec import cloud_init, handed, image, smbios
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, blueprint, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import walk
from ansible_collections.maqet.qemu.plugins.module_utils._spec.part import hot_plug
from ansible_collections.maqet.qemu.tests.cases.data import contains, fill, site_for, spec_cases
from ansible_collections.maqet.qemu.tests.qemu.beside import helpers_running
from ansible_collections.maqet.qemu.tests.qemu.machine import case_running, make_disks, running

CASES = [pytest.param(case, id=case["name"]) for case in spec_cases()]
# The host keeps these to itself: QEMU is not told.
OF_THE_HOST = {
    "labels",
    "protect",
    "cloud_init_on_change",
    "disks.on_remove",
    "restart_policy",
    "on_failure",
    "on_failure.unit",
    "on_failure.command",
    "resources",
    "resources.memory_max",
    "resources.cpu_quota",
    "resources.cpu_weight",
    "resources.io_weight",
}
# Shown by what they do: test_discard, test_board.py, test_helpers.py of the tier modules, the guests' own tests.
SHOWN_ELSEWHERE = {"disks.discard", "watchdog.action", "nics.link", "balloon", "shares.path", "shares.readonly"}
OF_THE_HOST |= {path for path, _option in walk(image.OPTIONS)}
SHOWN_ELSEWHERE |= {path for path, _option in walk((*smbios.OPTIONS, *cloud_init.OPTIONS, *handed.OPTIONS))} | {"nics.gateway", "nics.dns"}
# Video and ISA devices do not come and go.
FIXED = {"VGA", "virtio-gpu-pci", "virtio-vga", "bochs-display", "qxl-vga", "cirrus-vga", "vmware-svga", "ati-vga", "ramfb", "ib700"}
# These need a program that runs beside QEMU, or a device of the host.
FIXED |= {"tpm-crb", "tpm-tis-device", "vhost-user-fs-pci", "vhost-vsock-pci"}
# Drives at the board's own ports, and memory where no room was left for it.
FIXED |= {"ide-hd", "ide-cd", "virtio-mem-pci"}


@pytest.mark.parametrize("case", CASES)
def test_start(case, words):
    with case_running(case, words) as (filled, qmp):
        assert qmp.ask("query-status")["status"] == "prelaunch"
        for option, look in filled.get("seen", {}).items():
            answer = qmp.ask(look["ask"], **look.get("arguments", {}))
            assert contains(answer, look["answer"]), (option, answer)
            assert len(answer) == look.get("count", len(answer)) if isinstance(answer, list) else True, (option, answer)


def test_every_option_is_seen():
    seen = {option for case in spec_cases() for option in {**case.get("seen", {}), **case.get("told", {})}}
    assert {path for path, option in walk(OPTIONS)} - seen - OF_THE_HOST - SHOWN_ELSEWHERE == set()


@pytest.mark.parametrize("case", CASES)
def test_hot_plug(case, words):
    """The same dicts over QMP, on a board whose bus takes devices at any time."""
    spec = declare(fill(case["given"], words))
    site = site_for(spec, words)
    site = site._replace(identity={**site.identity, "slots": {}, "pcie_ports": 0})
    make_disks(spec, site)
    hot = [part for part in blueprint(spec, site) if part.kind in ("object", "blockdev", "netdev", "device")]
    argv = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-nodefaults", "-display", "none"]
    argv += ["-chardev", "null,id=agent", "-chardev", "null,id=vdagent"]
    argv += ["-qmp", f"unix:{site.sockets['monitor']},server=on,wait=off"]
    with helpers_running(spec, site), running(argv, site.sockets["monitor"]) as qmp:
        for part in hot:
            if part.kind == "device" and part.value["driver"] in FIXED:
                continue
            command = hot_plug(part)
            assert qmp.ask(command["execute"], **command["arguments"]) == {}, part


@pytest.mark.parametrize("discard", ["unmap", "ignore"])
def test_discard(discard, words):
    case = {"given": {"disks": [{"name": "root", "size": "8MiB", "format": "raw", "discard": discard}]}}
    file = words["dir"] / "root.raw"
    with case_running(case, words) as (_filled, qmp):
        for line in ("write 0 4M", "discard 0 4M", "flush"):
            words_back = qmp.ask("human-monitor-command", **{"command-line": f'qemu-io -d /machine/peripheral/disk-root/virtio-backend "{line}"'})
            assert "rror" not in words_back, words_back
        assert (file.stat().st_blocks * 512 < 1 << 20) == (discard == "unmap")
