# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/options.md: what tests/qemu/test_options.py finds of every option. Its cases say it, a run proves them."""

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
# Every option, tried on a machine that runs

On QEMU 7.2 and 10.0 each option was declared for a paused machine, and declared again, which changed nothing. Then it was
changed: one entry in the diff, one kind of action. It was in force **live** or after the **next start**: somebody else's monitor
was asked. Then it was changed behind our back: `maqet_vm_info` named it under `drift`, check mode foretold the repair, and the
next run did it. What only a guest can show is in `tests/guests`.

This page is written by `scripts/describe` from `tests/cases/options.yml`, and `tests/qemu/test_options.py` holds every row of it
against a real QEMU.

| option | takes effect | seen by | changed behind our back |
|---|---|---|---|
"""
TAKES = {"live": "live", "start": "next start", "impossible": "impossible"}


def text() -> str:
    cases = {case["option"]: case for case in load("options.yml")}
    lines = [f"| `{path}` | {row(cases[path]) if path in cases else 'by its keys | |'} |" for path, _option in walk(OPTIONS)]
    return HEAD + "\n".join(lines) + "\n"


def row(case: dict[str, Any]) -> str:
    return f"{TAKES[case.get('takes', 'live')]} | {_seen(case)} | {_drift(case)}"


def _seen(case: dict[str, Any]) -> str:
    question = case.get("look")
    if "untried" in case:
        return f"not tried: {case['untried']}"
    if case.get("takes") == "impossible":
        return "refused, and nothing is done"
    if question is None:
        return str(case["unseen"])
    if "argv" in question:
        return "the command line of the process"
    if "property" in question:
        return f"`systemctl show -p {question['property']}`"
    arguments = question.get("arguments", {})
    place = f" {arguments['path']} {arguments['property']}" if "property" in arguments else f" {arguments['path']}" if "path" in arguments else ""
    return f"`{arguments.get('command-line') or question['ask'] + place}`"


def _drift(case: dict[str, Any]) -> str:
    if case.get("takes") == "impossible":
        return ""
    if "drift" not in case:
        return f"not to be seen: {case['no_drift']}"
    mends = {"live": "named, repaired live", "start": "named, repaired by a restart", "never": f"named; {case.get('why')}"}
    return mends[case.get("mends", "live")] + (f": {case['first']}" if "first" in case else "")
