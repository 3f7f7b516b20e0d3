# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to a machine, one small record each. Every step says what it is and is safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._spec.disk_file import DiskFile
from .._spec.image import Source
from .._spec.live import Plug, Unit, Unplug
from .._spec.live import Tell as Words
from .._spec.part import hot_plug, unplug
from .._spec.qmp_schema import veil
from .._spec.size import format_size
from .diff import Change, describe


# Without comparison and repr a dataclass is made in a sixth of the time, and every task pays for these.
@dataclass(repr=False, eq=False)
class Step:
    """``action`` is the word in the task's ``actions``."""

    action = ""

    def summary(self) -> str:
        """One line for people."""
        raise NotImplementedError

    def details(self) -> dict[str, Any]:
        """Further keys of its entry in ``actions``."""
        return {}


@dataclass(repr=False, eq=False)
class Define(Step):
    """Store the declaration."""

    new: bool
    paths: tuple[str, ...] = ()
    action = "define"

    def summary(self) -> str:
        return "define the machine" if self.new else f"store the new declaration ({', '.join(self.paths) or 'as written'})"


@dataclass(repr=False, eq=False)
class DiskStep(Step):
    """What is done to a disk's file."""

    disk: DiskFile

    def details(self) -> dict[str, Any]:
        return {"disk": self.disk.disk, "file": self.disk.file}


@dataclass(repr=False, eq=False)
class BringImage(Step):
    """Bring an image into the cache."""

    source: Source
    action = "fetch_image"

    def summary(self) -> str:
        return f"fetch image {self.source.name} from {self.source.place}"

    def details(self) -> dict[str, Any]:
        return {"image": self.source.name, "source": self.source.place}


@dataclass(repr=False, eq=False)
class MakeDisk(DiskStep):
    """Make a disk's file.

    :param base: what it is made of, None where that was brought just before; anew: in the place of the one that is there.
    """

    base: dict[str, Any] | None = None
    anew: bool = False
    action = "make_disk"

    def summary(self) -> str:
        size = f" of {format_size(self.disk.size)}" if self.disk.size else ""
        base = f" {'copied from' if self.disk.copy else 'over'} {self.disk.image}" if self.disk.image else ""
        return f"make disk {self.disk.disk}{' anew, in the place of its data' if self.anew else ''}: {self.disk.format}{size}{base}"

    def details(self) -> dict[str, Any]:
        return {**super().details(), **({"base": self.base["file"]} if self.base else {})}


@dataclass(repr=False, eq=False)
class GrowDisk(DiskStep):
    """Grow a disk's file."""

    action = "grow_disk"

    def summary(self) -> str:
        return f"grow disk {self.disk.disk} to {format_size(self.disk.size or 0)}"


@dataclass(repr=False, eq=False)
class DeleteDisk(Step):
    """Delete the file of a disk that left the declaration."""

    disk: str
    file: str
    action = "delete_disk"

    def summary(self) -> str:
        return f"delete disk {self.disk}"

    def details(self) -> dict[str, Any]:
        return {"disk": self.disk, "file": self.file}


@dataclass(repr=False, eq=False)
class MakeNvram(Step):
    """Give the machine UEFI variables of its own."""

    template: str
    file: str
    action = "make_nvram"

    def summary(self) -> str:
        return f"make the UEFI variables from {self.template}"

    def details(self) -> dict[str, Any]:
        return {"file": self.file}


@dataclass(repr=False, eq=False)
class Start(Step):
    """Start QEMU; ``as_before``: with the command line it last had, for memory that was saved from it."""

    paused: bool
    as_before: bool = False
    action = "start"

    def summary(self) -> str:
        return "start with the virtual CPUs stopped" if self.paused else "start"


@dataclass(repr=False, eq=False)
class Stop(Step):
    """End QEMU, by ``force`` without asking the guest."""

    force: bool
    action = "stop"

    def summary(self) -> str:
        return "stop at once" if self.force else "ask the guest to power down"


@dataclass(repr=False, eq=False)
class Suspend(Step):
    """Save the memory and end QEMU."""

    action = "suspend"

    def summary(self) -> str:
        return "save the guest's memory and stop"


@dataclass(repr=False, eq=False)
class Restore(Step):
    """Load the saved memory into a QEMU that was started for it."""

    action = "restore"

    def summary(self) -> str:
        return "load the guest's saved memory"


@dataclass(repr=False, eq=False)
class Discard(Step):
    """Give up the saved memory."""

    action = "discard"

    def summary(self) -> str:
        return "discard the guest's saved memory"


@dataclass(repr=False, eq=False)
class Revert(Step):
    """Put the disks back as they were at a snapshot; memory that belongs to it is what the machine goes on from."""

    label: str
    action = "revert"

    def summary(self) -> str:
        return f"put the disks back to snapshot {self.label}"


@dataclass(repr=False, eq=False)
class Release(Step):
    """Let a guest go on that a task held still for a snapshot and was cut off."""

    action = "thaw"

    def summary(self) -> str:
        return "let the guest go on that was held still for a snapshot"


@dataclass(repr=False, eq=False)
class Tell(Step):
    """QMP commands that change what the running machine does; ``again``: after what stopped it on an I/O error."""

    what: str
    commands: tuple[dict[str, Any], ...]
    again: bool = False
    action = "qmp"

    def summary(self) -> str:
        return self.what

    def details(self) -> dict[str, Any]:
        return {"commands": list(self.commands)}


_WORDS = {Words: "qmp", Plug: "plug", Unplug: "unplug", Unit: "set_properties"}


@dataclass(repr=False, eq=False)
class Adjust(Step):
    """Changes put in force while the machine runs."""

    deed: Words | Plug | Unplug | Unit
    changes: tuple[Change, ...]

    @property
    def action(self) -> str:  # type: ignore[override]
        return _WORDS[type(self.deed)]

    def summary(self) -> str:
        return "; ".join(describe(change) for change in self.changes)

    def details(self) -> dict[str, Any]:
        return {"paths": [change.path for change in self.changes], **({} if isinstance(self.deed, Unit) else {"commands": veil(self._commands())})}

    def _commands(self) -> list[dict[str, Any]]:
        if isinstance(self.deed, Words):
            return self.deed.commands
        if isinstance(self.deed, Plug):
            return [hot_plug(part) for part in self.deed.parts]
        return [*self.deed.first, *(unplug(part) for part in reversed(self.deed.parts))] if isinstance(self.deed, Unplug) else []


@dataclass(repr=False, eq=False)
class Remove(Step):
    """Remove all that is the machine's."""

    directory: str
    action = "remove"

    def summary(self) -> str:
        return "remove the machine and its files"

    def details(self) -> dict[str, Any]:
        return {"directory": self.directory}
