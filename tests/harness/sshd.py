# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An ssh server of an ordinary user on a high port, for that user alone: the far end of what goes to another host."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from . import look
from .guest import _apt, alone

CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
# Who is not root may give no terminal where devpts is mounted without the group tty.
PermitTTY no
Subsystem sftp internal-sftp
SetEnv XDG_RUNTIME_DIR={runtime}
"""


def find_sshd():
    """The host's, or one out of Debian's package, which nobody installs: its program and where its libraries are."""
    path = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if path:
        return path, ""
    cache = Path(os.environ.get("MAQET_TEST_CACHE") or Path.home() / ".cache/maqet-qemu") / "sshd"
    with alone(cache):
        if not cache.exists():
            work = cache.with_name(f"{cache.name}.{os.getpid()}")
            (work / "packages").mkdir(parents=True)
            _apt("apt-get", work / "packages", "-q", "download", "openssh-server", "libwrap0")
            for package in (work / "packages").glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(package), str(work)], check=True)
            work.rename(cache)
    # Since 9.8 it needs a second program, at the place that it was built for.
    if (cache / "usr/lib/openssh/sshd-session").exists():
        return None, ""
    return str(cache / "usr/sbin/sshd"), str(next(cache.rglob("libwrap.so.0")).parent)


class Sshd:
    """:param runtime: ``XDG_RUNTIME_DIR`` of who comes in; more: lines of its configuration."""

    def __init__(self, folder, runtime, *more):
        self.folder = Path(folder)
        self.folder.mkdir()
        program, libraries = find_sshd()
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = self.folder / "config"
        config.write_text(CONFIG.format(port=self.port, folder=self.folder, runtime=runtime) + "".join(f"{line}\n" for line in more))
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {(self.folder / 'host.pub').read_text()}")
        env = {**os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {})}
        self._process = subprocess.Popen([program, "-D", "-E", str(self.folder / "log"), "-f", str(config)], env=env)
        look.wait_until(lambda: look.listens(self.port))
        self.destination = f"{getpass.getuser()}@127.0.0.1"
        self.options = {"Port": self.port, "IdentityFile": str(self.folder / "key"), "UserKnownHostsFile": str(self.folder / "known")}

    @property
    def log(self):
        return (self.folder / "log").read_text()

    def close(self):
        self._process.terminate()
        self._process.wait()
