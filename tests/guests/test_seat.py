# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``console``, on Alpine Linux without an agent; and its login, by the right password and by others."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.guest import alone
from ansible_collections.maqet.qemu.tests.harness.home import task

SECONDS = 400
WRONG = "no-word-of-root"


@pytest.fixture
def cache():
    """Where the image is kept, and the password that the playbook makes up."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest is Alpine's for x86")
    folder = Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / "alpine"
    with alone(folder):
        yield folder


def run(home, name, cache, **variables):
    """What the playbook's tasks returned."""
    book = {"import_playbook": "maqet.qemu.console", "vars": {"console_vm": name, "maqet_demo_cache": str(cache)}}
    results = home.end(home.begin_book([book], **variables), SECONDS)
    assert not [result for result in results if result["failed"]]
    return results


def shutdowns(home, name):
    return [line["data"] for line in look.recorded(home.directory(name)) if line.get("event") == "SHUTDOWN"]


def said(results):
    return [result["msg"] for result in results if str(result.get("msg", "")).startswith(("Linux", "It has ended"))]


def test_a_guest_at_its_console(home, cache):
    name = home.name("seat")
    by_guest = {"guest": True, "reason": "guest-shutdown"}
    first = run(home, name, cache)
    assert said(first) == ["Linux 6.18.56-0-virt runs, and its screen says: All is well", "It has ended: guest-shutdown"]
    assert [result["conditions"][0]["found"]["data"] for result in first[-2:-1]] == [by_guest]
    assert shutdowns(home, name)[-1] == by_guest and not home.qemus(name)
    # Once more, in two halves: it is prepared, and so only starts.
    again = run(home, name, cache, ANSIBLE_SKIP_TAGS="end")
    assert said(again) == said(first)[:1] and len(again) < len(first) - 3
    (password,) = (cache / "console-password").read_text().split()
    shown = json.dumps([first, again]) + logins(home, name, password)
    assert password not in shown and WRONG not in shown
    assert said(run(home, name, cache, ANSIBLE_RUN_TAGS="end")) == said(first)[1:]
    assert shutdowns(home, name)[-1] == by_guest and not home.qemus(name)


def logins(home, name, password):
    """All that was shown of them."""
    wrong, right = ({"login": {"user": "root", "password": word}} for word in (WRONG, password))
    results = home.play(
        console(name, right, {"send": "exit"}),
        console(name, wrong, {"run": "true"}),
        console(name, right, {"run": "id -un"}, {"send": "exit"}),
        console(name, {"login": {"user": "root"}}),
        console(name, right),
        ANSIBLE_VERBOSITY="3",
    )
    already, refused, taken, asked, after = results
    assert already["steps"][0]["already"] is True
    assert refused["failed"] and refused["steps"] == []
    assert f"{name}: steps[0] (login of root): root may not log in: Login incorrect. Check the user and the password." in refused["msg"]
    assert not taken["failed"] and taken["steps"][0]["already"] is False and taken["steps"][1]["output"] == "root\n"
    assert asked["failed"] and "root is asked for a password, and none is given. Add password to the step" in asked["msg"]
    assert not after["failed"] and after["steps"][0]["already"] is False
    return json.dumps(results)


def console(name, *steps):
    return task("maqet_console", name=name, steps=list(steps), timeout=360)
