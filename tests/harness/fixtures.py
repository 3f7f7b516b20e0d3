# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for the conftest.py of each tier."""

from __future__ import annotations

import platform

import pytest

from .guest import find_guest
from .home import Home
from .web import Web


@pytest.fixture
def home(tmp_path):
    scratch = Home(tmp_path)
    yield scratch
    scratch.close()


@pytest.fixture(params=["systemd", "process"])
def supervisor(request):
    return request.param


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture(scope="session")
def boot():
    """``boot`` of a guest with busybox, an agent, a web server on port 80 and a shell on its console."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest is made of Debian's amd64 packages")
    return find_guest()
