# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One declaration over another."""

from __future__ import annotations

from typing import Any

from .._errors import SpecError
from .arguments import KEYED
from .said import said


def merge(stored: dict[str, Any], raw: dict[str, Any], path: str = "") -> dict[str, Any]:
    """``raw`` over ``stored``: dicts deep, keyed lists by their keys, all else replaced.

    :raises SpecError: a key in such a list is itself a list or a dict.
    """
    merged = dict(stored)
    for name, value in raw.items():
        before, here = merged.get(name), f"{path}{name}"
        if before and here in KEYED and isinstance(value, list) and isinstance(before, list):
            merged[name] = _merge_keyed(before, value, here)
        elif isinstance(value, dict) and isinstance(before, dict):
            merged[name] = merge(before, value, f"{here}.")
        else:
            merged[name] = value
    return merged


def _merge_keyed(stored: list[dict[str, Any]], raw: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    keys = KEYED[path].items()

    def key(element: dict[str, Any]) -> tuple[Any, ...]:
        words = tuple(element.get(name, default) for name, default in keys)
        for (name, _default), word in zip(keys, words):
            if isinstance(word, (dict, list)):
                raise SpecError(f"{path}.{name}", f"{said(word)} is not a text", hint="Use a text")
        return words

    elements = {key(element): element for element in stored}
    for element in raw:
        elements[key(element)] = merge(elements.get(key(element), {}), element, f"{path}.")
    return list(elements.values())
