# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UEFI images of this host, found by what their descriptors say (QEMU's docs/interop/firmware.json)."""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .._errors import HostError
from .paths import make_private

_PACKAGES = {"x86_64": "ovmf on Debian, edk2-ovmf on Fedora", "aarch64": "qemu-efi-aarch64 on Debian, edk2-aarch64 on Fedora"}
_CHUNK = 1 << 16


def find_firmware(arch: str, machine: str, *, secure: bool) -> dict[str, Any]:
    """The UEFI image for a versioned machine type: ``{code, code_format, template, template_format, smm}``.

    :param secure: with Secure Boot, its keys enrolled where there is such an image.
    """
    fitting = [item for item in _descriptors() if _fits(item, arch, machine)]
    chosen = min(fitting, key=lambda item: _rank(item, secure), default=None)
    if chosen is None or _rank(chosen, secure) > 1:
        what = "UEFI firmware with Secure Boot" if secure else "UEFI firmware"
        places = ", ".join(_directories())
        raise HostError(
            f"there is no {what} for {machine} ({arch}) on this host: no descriptor in {places} fits",
            hint=f"Install it ({_PACKAGES.get(arch, 'a build of edk2')}), or set firmware: bios",
            path="firmware",
        )
    mapping = chosen["mapping"]
    code, template = mapping["executable"], mapping["nvram-template"]
    return {
        "code": code["filename"],
        "code_format": code["format"],
        "template": template["filename"],
        "template_format": template["format"],
        "smm": "requires-smm" in chosen["features"],
    }


def _directories() -> list[str]:
    """Where descriptors are; a later one overrides by its file's name."""
    own = os.environ.get("XDG_CONFIG_HOME", "")
    own = own if own.startswith("/") else os.path.expanduser("~/.config")
    return ["/usr/share/qemu/firmware", "/etc/qemu/firmware", f"{own}/qemu/firmware"]


def _descriptors() -> Iterator[dict[str, Any]]:
    """The descriptors that count, in the order of their file names; an empty file hides those of its name."""
    files: dict[str, str] = {}
    for directory in _directories():
        with suppress(OSError):
            files.update({name: f"{directory}/{name}" for name in os.listdir(directory) if name.endswith(".json")})
    for _name, path in sorted(files.items()):
        with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
            yield json.load(file)


def _fits(item: dict[str, Any], arch: str, machine: str) -> bool:
    """A descriptor of UEFI in flash with variables to copy, for the machine type, whose files are there."""
    mapping = item.get("mapping", {})
    files = [mapping.get(key, {}).get("filename", "") for key in ("executable", "nvram-template")]
    if "uefi" not in item.get("interface-types", ()) or mapping.get("device") != "flash" or not all(map(os.path.exists, files)):
        return False
    return any(
        target["architecture"] == arch and any(fnmatch.fnmatchcase(machine, pattern) for pattern in target["machines"]) for target in item.get("targets", ())
    )


def _rank(item: dict[str, Any], secure: bool) -> int:
    """0 is what was asked for, 1 does as well, 2 is something else."""
    features = item["features"]
    capable, enrolled = "secure-boot" in features, "enrolled-keys" in features
    if secure:
        return 2 if not capable else 0 if enrolled else 1
    # Without keys Secure Boot is not in force; some distributions have no other image.
    return 2 if enrolled else 1 if capable or "requires-smm" in features else 0


def make_nvram(template: str, file: str) -> None:
    """Copy the template, whole or not at all; what is there already stays."""
    if os.path.exists(file):
        return
    make_private(os.path.dirname(file))
    temporary = f"{file}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(template, "rb") as source, open(descriptor, "wb") as copy:
        while chunk := source.read(_CHUNK):
            # ARM's 64 MiB are mostly nothing.
            copy.write(chunk) if any(chunk) else copy.seek(len(chunk), os.SEEK_CUR)
        copy.truncate()
        copy.flush()
        os.fsync(copy.fileno())
    os.replace(temporary, file)
