# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The screen: a video device, and who may look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import SpecError
from .channel import AGENT_BUS
from .live import Tell, Wait
from .option import LIVE, Option
from .part import Part
from .private_file import PrivateFile
from .site import Site

_DRIVERS = {
    "std": "VGA",
    "virtio": "virtio-gpu-pci",
    "virtio-vga": "virtio-vga",
    "qxl": "qxl-vga",
    "bochs": "bochs-display",
    "cirrus": "cirrus-vga",
    "vmware": "vmware-svga",
    "ati": "ati-vga",
    "ramfb": "ramfb",
}
_ID = "display-password"
# The protocols' own limits: VNC looks at 8 characters, SPICE takes 59 (SPICE_MAX_PASSWORD_LENGTH).
_LONGEST = {"vnc": 8, "spice": 59}


def _live_password(change: Any, site: Site) -> list[Any]:
    started, kind = (site.started or {}).get("display", {}), site.spec["display"]["type"]
    if started.get("type") != kind or kind == "none":
        return [Wait("it comes with the display")]
    if not (started.get("password") and change.after):
        return [Wait("QEMU asks for a password, or for none, from its start on")]
    # Who looks at the screen now may stay.
    arguments = {"protocol": kind, "password": change.after, "connected": "keep"}
    return [Tell([{"execute": "set_password", "arguments": arguments}], {_password_file(change.after, site).path: change.after})]


OPTIONS = (
    Option(
        "display",
        "map",
        options=(
            Option("type", "str", "none", choices=("none", *_LONGEST)),
            Option("password", secret=True, change=LIVE, live=_live_password, note="one for another; the first and the last at the next start"),
        ),
    ),
    Option("video", choices=("none", *_DRIVERS)),
)


def fill(spec: dict[str, Any]) -> None:
    # Elsewhere guests have no driver for a VGA card, or one that shows nothing under KVM.
    spec["video"] = spec["video"] or ("std" if spec["arch"] in ("x86_64", "i386") else "virtio")


def check(spec: dict[str, Any]) -> Iterator[SpecError]:
    kind, password = spec["display"]["type"], spec["display"]["password"]
    if kind != "none" and spec["video"] == "none":
        yield SpecError("display.type", f"{kind!r} needs a video device", hint="Set video, such as std")
    if password is None:
        return
    if kind == "none":
        yield SpecError("display.password", "protects nothing: display.type is none", hint="Set display.type: vnc or spice, or leave it out")
    elif not 1 <= len(password.encode()) <= _LONGEST[kind] or not password.isprintable():
        why = f"must be 1 to {_LONGEST[kind]} characters that can be typed, for {kind}"
        yield SpecError("display.password", why, hint="More protection: none, and a way to the socket by ssh" if kind == "vnc" else "Use another")


def types(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What QEMU must have been built with, by option: types of its object model."""
    if spec["video"] not in ("none", "std"):
        yield "video", _DRIVERS[spec["video"]]
    if spec["display"]["type"] == "spice":
        yield "display.type", "chardev-spicevmc"


def private_files(spec: dict[str, Any], site: Site) -> Iterator[PrivateFile]:
    """What QEMU reads and nobody else may."""
    if spec["display"]["password"]:
        yield _password_file(spec["display"]["password"], site)


def _password_file(password: str, site: Site) -> PrivateFile:
    return PrivateFile(f"{site.directory}/display.password", password)


def parts(spec: dict[str, Any], site: Site) -> Iterator[Part]:
    kind = spec["display"]["type"]
    if spec["video"] != "none":
        yield Part("device", {"driver": _DRIVERS[spec["video"]], "id": "video"})
    yield Part("display", "none")
    secret = {}
    for file, _content in private_files(spec, site):
        yield Part("object", {"qom-type": "secret", "id": _ID, "file": file})
        secret = {"password-secret": _ID}
    if kind == "vnc":
        yield Part("vnc", {"vnc": f"unix:{site.sockets['vnc']}", **secret})
    elif kind == "spice":
        yield Part("spice", {"unix": True, "addr": site.sockets["spice"], **(secret or {"disable-ticketing": True})})
        yield from _spice_agent()


def _spice_agent() -> Iterator[Part]:
    """The channel by which the guest's agent shares the clipboard and follows the window's size."""
    yield AGENT_BUS
    yield Part("chardev", {"backend": "spicevmc", "id": "vdagent", "name": "vdagent"})
    port = {"driver": "virtserialport", "id": "spice-agent", "bus": "virtio-serial.0", "chardev": "vdagent", "name": "com.redhat.spice.0"}
    yield Part("device", port)
