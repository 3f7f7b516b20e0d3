# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine's private files: passwords, seeds, what is handed to its guest. Written before each start, gone when not declared."""

from __future__ import annotations

import os
import re
from typing import Any

from .._plan.record import Record
from .._spec.declaration import private_files
from .paths import write_private

# Names that no disk's file has.
_OURS = re.compile(r"(display\.password|.*\.private|seed-.*\.iso)(\.\d+\.new)?")


def write_files(record: Record, spec: dict[str, Any], *, as_before: bool) -> None:
    """
    :param as_before: for saved memory: what its QEMU had open stays as it is.
    """
    wanted = {file.path: file.content for file in private_files(spec, record.site())}
    if not as_before:
        for name in filter(_OURS.fullmatch, os.listdir(record.directory)):
            if f"{record.directory}/{name}" not in wanted:
                os.unlink(f"{record.directory}/{name}")
    for path, content in wanted.items():
        if isinstance(content, str):
            write_private(path, content)
        elif not os.path.exists(path):
            from .seed import make_volume

            write_private(path, make_volume(content))
