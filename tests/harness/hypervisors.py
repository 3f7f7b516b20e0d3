# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two whole hypervisors, Debian 12 and 13, each with a systemd, logind and sshd of its own: containers on this host's network.

Root boots them with a layer of their own over their systems, which is gone afterwards: ``python3 -m …harness.hypervisors make``,
``boot DIRECTORY``, ``end DIRECTORY``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .debian import _run
from .hypervisor_systems import USER, make_systems, place_of

RELEASES = {"hv1": "bookworm", "hv2": "trixie"}
SECONDS = 90


def make():
    make_systems(RELEASES.values())


def boot(directory):
    """Boot both, and leave ``hosts.json``, an inventory, there."""
    directory = Path(directory)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "key")
    hosts = {}
    for name, release in RELEASES.items():
        hosts[name] = _boot(name, release, directory)
    end = time.monotonic() + SECONDS
    for name, known in hosts.items():
        while not _answers(known["ansible_port"]):
            if time.monotonic() > end:
                sys.exit(f"{name} did not boot: {(directory / name / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
    known = {"ansible_user": USER, "ansible_host": "127.0.0.1", "ansible_ssh_private_key_file": str(directory / "key")}
    known["ansible_ssh_common_args"] = f"-o BatchMode=yes -o UserKnownHostsFile={directory}/known"
    (directory / "hosts.json").write_text(json.dumps({"all": {"vars": known, "hosts": hosts}}))


# In a namespace of mounts that ends with it. Where /run is on a disk systemd-nspawn would not remove what it has there. With --keep-unit it leaves
# it to others to boot again after a reboot, and ends with 133.
SCRIPT = """set -e
mount -t overlay -o "lowerdir=$1,upperdir=$2/over,workdir=$2/work" overlay "$2/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
trap 'kill -TERM "$child"' TERM
code=133
while test "$code" = 133; do
    systemd-nspawn --quiet --directory="$2/root" --boot --register=no --keep-unit --private-users=no --resolv-conf=copy-host --machine="$3" --console=pipe &
    child=$!
    while kill -0 "$child" 2>/dev/null; do code=0; wait "$child" || code=$?; done
done
"""


def _boot(name, release, directory):
    place, system, port = directory / name, place_of(release) / "root", _free_port()
    for folder in ("root", "over", "work"):
        (place / folder).mkdir(parents=True)
    files = {"etc/hostname": f"{name}\n", "etc/hosts": f"127.0.0.1 localhost {name}\n"}
    files["etc/ssh/sshd_config.d/port.conf"] = f"Port {port}\nListenAddress 127.0.0.1\n"
    files[f"home/{USER}/.ssh/authorized_keys"] = (directory / "key.pub").read_text()
    for path, text in files.items():
        _lay_over(system, place / "over", Path(path), text)
    with open(directory / "known", "a", encoding="utf-8") as file:
        file.write(f"[127.0.0.1]:{port} {(system / 'etc/ssh/ssh_host_ed25519_key.pub').read_text()}")
    argv = ["unshare", "--mount", "sh", "-c", SCRIPT, "boot", str(system), str(place), f"maqet-{name}"]
    with open(place / "log", "wb") as log:
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    (place / "pid").write_text(str(process.pid))
    return {"ansible_port": port}


def _lay_over(system, over, path, text):
    """A file over those of the system, whose directories stay whose they are."""
    owner = (system / path.parts[0]).stat()
    for folder in [*reversed(path.parents)][1:]:
        below = system / folder
        owner = below.stat() if below.exists() else owner
        (over / folder).mkdir(exist_ok=True)
        (over / folder).chmod(owner.st_mode & 0o777)
        os.chown(over / folder, owner.st_uid, owner.st_gid)
    (over / path).write_text(text)
    os.chown(over / path, owner.st_uid, owner.st_gid)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            return client.recv(3) == b"SSH"
    except OSError:
        return False


def end(directory):
    """End what was booted there."""
    for place in (Path(directory) / name for name in RELEASES):
        if (place / "pid").exists():
            _end(int((place / "pid").read_text()))


def _end(pid):
    """The system's end, or after some seconds its processes'."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        until = time.monotonic() + seconds
        while _lives(pid) and time.monotonic() < until:
            (os.kill if number == signal.SIGTERM else os.killpg)(pid, number)
            time.sleep(1 if number == signal.SIGTERM else 0.1)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    {"make": make, "boot": boot, "end": end}[sys.argv[1]](*sys.argv[2:])
