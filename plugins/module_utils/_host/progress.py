# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is being done, for who watches: a line of JSON each, ``{time, name, what}``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from .._errors import HostError


def teller(path: str) -> Callable[[str, str], None]:
    """What appends to the file, which is made (0600).

    :raises HostError: it cannot be.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise HostError(f"cannot write {path}: {exc.strerror}") from exc
    file = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")

    def tell(name: str, what: str) -> None:
        file.write(json.dumps({"time": round(time.time(), 3), "name": name, "what": what}) + "\n")

    return tell
