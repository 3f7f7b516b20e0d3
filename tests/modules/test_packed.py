# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A packed module is kept for the next run, for as long as no file of it has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.harness.home import task

COLLECTION = Path(__file__).parents[2]
OTHERS = (task("maqet_vm_info"), task("maqet_lab", definition={"lab": "none"}))


@pytest.fixture
def copy(tmp_path):
    """The collection in a place of its own, to be changed."""
    there = tmp_path / "copy/ansible_collections/maqet/qemu"
    for name in ("plugins", "meta"):
        shutil.copytree(COLLECTION / name, there / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(COLLECTION / "galaxy.yml", there)
    return there


def was_packed(home, copy, *tasks, **variables):
    """Whether Ansible packed any module in a run of these tasks."""
    process = home.begin(*tasks, ANSIBLE_COLLECTIONS_PATH=str(copy.parents[2]), ANSIBLE_DEBUG="1", **variables)
    said, errors = process.communicate(timeout=150)
    assert process.returncode == 0 and '"failed": false' in said, said + errors
    return "ANSIBALLZ: Creating module" in said


def found(home, task):
    """What is kept of the task's module."""
    (module,) = (name for name in task if name.startswith("maqet."))
    return list((home.cache / "maqet/packed").glob(f"*.{module.rpartition('.')[2]}-*"))


@pytest.mark.parametrize("task", OTHERS, ids=["ansible's own action", "maqet_lab"])
def test_only_what_changed_is_packed_again(home, copy, task):
    assert was_packed(home, copy, task)
    assert not was_packed(home, copy, task, task)
    (kept,) = found(home, task)
    assert kept.stat().st_mode & 0o077 == 0
    errors = copy / "plugins/module_utils/_errors.py"
    errors.write_text(errors.read_text() + "\n")
    assert was_packed(home, copy, task) and not was_packed(home, copy, task)
    (again,) = found(home, task)
    assert again.name != kept.name


def test_a_file_that_looks_the_same_is_packed_again(home, copy):
    """Of the same size, with the old one's time."""
    errors = copy / "plugins/module_utils/_errors.py"
    errors.write_text(errors.read_text() + "# 1\n")
    was = errors.stat()
    assert was_packed(home, copy, OTHERS[0])
    errors.write_text(errors.read_text().replace("# 1\n", "# 2\n"))
    os.utime(errors, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert was_packed(home, copy, OTHERS[0])


def test_what_cannot_be_kept_is_packed_each_time(home, copy):
    shutil.rmtree(home.cache / "maqet", ignore_errors=True)
    (home.cache / "maqet").mkdir()
    (home.cache / "maqet/packed").touch()
    assert was_packed(home, copy, OTHERS[0]) and was_packed(home, copy, OTHERS[0])


@pytest.mark.parametrize(("said", "copied"), [({}, False), ({"ansible_pipelining": False}, True)], ids=["nothing said", "the user's word"])
def test_a_module_is_pipelined(home, said, copied):
    for number, one in enumerate(OTHERS):
        place = home.root / f"remote-{number}"
        assert not home.play({**one, "vars": said}, ANSIBLE_REMOTE_TEMP=str(place))["failed"]
        assert place.exists() == copied


@pytest.mark.parametrize(
    ("own", "expected"), [({}, "PYTHONUNBUFFERED=''"), ({"PYTHONUNBUFFERED": "1"}, "PYTHONUNBUFFERED=1")], ids=["nothing said", "the user's word"]
)
def test_a_pipelined_module_is_read_at_once(home, own, expected):
    """Also where the controller's environment says that Python shall not buffer."""
    for one in OTHERS:
        process = home.begin({**one, "environment": {"WORD": "kept", **own}}, PYTHONUNBUFFERED="1", ANSIBLE_VERBOSITY="3")
        shown, errors = process.communicate(timeout=150)
        assert process.returncode == 0, shown + errors
        (start,) = (line for line in shown.replace("'\"'\"'", "'").splitlines() if "EXEC /bin/sh -c '" in line)
        assert f"'{expected} WORD=kept " in start
