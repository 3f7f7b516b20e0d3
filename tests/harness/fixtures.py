# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for the conftest.py of each tier."""

from __future__ import annotations

import pytest

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
