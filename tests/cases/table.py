# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/options.md: what a test run found of every option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import walk
from ansible_collections.maqet.qemu.tests.cases.data import load

FILE = Path(__file__).parents[2] / "docs/options.md"
HEAD = """<!--
SPDX-FileCopyrightText: 2026 The maqet.qemu authors
SPDX-License-Identifier: GPL-3.0-or-later
-->
# Every option on a machine that runs

What the tests found of each option, on QEMU 7.2 and 10.0 (`tests/qemu/test_options.py`, its cases are `tests/cases/options.yml`).
A row says that the option was declared on a paused machine, where declaring it again changed nothing, and then changed:
one entry in the diff and one kind of action. It was in force **live** or after the **next start**, looked at by
somebody else's monitor, and then changed behind our back: `maqet_vm_info` named it under `drift`, check mode foretold the
repair, and the next run did it. What needs a guest that runs is shown by `tests/guests`.

Written by the test run itself: `MAQET_OPTION_TABLE=write ./scripts/test qemu -- -k test_option`.

| option | takes effect | seen by | changed behind our back |
|---|---|---|---|
"""
TAKES = {"live": "live", "start": "next start", "impossible": "impossible"}
BY_KEYS = {"takes": "by its keys", "seen": "", "drift": ""}


def seen_cell(case: dict[str, Any]) -> str:
    question = case.get("look")
    if "untried" in case:
        return f"not tried: {case['untried']}"
    if case.get("takes") == "impossible":
        return "refused, and nothing is done"
    if question is None:
        return str(case["unseen"])
    if "argv" in question:
        return "QEMU's command line"
    if "property" in question:
        return f"`systemctl show`: {question['property']}"
    line = question.get("arguments", {}).get("command-line")
    return f"`{line or question['ask']}`"


def drift_cell(case: dict[str, Any]) -> str:
    if case.get("takes") == "impossible":
        return ""
    if "drift" not in case:
        return f"– ({case['no_drift']})"
    mends = {"live": "named, repaired live", "start": "named, repaired by a restart", "never": f"named; {case.get('why')}"}
    return mends[case.get("mends", "live")]


def row_of(case: dict[str, Any]) -> dict[str, str]:
    """What the run must find."""
    return {"takes": TAKES[case.get("takes", "live")], "seen": seen_cell(case), "drift": drift_cell(case)}


def rows() -> dict[str, dict[str, str]]:
    """The rows of the file by option."""
    if not FILE.exists():
        return {}
    cells = (line.split("|") for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("| `"))
    return {row[1].strip(" `"): {"takes": row[2].strip(), "seen": row[3].strip(), "drift": row[4].strip()} for row in cells}


def keep(option: str, row: dict[str, str], *, write: bool) -> None:
    """The row is what the file says; with ``write`` it becomes so."""
    known = rows()
    if not write:
        assert known.get(option) == row, f"docs/options.md is not current: {option}: {row}"
        return
    known[option] = row
    known.update({case["option"]: row_of(case) for case in load("options.yml") if "untried" in case})
    known.update({path: BY_KEYS for path, one in walk(OPTIONS) if one.type == "map"})
    ordered = [path for path, _option in walk(OPTIONS) if path in known]
    lines = [f"| `{path}` | {known[path]['takes']} | {known[path]['seen']} | {known[path]['drift']} |" for path in ordered]
    FILE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
