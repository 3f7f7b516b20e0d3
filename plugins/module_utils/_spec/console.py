# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done at a serial console, step by step: what a user may write, and what is wrong about it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._errors import SpecError
from .terminal import VEIL

KINDS = ("expect", "send", "run", "login")
# What belongs to one kind alone.
_BELONG = {"answers": "expect", "fail_on": "expect", "enter": "send"}
# The end of what a shell prints before it waits.
PROMPT = r"[#$%>] ?\Z"
_HINT = "In YAML write it in single quotes"


class Step(NamedTuple):
    """:param value: a pattern, a text, a command, or ``{user, password}``; timeout: seconds of its own, or None."""

    kind: str
    value: Any
    timeout: float | None = None
    no_log: bool = False
    enter: bool = True
    answers: dict[str, str] = {}
    fail_on: str | None = None

    def __str__(self) -> str:
        if self.kind == "login":
            return f"login of {self.value['user']}"
        return self.kind if self.no_log and self.kind != "expect" else f"{self.kind} {self.value!r}"


def steps(items: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    """
    :raises SpecError: at ``steps[<number>]``: none or two kinds in one, what belongs to another, no regular expression.
    """
    for number, item in enumerate(items):
        for where, why, hint in _mistakes(item):
            raise SpecError(f"steps[{number}].{where}" if where else f"steps[{number}]", why, hint=hint)
    return tuple(_step(item) for item in items)


def _step(item: dict[str, Any]) -> Step:
    kind = next(name for name in KINDS if item.get(name) is not None)
    given = {name: item[name] for name in ("timeout", "no_log", "enter", "answers", "fail_on") if item.get(name) is not None}
    return Step(kind, item[kind], **given)


def _mistakes(item: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    given = [name for name in KINDS if item.get(name) is not None]
    if len(given) != 1:
        why = f"has {' and '.join(given)} in one" if given else "says nothing to do"
        yield "", why, "Give each a step of its own" if given else f"Use one of {', '.join(KINDS)}"
    for name, owner in _BELONG.items():
        if item.get(name) is not None and given != [owner]:
            yield name, f"belongs to {owner}", f"Give it to a step with {owner}"
    if item.get("timeout") is not None and item["timeout"] <= 0:
        yield "timeout", f"{item['timeout']:g} leaves no time", "Use seconds, such as 60"
    patterns = {"expect": item.get("expect"), "fail_on": item.get("fail_on"), **{f"answers[{pattern}]": pattern for pattern in item.get("answers") or ()}}
    for name, pattern in patterns.items():
        if pattern is not None:
            yield from ((name, why, _HINT) for why in why_no_pattern(pattern))
    if item.get("run") is not None and not item["run"].strip():
        yield "run", "is no command", "Such as uname -r"


def why_no_pattern(pattern: str) -> Iterator[str]:
    """Why a text cannot be waited for; nothing if it can."""
    if not pattern:
        yield "an empty pattern fits everything"
    try:
        re.compile(pattern)
    except re.error as exc:
        yield f"{pattern!r} is no regular expression: {exc}"


def secrets(wanted: Sequence[Step]) -> list[str]:
    """What is sent and shown to nobody."""
    found = [step.value["password"] for step in wanted if step.kind == "login" and step.value.get("password")]
    for step in wanted:
        if step.no_log:
            found += [step.value] if step.kind in ("send", "run") else list(step.answers.values())
    return [secret for secret in found if secret.strip()]


def concealed(params: dict[str, Any]) -> dict[str, Any]:
    """A task's steps as people may see them, also of a task that is written wrong."""
    items = params.get("steps")
    if not isinstance(items, list):
        return {"steps": VEIL} if items else {}
    return {"steps": [_concealed(item) if isinstance(item, dict) else VEIL for item in items]}


def _concealed(item: dict[str, Any]) -> dict[str, Any]:
    if isinstance(item.get("login"), dict) and item["login"].get("password"):
        return {**item, "login": {**item["login"], "password": VEIL}}
    if not item.get("no_log"):
        return item
    return {name: VEIL if value and name in ("send", "run", "answers") else value for name, value in item.items()}


class Command(NamedTuple):
    """A command of a shell on a terminal: what is typed, and by what its output begins and ends, which is not in the echo of it."""

    line: str
    begin: str
    end: str


def command(words: str, mark: str) -> Command:
    """:param mark: letters and digits that the output has not."""
    first, last = mark[:4], mark[4:]
    line = f" echo {first}''{last}; eval {shlex.quote(words)}; echo {first}''{last}-$?"
    return Command(line, rf"{mark}\n", rf"{mark}-(\d+)\n")
