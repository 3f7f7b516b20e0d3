# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host says of machines: processes, units, ports, files. Nothing here knows our code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")[:-1]
    except OSError:
        return []


def environment(pid):
    """As bytes; of another user's process none."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def qemus(directory):
    """Pids of the QEMU processes of which an argument names something below ``directory``."""
    found = []
    for entry in os.listdir("/proc"):
        argv = command_line(entry) if entry.isdigit() else []
        if argv and "qemu-system" in argv[0] and any(f"{directory}/" in word.replace(",,", ",") for word in argv):
            found.append(int(entry))
    return found


def end_all(directory):
    """Kill the processes that wrote their pids there, if an argument of theirs says that they are still those."""
    for file in Path(directory).glob("*.pid"):
        pid = file.read_text().strip()
        if pid and any(Path(directory).name in word for word in command_line(pid)):
            os.kill(int(pid), signal.SIGKILL)


def is_alive(pid):
    """Zombies are dead: their parent has yet to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def systemctl(*words, check=True):
    done = subprocess.run(["systemctl", "--user", *words], capture_output=True, text=True, timeout=100, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def unit(name):
    """The properties of a machine's unit."""
    lines = systemctl("show", f"maqet-vm-{name}.service").splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def units(word):
    """Loaded units with ``word`` in their name."""
    return [line.split()[0] for line in systemctl("list-units", "--all", "--plain", "--no-legend", f"*{word}*").splitlines()]


def listens(port):
    """Whether a connection to the port is taken."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def recorded(directory):
    """The lines of a machine's flight recorder, whole ones only."""
    return [json.loads(line) for line in Path(directory, "events.jsonl").read_text().splitlines() if line.endswith("}")]


def event_names(directory):
    return [line["event"] for line in recorded(directory) if "event" in line]


def starts(directory):
    """How often a QEMU began to write to the flight recorder."""
    return sum("QMP" in line for line in recorded(directory))


def disk(file):
    """What qemu-img says of a disk."""
    argv = ["qemu-img", "info", "--output=json", "--force-share", str(file)]
    return json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def listing(*directories):
    """Every path below, with its size and time of change."""
    found = {}
    for directory in directories:
        for path in Path(directory).rglob("*"):
            facts = path.lstat()
            found[str(path)] = (facts.st_mode, facts.st_size, facts.st_mtime_ns)
    return found


# A host may be slow, and busy with other tests: what takes longer than it should is no failure.
PATIENCE = 4


def wait_until(condition, seconds=10):
    """The condition's first true value; fails when none comes."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds * PATIENCE} s"
        time.sleep(0.02)
