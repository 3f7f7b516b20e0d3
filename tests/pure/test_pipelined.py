# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Over which connections modules are pipelined though nobody said so."""

from __future__ import annotations

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.maqet.qemu.plugins.plugin_utils._pipelined import pipeline


@pytest.mark.parametrize("kind", ["local", "ssh"])
@pytest.mark.parametrize(
    ("variables", "become", "expected"),
    [({}, None, True), ({"ansible_pipelining": False}, None, False), ({"ansible_pipelining": True}, "sudo", True), ({}, "sudo", False)],
    ids=str,
)
def test_where_nobody_said_so(kind, variables, become, expected):
    connection = connection_loader.get(kind, PlayContext(), None)
    connection.set_options(var_options=variables)
    if become:
        connection.set_become_plugin(become_loader.get(become))
    pipeline(connection, Task())
    assert connection.get_option("pipelining") == expected
