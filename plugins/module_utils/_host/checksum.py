# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sums of files, and where the right ones are written."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from .._errors import HostError
from .._spec.image import shown
from .._spec.validate import nearest
from .deadline import Deadline
from .download import fetch_text

ALGORITHMS = ("sha256", "sha512")
_CHUNK = 1 << 20
# GNU coreutils (a binary file has a star, an odd name a backslash before the sum), and BSD.
_GNU = re.compile(r"^\\?([0-9a-fA-F]+)[ \t]+\*?(.+?)$")
_BSD = re.compile(r"^(\w+) ?\((.+)\) ?= ?([0-9a-fA-F]+)$")


class Sum(NamedTuple):
    """:param said_by: the file of sums that has it; empty when the declaration has."""

    algorithm: str
    digits: str
    said_by: str = ""


def digests(file: str) -> dict[str, str]:
    """The file's sums by algorithm, hex digits, from one reading."""
    sums = {name: hashlib.new(name) for name in ALGORITHMS}
    with open(file, "rb", buffering=0) as data:
        while chunk := data.read(_CHUNK):
            for one in sums.values():
                one.update(chunk)
    return {name: one.hexdigest() for name, one in sums.items()}


def wanted(checksum: str, url: str | None, deadline: Deadline) -> Sum:
    """What ``checksum`` of a source asks for. May ask a server, and blocks then."""
    algorithm, _colon, rest = checksum.partition(":")
    if "//" not in rest:
        return Sum(algorithm, rest.lower())
    return Sum(algorithm, find(fetch_text(rest, deadline), algorithm, url or "", rest), rest)


def find(text: str, algorithm: str, url: str, place: str) -> str:
    """The sum of the file that the URL names.

    :param place: where the text is from.
    :raises HostError: the text has none.
    """
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    length = hashlib.new(algorithm).digest_size * 2
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and re.fullmatch(r"[0-9a-fA-F]+", lines[0]) and len(lines[0]) == length:
        return lines[0].lower()
    known = {}
    for line in lines:
        bsd, gnu = _BSD.match(line), _GNU.match(line)
        if bsd and bsd[1].lower() == algorithm:
            known[bsd[2].rpartition("/")[2]] = bsd[3].lower()
        elif gnu and len(gnu[1]) == length:
            known[gnu[2].rpartition("/")[2]] = gnu[1].lower()
    if name not in known:
        words = nearest(name, list(known)) if known else "It has no such sums at all"
        raise HostError(f"{shown(place)} has no {algorithm} sum of {name}", hint=words)
    return known[name]
