# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, as one tree.

::

    MaqetError
    ├── SpecError          the declaration: which key, what value, why
    ├── RefusedError       the declaration is sound and was refused (protect, shrink, a policy)
    ├── HostError          this host lacks something: a program, a directory, a port
    │   ├── CommandError   a program ended with an error: argv, exit code, its own words
    │   ├── ImageError     an image is not what it should be: its sum, its format, what it leans on
    │   └── StateError     the state DB cannot be used
    ├── LockedError        another process works on the machine
    └── MachineError       what runs does not do what was asked
        ├── StartError     QEMU ended at start: argv, exit code, the end of its log
        ├── UnresponsiveError  the monitor did not answer in time
        └── QmpError       QEMU answered with an error: its class and words

Pure code raises these; ``_module.py`` alone turns one into ``fail_json``.
"""

from __future__ import annotations

from typing import Any


class MaqetError(Exception):
    """An error a user can act on.

    :param message: what is wrong, one sentence, without the machine's name.
    :param hint: what to do about it.
    :param data: further keys of the task's result.
    """

    def __init__(self, message: str, *, hint: str = "", **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class SpecError(MaqetError):
    """The declaration is wrong at ``path`` (``disks[root].size``)."""

    def __init__(self, path: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, hint=hint, path=path)


class RefusedError(MaqetError):
    """Understood, and not done: it would lose something, or a policy forbids it."""


class HostError(MaqetError):
    """This host lacks something."""


class CommandError(HostError):
    """A program ended with an error."""

    def __init__(self, argv: list[str], returncode: int, output: str, *, hint: str = "") -> None:
        words = " ".join(output.split())
        super().__init__(f"{argv[0]} ended with exit code {returncode}: {words}", hint=hint, cmd=argv, rc=returncode, stderr=output)


class ImageError(HostError):
    """An image is not what it should be: fetching it again may help, using it never."""


class StateError(HostError):
    """The state DB cannot be used."""


class LockedError(MaqetError):
    """Another process holds the machine's lock."""


class MachineError(MaqetError):
    """What runs does not do what was asked."""


class StartError(MachineError):
    """QEMU ended before it answered."""


class UnresponsiveError(MachineError):
    """The monitor did not answer before the deadline."""


class QmpError(MachineError):
    """QEMU answered a command with an error.

    :param error_class: QMP's ``class`` (``GenericError``, ``DeviceNotFound``, …).
    """

    def __init__(self, command: str, error_class: str, description: str) -> None:
        super().__init__(f"{command}: {description}", command=command, error_class=error_class)
