# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's pipelining for our modules, where nobody said whether to use it: decision 31."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleError

# With that variable Python reads a script on its standard input byte by byte, which takes longer than the task. Empty is as if unset.
_BUFFERED = {"PYTHONUNBUFFERED": ""}


def pipeline(connection: Any, task: Any) -> None:
    """Hand the module to Python on its standard input: no directory, no file, nothing to remove. Not with become, since there are sudoers
    that want a terminal for it, and what is said of pipelining in the inventory, the configuration or the environment stays."""
    with suppress(AttributeError, KeyError, AnsibleError):
        _value, origin = connection.get_option_and_origin("pipelining")
        if origin == "default" and not connection.become:
            connection.set_option("pipelining", True)
        if connection.get_option("pipelining"):
            said = task.environment
            task.environment = [_BUFFERED, *(said if isinstance(said, list) else [said])]
