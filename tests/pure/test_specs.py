# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What declarations become: normal form, parts, arguments, unit."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, blueprint, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.given import given
from ansible_collections.maqet.qemu.plugins.module_utils._spec.merge import merge
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import argument_spec, walk
from ansible_collections.maqet.qemu.plugins.module_utils._spec.part import command_line
from ansible_collections.maqet.qemu.plugins.module_utils._spec.service import unit_properties
from ansible_collections.maqet.qemu.tests.cases.data import fill, option_paths, site_for, spec_cases

WORDS = {"files": "/files", "dir": "/home/u/m", "run": "/run/m", "port": 20022, "port2": 20053, "auto": 20000}


def firmware(spec):
    """What a host may have."""
    image = {"code": "/fw/code.fd", "code_format": "raw", "template": "/fw/vars.fd", "template_format": "raw"}
    return {**image, "smm": spec["secure_boot"] and spec["arch"] == "x86_64"}


WORDS["firmware"] = firmware
CASES = [pytest.param(fill(case, WORDS), id=case["name"]) for case in spec_cases()]


@pytest.mark.parametrize("case", CASES)
def test_declaration_becomes(case):
    spec = declare(case["given"])
    parts = blueprint(spec, site_for(spec, WORDS))
    shown = [{part.kind: part.value} for part in parts]
    for part in case.get("has", ()):
        assert part in shown
    assert not {part.kind for part in parts} & set(case.get("lacks", ()))
    argv = command_line(parts)
    for words in case.get("argv", ()):
        assert words in [argv[start : start + len(words)] for start in range(len(argv))]
    if case.get("whole"):
        assert argv == [word for words in case["argv"] for word in words]
    assert {name: spec[name] for name in case.get("normal", ())} == case.get("normal", {})
    if "unit" in case:
        assert unit_properties(spec) == case["unit"]


@pytest.mark.parametrize("case", CASES)
def test_record_survives_json(case):
    spec = declare(case["given"])
    record = Record("m", "process", "/home/u/m", "/run/m", raw=case["given"], declared=spec, applied=spec)
    again = Record.load(json.loads(json.dumps(record.dump())))
    assert asdict(again) == asdict(record)
    assert declare(again.raw) == again.declared


@pytest.mark.parametrize("case", CASES)
def test_ansible_takes_the_same(case):
    result = ArgumentSpecValidator(argument_spec(OPTIONS)).validate(case["given"])
    assert result.error_messages == []
    assert declare(given(result.validated_parameters)) == declare(case["given"])


def test_an_element_is_known_by_a_text():
    with pytest.raises(SpecError, match=r"objects\.id: a list is not a text"):
        merge({"objects": [{"id": "y"}]}, {"objects": [{"id": ["x"]}]})


@pytest.mark.parametrize(
    "card", [{"address": "fec0::5%eth0"}, {"address": "fec0::5", "dns": ["fe80::1%eth0"]}, {"address": "fec0::5", "gateway": "fe80::1%2"}], ids=str
)
def test_an_address_has_no_zone(card):
    """It would be the name of an interface of one host."""
    with pytest.raises(SpecError, match=r"nics\[l\].*%.* is no "):
        declare({"arch": "x86_64", "nics": [{"name": "l", **card}]})


def test_every_option_is_in_a_case():
    covered = set().union(*(option_paths(case["given"]) for case in spec_cases()))
    assert {path for path, option in walk(OPTIONS)} - covered == set()
