# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose an id in QEMU is."""

from __future__ import annotations

from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import blueprint, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.escape import TAKEN
from ansible_collections.maqet.qemu.tests.cases.data import fill, site_for, spec_cases

WORDS = {"files": "/files", "dir": "/home/u/m", "run": "/run/m", "port": 20022, "port2": 20053, "auto": 20000}
WORDS["firmware"] = lambda spec: {"code": "/fw/c", "code_format": "raw", "template": "/fw/v", "template_format": "raw", "smm": False}


def test_ids_of_ours_are_taken():
    """No device or object of a user can have an id that a part of ours has."""
    free = set()
    for case in spec_cases():
        given = {name: value for name, value in fill(case["given"], WORDS).items() if name not in ("devices", "objects")}
        spec = declare(given)
        parts = blueprint(spec, site_for(spec, WORDS))
        free |= {part.value["id"] for part in parts if part.kind in ("device", "object") and not TAKEN.fullmatch(part.value["id"])}
    assert free == set()
