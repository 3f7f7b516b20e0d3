# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of every option is complete, and says what the records say."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._plan.diff import compare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import LIVE, walk
from ansible_collections.maqet.qemu.tests.cases import table
from ansible_collections.maqet.qemu.tests.cases.data import fill, load

CASES = {case["option"]: case for case in load("options.yml")}
WORDS = {"files": "/files", "port": 20022, "port2": 20053, "tap": "tap"}
ROWS = [line.split("|")[1].strip(" `") for line in table.FILE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]


def test_no_option_without_a_row():
    assert [path for path, _option in walk(OPTIONS)] == ROWS


def test_no_option_without_a_case():
    """What is only a bag of keys is tried by them."""
    assert {path for path, option in walk(OPTIONS) if option.type != "map"} == set(CASES)


def test_it_is_current():
    assert table.FILE.read_text(encoding="utf-8") == table.text(), "run ./scripts/describe"


@pytest.mark.parametrize("path", CASES)
def test_the_case_says_what_the_record_says(path):
    case = fill(CASES[path], WORDS)
    (change,) = compare(OPTIONS, declare(case["before"]), declare(case["after"]))
    assert change.path == case.get("path", path)
    live = change.option.change == LIVE and not change.option.refuse
    assert {"live": live or path == "disks.size", "start": not live or "path" in case, "impossible": bool(change.option.refuse)}[case.get("takes", "live")]
    assert ("drift" in case) != ("no_drift" in case) or case.get("takes") == "impossible"
    assert ("look" in case) != ("unseen" in case) or case.get("takes") == "impossible"
