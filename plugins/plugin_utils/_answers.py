# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hypervisors answer, before any of it is used: it may be of any shape and size, and say anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..module_utils._spec.name import NAME_PATTERN

# More than a thousand machines. Each label makes a group, and groups take their time.
_LONGEST = 2 * 1024 * 1024
_MOST_MACHINES = 5000
_MOST_LABELS = 100
_LONGEST_WORDS = 500
_MOST_WARNINGS = 10


def plain(machines: Any) -> list[Any] | None:
    """The list without Ansible's marks and types; None when it is none, or is too long."""
    if not isinstance(machines, list) or len(machines) > _MOST_MACHINES:
        return None
    try:
        text = write(machines)
    except (TypeError, ValueError, RecursionError):
        return None
    return read(text) if len(text) <= _LONGEST else None


def write(machines: list[Any]) -> str:
    """For a cache as one text, since caches make objects of some dictionaries (``__ansible_vault`` is decrypted)."""
    return json.dumps(machines)


def read(text: Any) -> list[Any] | None:
    """What was written; None when it was not."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def fault(machine: Any) -> str:
    """What is told that is no machine as ``maqet_vm_info`` tells of it briefly; empty when it is one."""
    name = machine.get("name") if isinstance(machine, dict) else machine
    if not isinstance(machine, dict) or not isinstance(name, str) or re.fullmatch(NAME_PATTERN, name) is None:
        return f"{words(name)!r}, which is no name"
    wrong = [key for key, fits in _SHAPES.items() if machine.get(key) is not None and not fits(machine[key])]
    return f"{name}, by its {' and '.join(wrong)}" if wrong else ""


def warnings(result: dict[str, Any]) -> list[str]:
    """A module's, the first of them."""
    said = result.get("warnings")
    return [words(each) for each in said[:_MOST_WARNINGS]] if isinstance(said, list) else []


def words(said: Any) -> str:
    """Of whatever was said one line that a terminal can show."""
    # From ansible-core 2.19 on a warning is more than a text.
    text = str(getattr(getattr(said, "event", None), "msg", said))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 2 * _LONGEST_WORDS]).split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _are_labels(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= _MOST_LABELS


def _are_forwards(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_SHAPES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("uuid", "status", "lab", "unit", "directory"), _is_text),
    **dict.fromkeys(("networks", "addresses", "macs", "sockets"), _are_texts),
    "labels": _are_labels,
    "forwards": _are_forwards,
    "guest_agent": lambda value: isinstance(value, bool),
    "cid": lambda value: isinstance(value, int),
}
