# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a QEMU of these tests lives, and the files that it is given."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._host.firmware import find_firmware
from ansible_collections.maqet.qemu.tests.cases.situations import make_files
from ansible_collections.maqet.qemu.tests.harness.home import Home
from ansible_collections.maqet.qemu.tests.harness.network import network
from ansible_collections.maqet.qemu.tests.qemu.machine import free_ports


@pytest.fixture
def short_path():
    """A directory whose path leaves room for sockets."""
    path = tempfile.mkdtemp(prefix="maqet-")
    yield Path(path)
    shutil.rmtree(path)


@pytest.fixture
def words(short_path, files):
    """What the words of the data cases stand for here."""
    for name in ("dir", "run"):
        (short_path / name).mkdir()
    ports = free_ports(5)
    folders = {"files": files, "dir": short_path / "dir", "run": short_path / "run"}
    return {**folders, "port": ports[0], "port2": ports[1], "auto": ports[2], "tap": "maqet-tap", "firmware": firmware}


def firmware(spec):
    """The UEFI image of this host for a machine that names its versioned type."""
    return find_firmware(spec["arch"], {"q35": "pc-q35-7.2", "virt": "virt-7.2"}.get(spec["machine"], spec["machine"]), secure=spec["secure_boot"])


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """Files that the cases name."""
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


def pytest_collection_modifyitems(items):
    """The longest one first, while others are still to be had beside it."""
    items.sort(key=lambda item: item.name != "test_random_ways")


@pytest.fixture
def scratch_home(short_path, tmp_path_factory):
    """A home of a user who has no user manager; what QEMU says of itself is asked once for all."""
    home = Home(short_path)
    home.cache = tmp_path_factory.getbasetemp() / "cache"
    home.runtime = short_path / "xdg"
    home.runtime.mkdir(mode=0o700)
    yield home
    home.close()


@pytest.fixture
def networks(scratch_home):
    """Makes networks, drivers by name, for a machine that need not go before them."""
    made = {}

    def make(drivers, machine):
        for name, driver in drivers.items():
            network(scratch_home, name, driver=driver, supervisor="process")
            made[name] = machine
        return bool(drivers)

    yield make
    for name, machine in made.items():
        network(scratch_home, name, state="absent", leaving=(machine,))
