# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""QMP commands checked against a schema before anything is sent."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.qmp_schema import QmpSchema, is_read, secrets
from ansible_collections.maqet.qemu.tests.cases.data import load

SCHEMA = QmpSchema(load("qmp_schema.yml"))
CASES = [pytest.param(case, id=case["name"]) for case in load("qmp.yml")]


@pytest.mark.parametrize("case", CASES)
def test_command(case):
    if "says" in case:
        with pytest.raises(SpecError) as caught:
            SCHEMA.check(case["command"], "commands[0]")
        assert [word for word in ["commands[0]", *case["says"]] if word not in str(caught.value)] == []
        return
    SCHEMA.check(case["command"], "commands[0]")
    assert is_read(case["command"]) == case["reads"]
    assert secrets(case["command"]) == set(case.get("secrets", ()))


@pytest.mark.parametrize("argument", ["data", "file"])
def test_secrets_of_objects(argument):
    command = {"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", argument: "hunter2"}}
    assert secrets(command) == ({"hunter2"} if argument == "data" else set())


def test_secrets_in_lists():
    command = {"execute": "transaction", "arguments": {"actions": [{"data": {"password": "a"}}, {"data": {"x-secret": "b"}}]}}
    assert secrets(command) == {"a", "b"}
