# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written about the options: current, complete, and true of the examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.maqet.qemu.plugins.doc_fragments import devices, first_boot, machine
from ansible_collections.maqet.qemu.plugins.module_utils._plan import steps
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.given import given
from ansible_collections.maqet.qemu.plugins.module_utils._spec.merge import merge
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import argument_spec, walk
from ansible_collections.maqet.qemu.plugins.modules import maqet_vm
from ansible_collections.maqet.qemu.tests.cases.data import fill, load, spec_cases
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/schema/machine.json").read_text(encoding="utf-8"))
TABLE = (ROOT / "docs/live-changes.md").read_text(encoding="utf-8")
VALIDATOR = Draft202012Validator(SCHEMA)
DOCUMENTED = {
    name: said for fragment in (machine, devices, first_boot) for name, said in yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"].items()
}
# What the table says of each option: when a change takes effect, and how far.
ROWS = {row[1].strip(" `"): (row[3].strip(), row[4].strip()) for row in (line.split("|") for line in TABLE.splitlines()) if len(row) == 6 and "`" in row[1]}
FILES = sorted((ROOT / "docs/examples").glob("*.yml"))
MODULE = "maqet.qemu.maqet_vm"
POLICY = {"name", *maqet_vm.POLICY}
WORDS = {"files": "/f", "dir": "/d", "port": 20022, "port2": 20053}


def said_of(path):
    options, said = DOCUMENTED, {}
    for name in path.split("."):
        said = options[name]
        options = said.get("suboptions", {})
    text = said["description"]
    return " ".join([text] if isinstance(text, str) else text)


def described(schema, path=""):
    """Every schema within the schema that describes an option, by its place."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from described(inner, f"{path}{name}.")
        yield from described(inner.get("items", {}), f"{path}{name}.")


def problems(raw):
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(raw)]


@pytest.mark.skipif(not (ROOT / "scripts").exists(), reason="the scripts are no part of a built collection")
def test_what_is_written_is_current():
    place = os.pathsep.join([str(ROOT.parents[2]), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, ROOT / "scripts/_describe.py", "--check"]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": place}, capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["option"]) for case in load("changes.yml")])
def test_the_table_says_what_a_change_does(case):
    """The cases say what the plan does; the table says it too, and where a live change waits, under which conditions."""
    where = re.sub(r"\[[^]]*\](?=\.)", "[]", re.sub(r"\[[^]]*\]$", "", case.get("path", case["option"])))
    takes, far = ROWS[where]
    does = "impossible" if "refused" in case else case.get("takes", "next start")
    assert does in takes.split(" or ") or (takes.startswith("live") and far)


@pytest.mark.parametrize("path", [path for path, option in walk(OPTIONS)])
def test_every_option_has_an_example(path):
    """One that someone would paste. Where there are choices, one of them shown as a value is enough."""
    option = dict(walk(OPTIONS))[path]
    shown = [f"V({choice})" for choice in option.choices if f"V({choice})" in said_of(path)]
    assert shown or re.search(r"For example V\(", said_of(path))


def test_every_option_says_what_it_is_when_left_out():
    optional = [path for path, option in walk(OPTIONS) if not option.required]
    assert [path for path in optional if not re.search(r"left out|the default|Needed", said_of(path))] == []


def test_every_action_is_documented():
    returned = yaml.safe_load(maqet_vm.RETURN)["actions"]["contains"]["action"]["description"]
    words = {step.action for step in vars(steps).values() if isinstance(step, type) and issubclass(step, steps.Step) and isinstance(step.action, str)}
    words |= set(steps._WORDS.values())
    assert {word for word in words if word and f"V({word})" not in " ".join(returned)} == set()


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert set(dict(described(SCHEMA))) == {"name", *(path for path, option in walk(OPTIONS))}
    assert [path for path, inner in described(SCHEMA) if not (inner["title"] and inner["description"])] == []


def test_its_examples_and_defaults_are_valid():
    shown = [
        (inner, value) for _path, inner in described(SCHEMA) for value in [*inner.get("examples", ()), *([inner["default"]] if "default" in inner else [])]
    ]
    assert len(shown) > len(list(walk(OPTIONS)))
    assert [error.message for inner, value in shown for error in Draft202012Validator(inner).iter_errors(value)] == []


@pytest.mark.parametrize("case", [pytest.param(fill(case, WORDS), id=case["name"]) for case in spec_cases()])
def test_it_takes_what_we_take(case):
    assert problems({"name": "m", **case["given"]}) == []


@pytest.mark.parametrize(
    "raw, path", [({}, "$"), ({"name": "m", "memroy": "1G"}, "$"), ({"name": "m", "disks": [{"name": "r", "size": 1}]}, "$.disks[0].size")]
)
def test_it_refuses(raw, path):
    assert [error.json_path for error in VALIDATOR.iter_errors(raw)] == [path]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_example_files(file):
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert problems(raw) == []
    assert as_ansible(raw)


def test_the_examples_of_the_module():
    stored = {}
    for task in yaml.safe_load(maqet_vm.EXAMPLES):
        asked = task.get(MODULE, {})
        raw = {key: value for key, value in asked.items() if key not in POLICY}
        if raw:
            name = asked["name"]
            assert problems({"name": name, **raw}) == []
            stored[name] = merge(stored[name], raw) if asked.get("update") == "merge" else raw
            assert as_ansible(stored[name])
    assert len(stored) > 3


def as_ansible(raw):
    """The normal form; a password is a template, and Ansible makes texts of numbers."""
    raw = {"arch": "x86_64", **{key: value for key, value in raw.items() if key != "name"}}
    if "display" in raw:
        raw["display"] = {**raw["display"], "password": "secret"}
    result = ArgumentSpecValidator(argument_spec(OPTIONS)).validate(raw)
    assert result.error_messages == []
    return declare(given(result.validated_parameters))
