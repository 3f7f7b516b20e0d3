# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that writes more than the host has room for."""

from __future__ import annotations

import subprocess

from ansible_collections.maqet.qemu.tests.guests.test_guests import await_serial, console, serial
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import task, vm
from ansible_collections.maqet.qemu.tests.harness.small import Filler, small_home

__all__ = ["small_home"]

MIB = 1 << 20


def test_no_space_left(small_home, boot):
    """The guest is paused, the task says which disk and how much is free; with room again the same task lets it go on."""
    home, filler = small_home, Filler(small_home)
    name = home.name("writer")
    raw = {"memory": "128MiB", "boot": boot, "disks": [{"name": "root", "size": "64MiB"}]}
    home.started(name, **raw)
    await_serial(home, name, "guest ready")
    with filler.full(leave=2 * MIB):
        console(home, name, "(yes data | head -c 6000000 >/dev/vda; sync; echo wr''itten) & echo 1-begun")
        look.wait_until(lambda: "BLOCK_IO_ERROR" in [line.get("event") for line in look.recorded(home.directory(name))], 30)
        (info, ahead, failed) = home.play(task("maqet_vm_info", name=[name]), vm(name, check=True, **raw), vm(name, **raw))
        seen = info["vms"][0]
        assert {item["path"]: item["observed"] for item in seen["drift"]}["state"] == "io-error"
        words = ("no space was left", f"{home.directory(name)}/root.qcow2", f"free in {home.directory(name)}")
        assert [word for word in words if word not in seen["observed"]["why"]] == []
        assert ahead["changed"] and not ahead["failed"]
        assert failed["failed"] and [word for word in (name, "io-error", "Make room", *words) if word not in failed["msg"]] == []
        assert "written" not in serial(home, name)
    first, again = home.play(vm(name, **raw), vm(name, **raw))
    assert first["changed"] and not first["failed"] and first["vm"]["status"] == "running" and not again["changed"]
    await_serial(home, name, "written")
    home.play(vm(name, state="stopped", force=True))
    root = home.directory(name) / "root.qcow2"
    subprocess.run(["qemu-img", "check", "-q", root], check=True)
    whole = subprocess.run(["qemu-img", "dd", "-O", "raw", f"if={root}", f"of={home.root / 'whole'}", "bs=1M", "count=5"], check=True)
    assert whole.returncode == 0 and set((home.root / "whole").read_bytes()) == set(b"data\n")
