# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions: what a user may write, what is said of mistakes, and which can never be met."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._host.conditions import KINDS as WAITED_FOR
from ansible_collections.maqet.qemu.plugins.module_utils._spec.condition import (
    ANY_STATUS,
    KINDS,
    OPTIONS,
    STATUSES,
    check_conditions,
    check_possible,
    conditions,
    schema,
    typed,
    ways,
)
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.moment import parse_moment
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import argument_spec

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/conditions.yml").read_text())
SCHEMA = jsonschema.Draft202012Validator(schema())


@pytest.mark.parametrize("item", CASES["good"], ids=str)
def test_what_may_be_written(item):
    check_conditions([item], "ready")
    SCHEMA.validate(item)
    (condition,) = conditions([item])
    assert str(condition).startswith(condition.kind) and condition.timeout == item.get("timeout")
    assert condition.kind not in ("port", "event") or isinstance(condition.value, dict)


@pytest.mark.parametrize("case", CASES["wrong"], ids=lambda case: str(case["item"]))
def test_what_is_said_of_mistakes(case):
    with pytest.raises(SpecError) as error:
        check_conditions([{"agent": True}, case["item"]], "ready")
    assert [words for words in case["says"] if words not in str(error.value)] == []


def test_a_list_is_needed():
    with pytest.raises(SpecError, match=r"vms\.web\.ready: .* is not a list"):
        check_conditions({"agent": True}, "vms.web.ready")


@pytest.mark.parametrize("case", CASES["never"], ids=lambda case: str(case["item"]))
def test_what_a_machine_can_never_meet(case):
    with pytest.raises(SpecError) as error:
        check_possible(conditions([case["item"]]), declare(case["of"]), "ready")
    assert [words for words in case["says"] if words not in str(error.value)] == []


@pytest.mark.parametrize("case", CASES["ways"], ids=lambda case: str(case["of"]))
def test_ways_to_a_port(case):
    (condition,) = conditions([{"port": case["port"]}])
    spec = declare(case["of"])
    check_possible([condition], spec, "ready")
    assert [list(way) for way in ways(condition.value, spec, {})] == case["found"]


def test_each_kind_is_waited_for():
    assert set(WAITED_FOR) == set(KINDS) == {option.name for option in OPTIONS} - {"timeout"}


def test_what_has_a_short_form_is_raw():
    assert argument_spec(OPTIONS)["port"] == {"type": "raw"} and argument_spec(OPTIONS)["timeout"] == {"type": "float"}


@pytest.mark.parametrize("case", CASES["typed"], ids=str)
def test_texts_of_numbers_are_numbers(case):
    assert typed([case["given"]]) == [case["taken"]]
    check_conditions(typed([case["given"]]), "conditions")


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_task_can_wait_for(status):
    check_conditions([{"status": status}], "conditions", ANY_STATUS)


@pytest.mark.parametrize("case", CASES["moments"], ids=str)
def test_moments(case):
    text, moment = case
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "12:00:00", "2026-13-01"])
def test_what_is_no_moment(text):
    with pytest.raises(SpecError, match=r"since: .* is no time"):
        parse_moment(text)


class Text(str):
    """As Ansible has texts on the controller."""


class Number(int):
    """And numbers."""


def test_what_ansible_makes_of_texts_and_numbers_is_taken():
    items = [{Text("serial"): Text("login: $"), "timeout": Number(5)}, {"port": Number(22)}, {"command": [Text("true")]}]
    check_conditions(typed(items), "ready")
    with pytest.raises(SpecError, match=r"ready\[0\].port: "):
        check_conditions(typed([{"port": True}]), "ready")
