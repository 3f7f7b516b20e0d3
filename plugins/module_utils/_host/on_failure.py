# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start what a machine names for its failure; the unit's ``ExecStopPost=`` runs this after each end of QEMU that was none of its own.

It is copied into the machine's directory, since the collection is not there then: ``python3 on_failure.py <directory>``.
systemd's ``OnFailure=`` comes only when it has given up starting the unit again (seen with systemd 252).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

_TOLD = ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")


def main(directory: str) -> None:
    with open(f"{directory}/machine.json", encoding="utf-8") as file:
        record = json.load(file)
    wanted = record["declared"].get("on_failure") or {}
    name, unit, command = record["name"], wanted.get("unit"), wanted.get("command")
    if unit:
        instance = unit.replace("@.", f"@{name}.")
        subprocess.run(["systemctl", "--user", "--no-block", "start", instance], check=False)
    if command:
        told = {"MAQET_VM": name, "MAQET_LAB": record.get("lab", ""), **{key: os.environ.get(key, "") for key in _TOLD}}
        own = [f"--unit=maqet-failed-{name}-{time.time_ns()}", "--slice=maqet.slice", *(f"--setenv={key}={value}" for key, value in told.items())]
        # systemd replaces $NAME in a unit's arguments.
        words = [word.replace("$", "$$") for word in command]
        subprocess.run(["systemd-run", "--user", "--quiet", "--collect", "--no-block", *own, "--", *words], check=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
