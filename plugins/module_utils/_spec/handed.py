# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the firmware hands to the guest at its first boot: an Ignition config, and systemd's credentials.

Both go by files that only the machine's user may read: nothing of them is in the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .part import Part
from .private_file import PrivateFile
from .site import Site

OPTIONS = (
    Option("ignition", "text", language="json", secret=True, expects="a dictionary, or a text in JSON"),
    Option("credentials", "dict", secret=True, expects="texts by their names"),
)

# systemd: a file's name of printable characters without ':' (credential_name_valid); ours become names of files.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,199}")
# systemd takes 1 MiB of all credentials together (CREDENTIALS_TOTAL_SIZE_MAX).
_MOST = 1 << 20
# systemd (252 to 258) reads the table by one read() and takes what it gets for all; Linux gives a page of 4 KiB.
_SMBIOS = 4000
# QEMU: FW_CFG_MAX_FILE_PATH is 56 with its closing NUL; of its 32 places for files it needs about 20 itself.
_FW_CFG = "opt/io.systemd.credentials/"
_FW_CFG_NAME, _FW_CFG_COUNT = 55 - len(_FW_CFG), 10
_WITH_FW_CFG = ("x86_64", "i386", "aarch64", "arm", "riscv64", "riscv32", "loongarch64")


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    if spec["ignition"] is not None:
        yield from _check_ignition(spec)
    total = 0
    for name, value in spec["credentials"].items():
        path = f"credentials[{name}]"
        if not _NAME.fullmatch(str(name)):
            yield SpecError(path, "cannot be a credential's name", hint="Use up to 200 letters, digits, '_', '.', '@', '+' and '-'")
        if not isinstance(value, str):
            yield SpecError(path, "is no text", hint="Give a text; quote what looks like a number")
        total += len(str(value).encode())
    if total > _MOST:
        yield SpecError("credentials", "are larger than 1MiB together, and systemd takes no more", hint="Hand it over on a disk or a share")
    left = [name for name in spec["credentials"] if name not in _by_smbios(spec)]
    if left:
        yield from _check_fw_cfg(left, spec["arch"])


def _check_ignition(spec: dict[str, Any]) -> Iterator[SpecError]:
    from .text import read

    try:
        known = "ignition" in read(spec["ignition"], "json")
    except ValueError as exc:
        yield SpecError("ignition", str(exc), hint="Butane writes it: butane --strict config.bu; or give it as a dictionary")
        return
    if not known:
        yield SpecError("ignition", "has no key ignition, so it is no Ignition config", hint="Begin with ignition: {version: 3.4.0}")
    if spec["arch"] not in _WITH_FW_CFG:
        yield SpecError("ignition", f"QEMU has no fw_cfg on {spec['arch']} machines, by which it is handed over", hint="Hand it over on a disk")


def _check_fw_cfg(names: list[str], arch: str) -> Iterator[SpecError]:
    small = "Give fewer and smaller ones: on x86 and with UEFI those that make less than 4KB together go by SMBIOS"
    if arch not in _WITH_FW_CFG:
        yield SpecError("credentials", f"QEMU has no way to hand them to {arch} machines", hint="Use cloud_init, or a disk")
    if len(names) > _FW_CFG_COUNT:
        yield SpecError("credentials", f"are more than the {_FW_CFG_COUNT} that QEMU's fw_cfg has room for", hint=small)
    for name in names:
        if len(name) > _FW_CFG_NAME:
            yield SpecError(f"credentials[{name}]", f"is longer than the {_FW_CFG_NAME} characters that QEMU's fw_cfg leaves it", hint=small)


def _by_smbios(spec: dict[str, Any]) -> dict[str, str]:
    """The credentials that go by SMBIOS, which needs no module of the kernel, as texts: where there is SMBIOS, the small ones."""
    from base64 import b64encode

    if spec["arch"] not in ("x86_64", "i386") and spec["firmware"] != "uefi":
        return {}
    texts: dict[str, str] = {}
    for name, value in sorted(spec["credentials"].items(), key=lambda item: len(str(item[1]))):
        text = f"io.systemd.credential.binary:{name}={b64encode(str(value).encode()).decode()}"
        if sum(map(len, texts.values())) + len(texts) + len(text) > _SMBIOS:
            break
        texts[name] = text
    return texts


def private_files(spec: dict[str, Any], site: Site) -> Iterator[PrivateFile]:
    if spec["ignition"] is not None:
        yield PrivateFile(_file("ignition", site), spec["ignition"])
    for name, content in {**spec["credentials"], **_by_smbios(spec)}.items():
        yield PrivateFile(_file(f"credential-{name}", site), content)


def _file(name: str, site: Site) -> str:
    return f"{site.directory}/{name}.private"


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    if spec["ignition"] is not None:
        yield Part("fw_cfg", {"name": "opt/com.coreos/config", "file": _file("ignition", site)})
    small = _by_smbios(spec)
    for name in spec["credentials"]:
        file = _file(f"credential-{name}", site)
        yield Part("smbios", {"type": 11, "path": file}) if name in small else Part("fw_cfg", {"name": f"{_FW_CFG}{name}", "file": file})
