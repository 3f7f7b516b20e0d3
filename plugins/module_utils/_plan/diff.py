# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two normal forms compared, option by option."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._spec.option import LIVE, Option
from .._spec.qmp_schema import VEIL
from .._spec.size import format_size


class Change(NamedTuple):
    """
    :param path: ``disks[root].size``.
    :param where: the same as keys of the normal form (``("disks", "root", "size")``).
    :param before, after: normal values; None where the element is added or removed.
    """

    path: str
    where: tuple[str, ...]
    option: Option
    before: Any
    after: Any


def compare(options: tuple[Option, ...], before: dict[str, Any], after: dict[str, Any], path: str = "", where: tuple[str, ...] = ()) -> list[Change]:
    """What differs, in the options' order. :param path, where: of the element that holds these options."""
    return list(_compare(options, before, after, path, where))


def _compare(options: tuple[Option, ...], before: dict[str, Any], after: dict[str, Any], path: str, where: tuple[str, ...]) -> Iterator[Change]:
    for option in options:
        old, new = before.get(option.name), after.get(option.name)
        if old == new:
            continue
        here = f"{path}.{option.name}" if path else option.name
        spot = (*where, option.name)
        if option.type == "map" and not (option.optional and None in (old, new)):
            yield from _compare(option.options, old or {}, new or {}, here, spot)
        elif option.type == "keyed":
            yield from _compare_keyed(option, old or {}, new or {}, here, spot)
        else:
            yield Change(here, spot, option, old, new)


def _compare_keyed(option: Option, before: dict[str, Any], after: dict[str, Any], path: str, where: tuple[str, ...]) -> Iterator[Change]:
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        here = f"{path}[{name}]"
        if old == new:
            continue
        if old and new and option.options and not option.whole:
            yield from _compare(option.options, old, new, here, (*where, name))
        else:
            yield Change(here, (*where, name), option, old, new)


def describe(change: Change) -> str:
    """``nics[lan].link: up → down``; a whole element is only named, the diff shows what it is."""
    before, after = readable(change)
    if change.where[-1] == change.option.name:
        return f"{change.path}: {before} → {after}"
    return f"{change.path}: {'added' if change.before is None else 'removed' if change.after is None else 'changed'}"


def settle(applied: dict[str, Any], change: Change) -> dict[str, Any]:
    """``applied`` with one change made."""
    *way, last = change.where
    settled = copy.deepcopy(applied)
    place = settled
    for key in way:
        place = place[key]
    if change.after is None and change.where[-1] != change.option.name:
        place.pop(last, None)
    else:
        place[last] = change.after
    return settled


def settle_untold(options: tuple[Option, ...], applied: dict[str, Any], declared: dict[str, Any]) -> dict[str, Any]:
    """``applied`` with what is live and needs nothing of QEMU (labels, …) as it is declared."""
    for change in compare(options, applied, declared):
        if change.option.change == LIVE and not change.option.live:
            applied = settle(applied, change)
    return applied


def readable(change: Change) -> tuple[Any, Any]:
    """A change's values before and after, as a user would write them."""
    if change.option.secret:
        return _veiled(change.before), _veiled(change.after, change.before)
    spell = _spell_element if change.where[-1] != change.option.name else spell_option
    return spell(change.option, change.before), spell(change.option, change.after)


def spell(options: tuple[Option, ...], spec: dict[str, Any]) -> dict[str, Any]:
    """A normal form as a user would write it; what is empty stays out."""
    spelled = {option.name: spell_option(option, spec.get(option.name)) for option in options}
    kept = {option.name for option in options if option.optional}
    return {name: value for name, value in spelled.items() if value not in (None, {}, []) or (value == {} and name in kept)}


def spell_option(option: Option, value: Any) -> Any:
    if value is None:
        return None
    if option.secret:
        return _veiled(value)
    if option.shown:
        return option.shown(value)
    if option.type == "size":
        return format_size(value)
    if option.type == "map":
        return spell(option.options, value)
    if option.type == "keyed":
        return [_spell_element(option, element) for element in value.values()]
    return value


def _veiled(value: Any, before: Any = None) -> Any:
    """A veil for each secret, and whether it is another one than before."""
    if isinstance(value, dict):
        return {name: _veiled(item, (before or {}).get(name)) for name, item in value.items()}
    return value and (VEIL if before in (None, value) else f"{VEIL} (changed)")


def _spell_element(option: Option, element: Any) -> Any:
    return spell(option.options, element) if option.options and element else element


def conceal(options: tuple[Option, ...], raw: dict[str, Any]) -> dict[str, Any]:
    """A declaration as written, without its secrets."""
    known = {option.name: option for option in options}
    return {name: _conceal(known[name], value) if name in known else value for name, value in raw.items()}


def _conceal(option: Option, value: Any) -> Any:
    if option.secret:
        return VEIL if option.type == "text" else _veiled(value)
    if option.shown and value:
        return option.shown(value)
    if option.options and isinstance(value, list):
        return [conceal(option.options, item) for item in value]
    return conceal(option.options, value) if option.options and isinstance(value, dict) else value
