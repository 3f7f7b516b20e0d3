# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import platform

import pytest
from ansible_collections.maqet.qemu.tests.harness.fixtures import home, supervisor
from ansible_collections.maqet.qemu.tests.harness.guest import find_guest

__all__ = ["boot", "home", "supervisor"]


@pytest.fixture(scope="session")
def boot():
    """``boot`` of a guest with busybox, an agent, a web server on port 80 and a shell on its console."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest is made of Debian's amd64 packages")
    return find_guest()
