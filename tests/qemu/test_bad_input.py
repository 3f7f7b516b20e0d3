# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong gets one clear message, changes nothing and leaves nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.cases.data import fill, load
from ansible_collections.maqet.qemu.tests.cases.situations import ON_A_MACHINE, ON_THE_HOST, ImpossibleError
from ansible_collections.maqet.qemu.tests.qemu.engine import reach

CASES = [
    pytest.param(case, check, id=f"{case['name']}{' (check)' if check else ''}")
    for case in load("bad_input.yml")
    for check in ([False] if case.get("real") or case.get("starts") else [False, True])
]


def declared(home, name, raw):
    """A machine that is there before: ``present`` with nothing declared would only ask for it."""
    outcome = reach(home, {"name": name, "state": "stopped", "supervisor": "process", "labels": {}, **raw})
    assert outcome.error is None, outcome.error


def listing(home):
    """Every path with what is in it; who holds a lock does not matter, nor what was seen of a machine that runs."""
    found = {}
    for path in sorted(path for top in (home.state, home.data, home.runtime) for path in [top, *top.rglob("*")]):
        facts = path.lstat()
        if path.parent.parent == home.runtime / "maqet" and path.name == "seen":
            continue
        found[str(path)] = (facts.st_mode, path.is_file() and "/locks/" not in str(path) and content(path))
    return found


def content(path: Path):
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except PermissionError:
        return "closed"


def prepare(case, home, words, stack):
    """The case with its words, in its situation."""
    setup = case.get("setup")
    if setup in ON_THE_HOST:
        words |= stack.enter_context(ON_THE_HOST[setup](home))
    for name, raw in case.get("stored", {}).items():
        declared(home, fill(name, words), fill(raw, words))
    if "runs" in case:
        stack.callback(reach, home, {"name": words["name"], "state": "absent", "force": True})
        declared(home, words["name"], fill(case["runs"], words))
        assert reach(home, {"name": words["name"], "state": "paused"}).error is None
    if setup in ON_A_MACHINE:
        words |= stack.enter_context(ON_A_MACHINE[setup](home, words))
    return fill(case, words)


@pytest.mark.parametrize(("case", "check"), CASES)
def test_bad_input(case, check, scratch_home, files):
    home, words = scratch_home, {"files": files, "name": "m-one", "other": "m-other"}
    with ExitStack() as stack:
        try:
            case = prepare(case, home, words, stack)
        except ImpossibleError as exc:
            pytest.skip(str(exc))
        before = listing(home)
        outcome = reach(home, {"name": words["name"], **case["given"]}, check)
        after = listing(home)
        assert outcome.error is not None, outcome
        message = str(outcome.error)
        assert [word for word in case["says"] if word not in message] == [], message
        assert outcome.error.hint, message
        assert "\n" not in message and len(message) < 500, message
        assert case.get("hides", "\0") not in message
        assert not outcome.changed
        if case.get("starts"):
            assert [path for path in after if words["name"] in path] == []
        else:
            assert {path for path in after if after[path] != before.get(path)} | set(before) - set(after) == set()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in load("bad_input.yml")])
def test_the_module_says_so(case, scratch_home, files, tmp_path):
    """The same through the module, as Ansible runs it: one message with the machine's name, and no traceback."""
    words = {"files": files, "name": "m-one", "other": "m-other"}
    with ExitStack() as stack:
        try:
            case = prepare(case, scratch_home, words, stack)
        except ImpossibleError as exc:
            pytest.skip(str(exc))
        arguments = tmp_path / "arguments.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"name": words["name"], **case["given"]}}))
        module = [sys.executable, "-m", "ansible_collections.maqet.qemu.plugins.modules.maqet_vm", str(arguments)]
        done = subprocess.run(module, env=scratch_home.environment, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failed"] and not result.get("changed"), result
    assert [word for word in case["says"] if word not in result["msg"]] == [], result["msg"]
    assert "Traceback" not in done.stdout + done.stderr
    assert case.get("hides", "\0") not in done.stdout + done.stderr


def test_torn_db_is_made_again(scratch_home):
    """Machines are known by their own directories: nothing is lost, and the user is told."""
    declared(scratch_home, "m-one", {"memory": "64MiB"})
    file = scratch_home.state / "maqet/state.db"
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    looked = reach(scratch_home, {"name": "m-one", "state": "stopped"})
    assert (looked.error, looked.changed) == (None, False)
    outcome = reach(scratch_home, {"name": "m-one", "state": "stopped", "memory": "96MiB"})
    assert (outcome.error, outcome.changed) == (None, True)
    assert "damaged" in " ".join(outcome.warnings) and str(file) in " ".join(outcome.warnings)
    again = reach(scratch_home, {"name": "m-one", "state": "stopped", "memory": "96MiB"})
    assert (again.error, again.changed, again.warnings) == (None, False, [])
