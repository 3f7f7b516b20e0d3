# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that disks can lie on, and where each comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._errors import SpecError
from .name import NAME_EXPECTS, NAME_PATTERN
from .option import LIVE, Option

FORMATS = ("qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc")
_URL_PATTERN = r"^https?://[^/\s]+/\S+$"
_URL_EXPECTS = "an address that begins with https:// or http:// and names a file"
_CHECKSUM_PATTERN = r"^sha(256:([0-9a-fA-F]{64}|https?://\S+)|512:([0-9a-fA-F]{128}|https?://\S+))$"
_CHECKSUM_EXPECTS = "sha256: or sha512: and then the sum in hex digits, or the URL of a file of sums such as SHA256SUMS"


def shown(text: str) -> str:
    """A text without the passwords that its URLs may have."""
    return re.sub(r"//[^/]*@", "//", text)


def concealed(value: Any) -> Any:
    """The same with its texts so: a source as it was written, right or wrong."""
    if isinstance(value, dict):
        return {key: concealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [concealed(item) for item in value]
    return shown(value) if isinstance(value, str) else value


OPTIONS = (
    Option(
        "images",
        "keyed",
        change=LIVE,
        options=(
            Option("name", required=True, pattern=NAME_PATTERN, expects=NAME_EXPECTS),
            Option("url", pattern=_URL_PATTERN, expects=_URL_EXPECTS, change=LIVE, shown=shown),
            Option("path", "path", change=LIVE),
            Option("checksum", pattern=_CHECKSUM_PATTERN, expects=_CHECKSUM_EXPECTS, change=LIVE, shown=shown),
            Option("verify", "bool", True, change=LIVE),
            Option("format", choices=FORMATS, change=LIVE),
        ),
    ),
)


class Source(NamedTuple):
    """Where an image comes from: one of ``url`` and ``path``.

    :param checksum: ``sha256:`` or ``sha512:``, then hex digits or the URL of a file of sums. It is of the bytes as they come.
    :param verify: plain http needs a checksum.
    :param format: what it is, once unpacked; None: what its first bytes say.
    """

    name: str
    url: str | None = None
    path: str | None = None
    checksum: str | None = None
    verify: bool = True
    format: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return shown(self.url) if self.url else self.path or ""


def sources(spec: dict[str, Any]) -> dict[str, Source]:
    """The declared images by name."""
    return {name: Source(name, **{key: value for key, value in item.items() if key != "name"}) for name, item in spec["images"].items()}


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    for name, source in sources(spec).items():
        yield from check_source(f"images[{name}]", source)


def check_source(path: str, source: Source) -> Iterator[SpecError]:
    """What is wrong with it. :param path: the option that holds it; empty at the top of a task."""
    dot = f"{path}." if path else ""
    if not _matches(NAME_PATTERN, source.name):
        yield SpecError(path or "image", f"{source.name!r} cannot be an image's name", hint=f"Use {NAME_EXPECTS}")
    if bool(source.url) == bool(source.path):
        yield SpecError(path, "needs one of url and path", hint="Such as url: https://cloud.debian.org/images/…/debian-12-genericcloud-amd64.qcow2")
    if source.url and not _matches(_URL_PATTERN, source.url):
        yield SpecError(f"{dot}url", f"{shown(source.url)!r} is not allowed", hint=f"Use {_URL_EXPECTS}, or path for a file of the host")
    if source.path and not source.path.startswith(("/", "~")):
        yield SpecError(f"{dot}path", f"{source.path!r} is not allowed", hint="Use an absolute path")
    if source.checksum and not _matches(_CHECKSUM_PATTERN, source.checksum):
        yield SpecError(f"{dot}checksum", f"{shown(source.checksum)!r} is not allowed", hint=f"Use {_CHECKSUM_EXPECTS}")
    if source.checksum and not source.url and "//" in source.checksum:
        yield SpecError(f"{dot}checksum", "a file of sums knows images by the name in their url", hint="Give the sum itself")
    if (source.url or "").startswith("http:") and source.verify and not source.checksum:
        hint = "Give checksum, or an https url, or say verify: false"
        yield SpecError(f"{dot}checksum", "is missing: on its way over plain http anybody may change the image", hint=hint)


def _matches(pattern: str, text: str) -> bool:
    return bool(re.match(pattern, text)) and not text.endswith("\n")
