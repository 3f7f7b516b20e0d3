# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest writes to a terminal, as its reader sees it; and what is typed, kept out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

# ECMA-48: strings of an operating system command and the like, control sequences, other escapes; and control characters but \t and \n.
_STRING = r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
_SEQUENCE = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]+[0-~]|\x1b[0-Z\\-~]"
_CONTROLS = re.compile(rf"{_STRING}|{_SEQUENCE}|[\x00-\x08\x0b-\x1f\x7f]")
# One that has begun and may go on in what comes next; none is longer.
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?)\Z")
# A line that is wrapped while it is echoed has more between its characters.
_BETWEEN = r"\s*"
VEIL = "********"
# Fewer characters than these are everywhere.
_SHORTEST = 3


def plain(text: str) -> str:
    """The text without what is said to the terminal alone."""
    return _CONTROLS.sub("", text)


def overlap(first: str, second: str) -> int:
    """How many characters both have where the second goes on from the first."""
    return next((length for length in range(min(len(first), len(second)), 0, -1) if first.endswith(second[:length])), 0)


class Reader:
    """A stream in pieces, of which each may end within a sequence."""

    def __init__(self) -> None:
        self.held = ""

    def feed(self, piece: str) -> str:
        text = self.held + piece
        begun = _BEGUN.search(text)
        self.held = text[begun.start() :] if begun else ""
        return plain(text[: begun.start()] if begun else text)


def veil(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, however their echo was wrapped."""
    for secret in secrets:
        characters = [re.escape(character) for character in secret if not character.isspace()]
        if len(characters) >= _SHORTEST:
            text = re.sub(_BETWEEN.join(characters), VEIL, text)
    return text


def typed(text: str, *, enter: bool) -> str:
    """The text as keys send it: Enter is a carriage return, also at the end if it is wanted and not there."""
    lines = text.replace("\r\n", "\n").replace("\n", "\r")
    return lines + "\r" if enter and not lines.endswith("\r") else lines
