# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloud-init: what the guest is told at its boots, on a small read-only disk (the data source NoCloud)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import LIVE, Option
from .part import Part
from .private_file import PrivateFile
from .site import Site
from .slots import bus

_TEXT = "a dictionary, or a text"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
# What changes the seed, by path.
_OF_THE_SEED = re.compile(r"cloud_init(\..*)?|nics\[.*\]\.(address|gateway|dns)(\[.*)?")

OPTIONS = (
    Option(
        "cloud_init",
        "map",
        optional=True,
        options=(
            Option("user_data", "text", language="cloud-config", secret=True, expects=_TEXT),
            Option("meta_data", "text", language="yaml", secret=True, expects=_TEXT),
            Option("network_config", "text", language="yaml", secret=True, expects=_TEXT),
            Option("vendor_data", "text", language="cloud-config", secret=True, expects=_TEXT),
            Option("ssh_keys", "list", secret=False),
            Option("hosts", "dict"),
        ),
    ),
    Option("cloud_init_on_change", "str", "ignore", choices=("reboot", "recreate", "ignore"), change=LIVE),
)


def has_seed(spec: dict[str, Any]) -> bool:
    return spec.get("cloud_init") is not None or any(nic.get("address") for nic in spec.get("nics", {}).values())


def is_of_the_seed(path: str) -> bool:
    """Whether a change of this path is one of the seed."""
    return bool(_OF_THE_SEED.fullmatch(path))


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    given = spec["cloud_init"]
    if given is None:
        return
    from . import text

    for key in ("user_data", "vendor_data"):
        if given[key] is not None:
            yield from _check_config(f"cloud_init.{key}", given[key])
    meta: dict[str, Any] = {}
    for key in ("meta_data", "network_config"):
        try:
            found = text.read(given[key], "yaml") if given[key] is not None else {}
        except ValueError as exc:
            yield SpecError(f"cloud_init.{key}", str(exc), hint="Give it as a dictionary, and it is written for you")
            continue
        meta = found if key == "meta_data" else meta
    if given["ssh_keys"] and "public-keys" in meta:
        yield SpecError("cloud_init.ssh_keys", "is what meta_data has as public-keys too", hint="Keep one of them")
    addressed = next((name for name, nic in spec["nics"].items() if nic["address"]), None)
    if given["network_config"] is not None and addressed is not None:
        yield SpecError("cloud_init.network_config", f"is the whole network, and nics[{addressed}].address is a part of it", hint="Keep one of them")
    yield from _check_keys(given["ssh_keys"])
    yield from _check_hosts(given["hosts"])


def _check_config(path: str, given: str) -> Iterator[SpecError]:
    """cloud-init knows a text by how it begins, and lets one that it does not know go by with a line in its log."""
    from . import text

    if given.split("\n", 1)[0].rstrip() == text.CLOUD_CONFIG:
        try:
            text.read(given, "yaml")
        except ValueError as exc:
            yield SpecError(path, str(exc), hint="Give it as a dictionary, and it is written for you")
    elif not given.startswith(("#", "Content-Type:", "MIME-Version:")):
        yield SpecError(path, "is nothing that cloud-init knows", hint=f"Begin it with a line {text.CLOUD_CONFIG} or #!/bin/sh, or give a dictionary")


def _check_keys(keys: list[str]) -> Iterator[SpecError]:
    for position, key in enumerate(keys):
        if "PRIVATE KEY" in key:
            yield SpecError(f"cloud_init.ssh_keys[{position}]", "is a private key", hint="Give the public one, the line of the file *.pub")
        elif len(key.split()) < 2 or "\n" in key.strip():
            yield SpecError(f"cloud_init.ssh_keys[{position}]", "is not one public key", hint="Give one line a key, such as ssh-ed25519 AAAA… me")


def _check_hosts(hosts: dict[str, Any]) -> Iterator[SpecError]:
    import ipaddress

    for name, address in hosts.items():
        if not _HOST.fullmatch(str(name)):
            yield SpecError(f"cloud_init.hosts[{name}]", "cannot be a host's name", hint="Use letters, digits, '.' and '-'")
        try:
            if not isinstance(address, str):
                raise ValueError
            ipaddress.ip_address(address)
        except ValueError:
            yield SpecError(f"cloud_init.hosts[{name}]", f"{address!r} is no IP address", hint="Such as 10.10.0.10")


def slots(spec: dict[str, Any]) -> Iterator[str]:
    """The devices that take a PCIe port."""
    if has_seed(spec):
        yield "seed"


def private_files(spec: dict[str, Any], site: Site) -> Iterator[PrivateFile]:
    if has_seed(spec):
        from .seed import contents

        yield PrivateFile(_file(spec, site), contents(spec, site))


def _file(spec: dict[str, Any], site: Site) -> str:
    from .seed import contents, digest

    return f"{site.directory}/seed-{digest(contents(spec, site), site)}.iso"


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    """Debian's cloud kernels have no driver for SATA drives (CONFIG_SATA_AHCI is not set), so the volume is on a virtio disk."""
    if has_seed(spec):
        file = {"driver": "file", "filename": _file(spec, site)}
        yield Part("blockdev", {"node-name": "seed", "driver": "raw", "read-only": True, "file": file})
        yield Part("device", {"driver": "virtio-blk-pci", "id": "seed", **bus("seed", site), "drive": "seed", "num-queues": 1, "serial": "seed"})
