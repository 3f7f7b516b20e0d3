# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges are joined before QEMU is there: with a helper that sends an open file in a tap's place."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._host import joined

HELPER = """#!{python}
import os, socket, sys
name = sys.argv[-1].partition("=")[2]
if name == "no":
    sys.exit("failed to parse default acl file")
with open({folder!r} + "/" + name, "rb") as file, socket.socket(fileno=int(sys.argv[-2].partition("=")[2])) as channel:
    socket.send_fds(channel, [b"!"], [file.fileno()])
"""
SEEN = "import os; print(os.read(40, 9).decode(), os.read(41, 9).decode(), [line for line in open('/proc/self/status') if 'NoNew' in line][0].split()[1])"


@pytest.fixture
def helper(tmp_path):
    for name in ("br0", "br1"):
        (tmp_path / name).write_text(f"tap-{name}")
    file = tmp_path / "helper"
    file.write_text(HELPER.format(python=sys.executable, folder=str(tmp_path)))
    file.chmod(0o755)
    return file


def join(helper, *pairs):
    return subprocess.run([sys.executable, joined.__file__, str(helper), *pairs, "--", sys.executable, "-c", SEEN], capture_output=True, text=True, check=False)


def test_it_becomes_qemu(helper):
    """The taps are open, and no program that it may start has more rights."""
    assert join(helper, "40=br0", "41=br1").stdout.split() == ["tap-br0", "tap-br1", "1"]


def test_a_bridge_that_may_not_be_joined(helper):
    done = join(helper, "40=br0", "41=no")
    assert done.returncode and not done.stdout
    assert "default acl file" in done.stderr and "cannot join the bridge no" in done.stderr.splitlines()[-1]
