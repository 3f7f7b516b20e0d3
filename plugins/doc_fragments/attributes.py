# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module supports."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  platform:
    description: Where the module runs, which is the host that runs the machines.
    support: full
    platforms: linux
  action_group:
    description: Use C(group/maqet.qemu.maqet) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - maqet.qemu.maqet
requirements:
  - python >= 3.9
  - qemu.qmp >= 0.0.5, < 0.1
  - jsonschema >= 4.10
  - jeepney >= 0.8 (for supervisor V(systemd))
  - QEMU >= 7.2
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This module does not modify state.
  diff_mode:
    support: N/A
    details: This module does not modify state.
"""
