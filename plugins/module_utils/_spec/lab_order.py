# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which machines of a lab wait for which."""

from __future__ import annotations

from typing import Any

from .._errors import SpecError


def dependencies(vms: dict[str, Any], names: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """The whole names of the machines that each key's machines wait for.

    :param names: the whole names of each key's machines.
    :raises SpecError: a name that nobody has, or machines that wait for one another.
    """
    meant: dict[str, tuple[str, list[str]]] = {f"{key}-{number}": (key, [name]) for key in vms for number, name in enumerate(names[key], 1)}
    meant.update({key: (key, names[key]) for key in vms})
    keys: dict[str, dict[str, None]] = {}
    found = {}
    for key, vm in vms.items():
        waits_for = []
        for word in vm.get("depends_on") or ():
            if word not in meant or (word not in vms and vms[meant[word][0]].get("count") is None):
                from .validate import nearest

                raise SpecError(f"vms.{key}.depends_on", f"{word!r} is no machine of this lab", hint=nearest(word, [other for other in vms if other != key]))
            waits_for.append(meant[word])
        keys[key] = dict.fromkeys(other for other, _names in waits_for)
        found[key] = tuple(dict.fromkeys(name for _other, names_of in waits_for for name in names_of))
    _check_cycles(keys)
    return found


def _check_cycles(edges: dict[str, dict[str, None]]) -> None:
    done: set[str] = set()
    for key, others in edges.items():
        path: dict[str, Any] = {key: iter(others)}
        while path:
            last = next(reversed(path))
            following = next((other for other in path[last] if other not in done), None)
            if following is None:
                done.add(last)
                del path[last]
            elif following in path:
                names = list(path)
                circle = " -> ".join([*names[names.index(following) :], following])
                what = "waits for itself" if following == last else "machines wait for one another"
                raise SpecError(f"vms.{following}.depends_on", f"{what}: {circle}", hint="Take it out" if following == last else "Take one of them out")
            else:
                path[following] = iter(edges[following])
