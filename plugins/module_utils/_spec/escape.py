# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The escape hatches: QEMU's own property dicts, and arguments as a last resort."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any

from .._errors import SpecError
from .drive import controller
from .live import Plug, Unplug, Wait
from .option import LIVE, Option
from .part import Part
from .site import Site
from .slots import bus, why_full

# Arguments that carry what makes a machine manageable: given twice, QEMU obeys one of the two and we know neither.
_OURS = frozenset({"-name", "-uuid", "-pidfile", "-daemonize", "-S", "-qmp", "-sandbox", "-nodefaults", "-incoming", "-loadvm"})

# Ids that our own devices and objects have: of two with one id QEMU refuses the second, or we would take one for the other.
TAKEN = re.compile(
    r"(port|disk|nic|net|share|cpu|display)-.*|usb|scsi|balloon|guest-agent|spice-agent|vdagent|virtio-serial|memory|more-memory(-backend)?"
    r"|seed|rng(-device)?|tpm(-device)?|video|vsock|watchdog|tablet|keyboard"
)


def _live(change: Any, site: Site) -> list[Any]:
    """A device or object added, removed or, since QEMU changes neither, replaced."""
    make = _device if change.option.name == "devices" else _object
    added = make(change.after, site) if change.after else []
    reason = why_full([part for part in added if part.value["id"] not in site.facts.devices], site)
    if reason:
        return [Wait(reason)]
    removed = [Unplug(make(change.before, site)[-1:])] if change.before else []
    return [*removed, *([Plug(added)] if added else [])]


# Devices may use objects, so these come first; what is removed goes in the other order.
OPTIONS = (
    Option("objects", "keyed", key=("id",), change=LIVE, live=_live, note="one that changes is removed and added again"),
    Option(
        "devices",
        "keyed",
        key=("id",),
        change=LIVE,
        live=_live,
        device="{}",
        note="where QEMU plugs the driver; one that changes is removed, when the guest agrees, and added again",
    ),
    Option("extra_args", "list"),
)


def _check_ids(spec: dict[str, Any]) -> Iterator[SpecError]:
    for option in ("devices", "objects"):
        for name in filter(TAKEN.fullmatch, spec[option]):
            yield SpecError(f"{option}[{name}].id", f"{name!r} is an id of this collection's own", hint=f"Give it another, such as my-{name}")


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    yield from _check_ids(spec)
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


def _device(device: dict[str, Any], site: Site) -> list[Part]:
    """The device, behind the controller that it hangs on; a bus that the user names is the user's choice."""
    controllers = [controller("usb", site)] if _is_usb(device) else []
    return [*controllers, Part("device", {**bus(device["id"], site), **device})]


def _is_usb(device: dict[str, Any]) -> bool:
    return device["driver"].startswith("usb-") and "bus" not in device


def _object(item: dict[str, Any], site: Site) -> list[Part]:
    return [Part("object", item)]


def slots(spec: dict[str, Any], pci: Container[str]) -> Iterator[str]:
    """The devices that take a PCIe port; ``pci``: drivers that are PCI devices."""
    for name, device in spec["devices"].items():
        if _is_usb(device):
            yield "usb"
        elif device["driver"] in pci and "bus" not in device:
            yield name


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    for item in spec["objects"].values():
        yield from _object(item, site)
    for device in spec["devices"].values():
        yield from _device(device, site)


def observe(spec: dict[str, Any], facts: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Objects that QEMU does not have any more."""
    for name in spec["objects"]:
        if name not in facts.objects:
            yield ("objects", name), None
