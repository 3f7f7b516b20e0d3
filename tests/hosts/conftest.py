# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.harness.fixtures import boot, home

__all__ = ["boot", "home", "hypervisors"]


@pytest.fixture(scope="session")
def hypervisors():
    """The inventory's file, and what it holds: hv1 and hv2, which scripts/test boots."""
    file = os.environ.get("MAQET_TEST_HYPERVISORS")
    if not file:
        pytest.skip("root boots the hypervisors: ./scripts/test hosts")
    return file, json.loads(Path(file).read_text())["all"]
