# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TPM 2.0, by the program swtpm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .helper import Helper, socket_path
from .option import Option
from .part import Part
from .site import Site

OPTIONS = (Option("tpm", "bool", False, device="tpm-device"),)

_DEVICES = {"x86_64": "tpm-crb", "i386": "tpm-crb", "aarch64": "tpm-tis-device", "arm": "tpm-tis-device", "ppc64": "tpm-spapr"}


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    if spec["tpm"] and spec["arch"] not in _DEVICES:
        yield SpecError("tpm", f"QEMU has no TPM for arch {spec['arch']}", hint=f"It has one for {', '.join(_DEVICES)}")


def helpers(spec: dict[str, Any], site: Site) -> Iterator[Helper]:
    if spec["tpm"]:
        path = socket_path(site, "tpm")
        argv = ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=tpm,mode=0600", "--ctrl", f"type=unixio,path={path},mode=0600", "--terminate"]
        yield Helper("tpm", "tpm", argv, path, "tpm-device", folder=f"{site.directory}/tpm")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    if spec["tpm"]:
        yield Part("chardev", {"backend": "socket", "id": "tpm", "path": socket_path(site, "tpm")})
        yield Part("tpmdev", {"type": "emulator", "id": "tpm", "chardev": "tpm"})
        yield Part("device", {"driver": _DEVICES[spec["arch"]], "id": "tpm-device", "tpmdev": "tpm"})
