# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data cases, and what it takes to make machines of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.maqet.qemu.plugins.module_utils._spec.nic import forwards, make_mac
from ansible_collections.maqet.qemu.plugins.module_utils._spec.site import Site

HERE = Path(__file__).parent
UUID = "0b9e6f3c-52d4-4a6e-9f0b-6c1b5a0d7e11"


def load(name: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def spec_cases() -> list[dict[str, Any]]:
    """Every declaration that must work; those that name no arch are for x86_64, whatever the host is."""
    cases = [case for file in sorted((HERE / "specs").glob("*.yml")) for case in load(f"specs/{file.name}")]
    for case in cases:
        case["given"].setdefault("arch", "x86_64")
    return cases


def fill(value: Any, words: dict[str, Any]) -> Any:
    """``<word>`` replaced in every text of a case."""
    if isinstance(value, dict):
        return {key: fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, words) for item in value]
    if isinstance(value, str):
        for word, replacement in words.items():
            value = value.replace(f"<{word}>", str(replacement))
    return value


def site_for(spec: dict[str, Any], words: dict[str, Any]) -> Site:
    """A place for a machine: ``<dir>`` for its files, ``<run>`` for its sockets, ``<auto>`` and up for its ports."""
    waiting = [item.key for item in forwards(spec, {}) if item.host is None]
    identity = {
        "uuid": UUID,
        "machine": spec["machine"],
        "macs": {name: make_mac(UUID, name) for name in spec["nics"]},
        "ports": {key: words["auto"] + step for step, key in enumerate(waiting)},
        "formats": {},
    }
    sockets = {use: f"{words['run']}/{use}.sock" for use in ("qmp", "monitor", "agent", "serial", "vnc")}
    return Site("m", "tcg", str(words["dir"]), sockets, identity)


def option_paths(value: Any, path: str = "") -> set[str]:
    """The options that a declaration gives (``disks.size``)."""
    if isinstance(value, list):
        return {found for item in value for found in option_paths(item, path)}
    if not isinstance(value, dict):
        return set()
    found = set()
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        found |= {here} | option_paths(item, here)
    return found


def contains(answer: Any, wanted: Any) -> bool:
    """Whether every key of ``wanted`` is in ``answer``, every item in some item, and a text within the text."""
    if isinstance(wanted, dict):
        return isinstance(answer, dict) and all(key in answer and contains(answer[key], item) for key, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(answer, list) and all(any(contains(item, one) for item in answer) for one in wanted)
    if isinstance(wanted, str) and isinstance(answer, str):
        return wanted in answer
    return answer == wanted
