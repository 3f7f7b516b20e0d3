# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""States of a host that the cases of bad input are tried in, by their keyword.

Each takes a scratch home (``state``, ``data``, ``cache``, ``runtime``: XDG directories; ``root`` above them), yields
words for the case, and leaves the host as it was. Raises ``ImpossibleError`` where this host cannot be brought there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

DB = "maqet/state.db"


class ImpossibleError(Exception):
    """This host cannot be brought into the situation."""


def make_files(folder: Path) -> None:
    """Files that the cases name as ``<files>/…``."""
    # As much of a Linux kernel as QEMU reads: a boot sector with the header of boot protocol 2.12.
    kernel = bytearray(32768)
    kernel[0x1F1] = 4
    kernel[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x020C)
    kernel[0x211] = 1
    kernel[0x22C:0x230] = struct.pack("<I", 0x7FFFFFFF)
    (folder / "kernel").write_bytes(kernel)
    (folder / "initrd").write_bytes(bytes(4096))
    (folder / "a,b.raw").write_bytes(bytes(1 << 20))
    (folder / "key").write_text("not so secret", encoding="utf-8")
    (folder / "broken.qcow2").write_bytes(b"QFI\xfb" + b"\xff" * 4096)
    (folder / "closed").write_bytes(bytes(1 << 20))
    (folder / "closed").chmod(0)
    (folder / "folder").mkdir()
    for name, options in {"base": [], "leaning": ["-b", str(folder / "base.qcow2"), "-F", "qcow2"]}.items():
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(folder / f"{name}.qcow2"), "16M"], check=True)


def an_ordinary_user() -> None:
    if os.geteuid() == 0:
        raise ImpossibleError("root may do what is to be forbidden")


@contextmanager
def ordinary_user(home):
    an_ordinary_user()
    yield {}


@contextmanager
def port_taken(home, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        yield {"port": server.getsockname()[1]}


@contextmanager
def udp_port_taken(home):
    with port_taken(home, socket.SOCK_DGRAM) as words:
        yield words


@contextmanager
def port_free(home):
    """Nobody listens on it."""
    with port_taken(home) as words:
        pass
    yield words


@contextmanager
def port_of_root(home):
    an_ordinary_user()
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    if first < 2:
        raise ImpossibleError("every user may listen on every port")
    yield {"port": first - 1}


@contextmanager
def kvm_unusable(home):
    modules = [name for name in ("kvm_intel", "kvm_amd") if os.path.isdir(f"/sys/module/{name}")]
    if modules and os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise ImpossibleError("KVM is usable")
    yield {}


@contextmanager
def no_vsock(home):
    if os.path.exists("/dev/vhost-vsock"):
        raise ImpossibleError("the host has vsock")
    yield {}


@contextmanager
def no_virtiofsd(home):
    if shutil.which("virtiofsd", path=f"{os.environ['PATH']}:/usr/libexec:/usr/lib"):
        raise ImpossibleError("virtiofsd is installed")
    yield {}


@contextmanager
def no_user_manager(home):
    with runtime_directory(home, "r"):
        yield {}


@contextmanager
def long_runtime(home):
    with runtime_directory(home, "r" * 100):
        yield {}


@contextmanager
def runtime_directory(home, name):
    before = home.runtime
    home.runtime = Path(home.root) / name
    home.runtime.mkdir()
    yield
    home.runtime.rmdir()
    home.runtime = before


@contextmanager
def read_only(directory):
    an_ordinary_user()
    mode = directory.stat().st_mode
    directory.chmod(0o500)
    try:
        yield {"directory": directory}
    finally:
        directory.chmod(mode)


def read_only_state(home):
    return read_only(home.state)


def read_only_data(home):
    return read_only(home.data)


@contextmanager
def data_is_a_file(home):
    (home.data / "maqet").write_text("", encoding="ascii")
    yield {}
    (home.data / "maqet").unlink()


@contextmanager
def newer_db(home):
    with _db(home) as file:
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        yield {"db": file}


@contextmanager
def torn_db(home):
    with _db(home) as file:
        file.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
        yield {"db": file}


@contextmanager
def closed_db(home):
    an_ordinary_user()
    with _db(home) as file:
        file.write_bytes(b"")
        file.chmod(0)
        yield {"db": file}


@contextmanager
def db_is_a_directory(home):
    file = home.state / DB
    file.parent.mkdir(mode=0o700)
    file.mkdir()
    yield {"db": file}
    file.rmdir()
    file.parent.rmdir()


@contextmanager
def _db(home):
    file = home.state / DB
    file.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        yield file
    finally:
        file.unlink()


def _rewrite(home, words, change):
    """Change the one stored row."""
    connection = sqlite3.connect(home.state / DB)
    text = connection.execute("SELECT record FROM machines WHERE name = ?", (words["name"],)).fetchone()[0]
    connection.execute("UPDATE machines SET record = ? WHERE name = ?", (change(text), words["name"]))
    connection.commit()
    connection.close()


@contextmanager
def newer_row(home, words):
    _rewrite(home, words, lambda text: json.dumps({**json.loads(text), "schema": 99}))
    yield {}


@contextmanager
def torn_row(home, words):
    _rewrite(home, words, lambda text: text[:20])
    yield {"db": home.state / DB}


@contextmanager
def locked(home, words):
    """Another process works on the machine."""
    code = "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
    code += " f.write(f'pid {os.getpid()} (other-task) since 10:00:00'); f.flush(); print(flush=True); sys.stdin.read()"
    path = home.state / "maqet/locks" / words["name"]
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        yield {"holder": f"pid {holder.pid} (other-task)"}
    finally:
        holder.communicate()


# These change what is stored of the machine, so they come after it.
ON_A_MACHINE = {"newer_row": newer_row, "torn_row": torn_row, "locked": locked}
ON_THE_HOST = {
    action.__name__: action
    for action in (
        ordinary_user,
        port_taken,
        udp_port_taken,
        port_free,
        port_of_root,
        kvm_unusable,
        no_vsock,
        no_virtiofsd,
        no_user_manager,
        long_runtime,
        read_only_state,
        read_only_data,
        data_is_a_file,
        newer_db,
        torn_db,
        closed_db,
        db_is_a_directory,
    )
}
