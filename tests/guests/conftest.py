# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.maqet.qemu.tests.harness.fixtures import boot, home, supervisor

__all__ = ["boot", "home", "supervisor"]


def pytest_collection_modifyitems(items):
    """The longest one first, while others are still to be had beside it."""
    items.sort(key=lambda item: item.path.name != "test_first_boot.py")
