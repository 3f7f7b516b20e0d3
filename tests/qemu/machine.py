# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real QEMU, stopped at its first instruction."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.maqet.qemu.plugins.module_utils._host.firmware import make_nvram
from ansible_collections.maqet.qemu.plugins.module_utils._host.seed import make_volume
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import blueprint, declare, private_files
from ansible_collections.maqet.qemu.plugins.module_utils._spec.disk_file import disk_files
from ansible_collections.maqet.qemu.plugins.module_utils._spec.firmware import image as firmware_image
from ansible_collections.maqet.qemu.plugins.module_utils._spec.firmware import nvram_name
from ansible_collections.maqet.qemu.plugins.module_utils._spec.part import command_line
from ansible_collections.maqet.qemu.tests.cases.data import fill, site_for
from ansible_collections.maqet.qemu.tests.harness.wire import Wire
from ansible_collections.maqet.qemu.tests.qemu.beside import helpers_running


@contextmanager
def running(argv: list[str], monitor: str):
    """The QEMU of ``argv`` with its virtual CPUs stopped; ended when done with, whatever happened."""
    process = subprocess.Popen([*argv, "-S"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        qmp = first_answer(process, monitor)
        yield qmp
        qmp.ask("quit")
        qmp.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def first_answer(process: subprocess.Popen[bytes], monitor: str) -> Wire:
    """The monitor's session as soon as it listens."""
    end = time.monotonic() + 20
    while True:
        try:
            return Wire(monitor)
        except (FileNotFoundError, ConnectionRefusedError):
            assert process.poll() is None and time.monotonic() < end, process.communicate()[1].decode()
            time.sleep(0.01)


@contextmanager
def case_running(case: dict[str, Any], words: dict[str, Any]):
    """The QEMU of a spec case, asked on the monitor that is the user's."""
    case = fill(case, words)
    spec = declare(case["given"])
    site = site_for(spec, words)
    make_disks(spec, site)
    argv = [f"qemu-system-{spec['arch']}", *command_line(blueprint(spec, site)), *spec["extra_args"]]
    with helpers_running(spec, site), running(argv, site.sockets["monitor"]) as qmp:
        yield case, qmp


def make_disks(spec: dict[str, Any], site: Any) -> None:
    for disk in disk_files(spec, site):
        if disk.owned:
            image = spec["images"].get(disk.image, {}).get("path", disk.image)
            size = [str(disk.size)] if disk.size else []
            if disk.copy:
                subprocess.run(["qemu-img", "convert", "-O", disk.format, image, disk.file], check=True)
                subprocess.run(["qemu-img", "resize", "-q", "-f", disk.format, disk.file, *size], check=True)
            else:
                base = ["-b", image, "-F", "qcow2"] if image else []
                subprocess.run(["qemu-img", "create", "-q", "-f", disk.format, *base, disk.file, *size], check=True)
    if nvram_name(spec):
        make_nvram(firmware_image(spec, site)["template"], f"{site.directory}/{nvram_name(spec)}")
    for path, content in private_files(spec, site):
        Path(path).write_bytes(content.encode() if isinstance(content, str) else make_volume(content))


def free_ports(count: int) -> list[int]:
    """Ports in a row that nobody listens on."""
    for first in range(33000 + os.getpid() % 1000 * 20, 60000, count):
        if all(is_free(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise OSError("no free ports")


def is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
