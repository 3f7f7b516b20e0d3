# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The escape hatches: QEMU's own property dicts, and arguments as a last resort."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .option import Option
from .part import Part
from .site import Site

# Arguments that carry what makes a machine manageable: given twice, QEMU obeys one of the two and we know neither.
_OURS = frozenset({"-name", "-uuid", "-pidfile", "-daemonize", "-S", "-qmp", "-sandbox", "-nodefaults", "-incoming", "-loadvm"})

OPTIONS = (
    Option("devices", "keyed", key=("id",)),
    Option("objects", "keyed", key=("id",)),
    Option("extra_args", "list"),
)


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    for name, device in spec["devices"].items():
        if not device.get("driver"):
            yield SpecError(f"devices[{name}]", "has no driver", hint="Add driver, a device of QEMU such as virtio-scsi-pci")
    for name, item in spec["objects"].items():
        if not item.get("qom-type"):
            yield SpecError(f"objects[{name}]", "has no qom-type", hint="Add qom-type, an object of QEMU such as iothread")
        if item.get("qom-type") == "secret" and "data" in item:
            yield SpecError(
                f"objects[{name}].data", "would put the secret into the command line, which other users see", hint="Use file, a file with mode 0600"
            )
    for position, word in enumerate(spec["extra_args"]):
        flag = word.replace("--", "-", 1) if word.startswith("--") else word
        if flag in _OURS:
            yield SpecError(f"extra_args[{position}]", f"{word} is set by this collection", hint="Leave it out")


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for item in spec["objects"].values():
        yield Part("object", item)
    for device in spec["devices"].values():
        yield Part("device", device)
