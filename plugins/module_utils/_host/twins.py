# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that every row of the state DB has a twin in: what is known where the DB does not tell."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, TypeVar

from .._plan.record import Record
from .paths import Paths

if TYPE_CHECKING:
    from .._plan.network import NetworkRecord

T = TypeVar("T", Record, "NetworkRecord")


class Twins:
    """
    :param warnings: of what cannot be read, for the user.
    """

    def __init__(self, paths: Paths, warnings: list[str]) -> None:
        self._paths, self._warnings = paths, warnings

    def machines(self, names: list[str] | None = None) -> dict[str, Record]:
        """Records of machines whose ``machine.json`` can be read."""
        return self._read(Record, self._paths.machines, "machine", names)

    def networks(self, names: list[str] | None = None) -> dict[str, NetworkRecord]:
        """Records of networks whose ``network.json`` can be read."""
        from .._plan.network import NetworkRecord

        return self._read(NetworkRecord, self._paths.networks, "network", names)

    def _read(self, kind: type[T], parent: str, word: str, names: list[str] | None) -> dict[str, T]:
        if names is None:
            names = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
        records = {}
        for name in names:
            try:
                with open(f"{parent}/{name}/{word}.json", encoding="utf-8") as stream:
                    record = kind.load(json.load(stream))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, TypeError, AttributeError):
                self._warnings.append(f"{parent}/{name}/{word}.json cannot be read: its {word} is not known any more")
                continue
            # Of a copy of a directory nobody but its user knows which is the newer.
            if record.directory == f"{parent}/{name}":
                records[name] = record
        return records
