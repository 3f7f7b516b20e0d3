# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same QMP commands against the schema of the QEMU that is installed."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.qmp_schema import QmpSchema
from ansible_collections.maqet.qemu.tests.cases.data import load
from ansible_collections.maqet.qemu.tests.qemu.machine import running


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    monitor = tmp_path_factory.mktemp("q") / "monitor.sock"
    argv = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", "-qmp", f"unix:{monitor},server=on,wait=off"]
    with running(argv, str(monitor)) as qmp:
        return QmpSchema(qmp.ask("query-qmp-schema"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("qmp.yml")])
def test_command(case, schema):
    if "says" not in case:
        schema.check(case["command"], "commands[0]")
        return
    with pytest.raises(SpecError) as caught:
        schema.check(case["command"], "commands[0]")
    assert [word for word in case["says"] if word not in str(caught.value)] == []
