# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What no question to QEMU shows of the board: seen by what the guest's first instructions find and do."""

from __future__ import annotations

import time

from ansible_collections.maqet.qemu.tests.qemu.machine import case_running

SMBIOS = {"manufacturer": "Example, Ltd.", "product": "Host", "version": "v-2", "serial": "X-0042", "sku": "BH-2", "family": "Hosts"}
# mov dx,0x443; sti; again: mov al,0x0f; out dx,al (the ib700's timer runs out at once); 18 times hlt (a second); jmp again
IB700 = bytes.fromhex("ba4304 fb b00fee") + b"\xf4" * 18 + bytes.fromhex("ebe9")
# The board's timer acts when the guest's driver has cleared NO_REBOOT in GCS, at 0xfed1f410: cli, flat data for ds (lgdt; PE on;
# mov ds,8; PE off; mov ds,0), mov dword [0xfed1f410],0. Then its registers at 0x660: 2 ticks (mov dx,0x672; mov ax,2;
# out dx,ax), run (mov dx,0x668; xor ax,ax; out dx,ax); sti; again: hlt; jmp again. Behind it the descriptor table and its place.
ITCO = bytes.fromhex("fa 31c0 8ed8 0f0116507c 0f20c0 0c01 0f22c0 bb0800 8edb 24fe 0f22c0 31db 8edb 6766c70510f4d1fe00000000")
ITCO += bytes.fromhex("ba7206 b80200 ef ba6806 31c0 ef fb f4 ebfd")
ITCO = ITCO.ljust(0x50, b"\0") + bytes.fromhex("0f00 587c0000 0000 0000000000000000 ffff00000092cf00")
SECONDS = 20


def await_event(qmp, name, wanted):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        qmp.ask("query-status")
        for event in qmp.events:
            if event["event"] == name and all(event["data"].get(key) == value for key, value in wanted.items()):
                return event
        time.sleep(0.05)
    raise AssertionError(qmp.events)


def test_smbios(words):
    """The firmware copies its tables to where guests look for them."""
    with case_running({"given": {"arch": "x86_64", "smbios": SMBIOS, "boot": {"menu": False}}}, words) as (_case, qmp):
        qmp.ask("cont")
        file, end = words["dir"] / "memory", time.monotonic() + SECONDS
        found: set[str] = set()
        while found != set(SMBIOS.values()) and time.monotonic() < end:
            time.sleep(0.2)
            memory = b""
            for start, size in ((0xE0000, 0x20000), ((512 << 20) - (8 << 20), 8 << 20)):
                qmp.ask("pmemsave", val=start, size=size, filename=str(file))
                memory += file.read_bytes()
            found = {text for text in SMBIOS.values() if text.encode() + b"\0" in memory}
        assert found == set(SMBIOS.values())


def starving(words, sector, watchdog):
    """A machine whose guest never resets its watchdog."""
    file = words["dir"] / "starving.raw"
    file.write_bytes(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    disk = {"name": "root", "path": str(file), "format": "raw"}
    return case_running({"given": {"arch": "x86_64", "machine": "pc-q35-7.2", "disks": [disk], "watchdog": watchdog}}, words)


def test_watchdog_acts_and_its_action_changes(words):
    with starving(words, IB700, {"model": "ib700", "action": "none"}) as (_case, qmp):
        qmp.ask("cont")
        await_event(qmp, "WATCHDOG", {"action": "none"})
        qmp.ask("watchdog-set-action", action="pause")
        await_event(qmp, "WATCHDOG", {"action": "pause"})
        assert qmp.ask("query-status")["status"] == "watchdog"


def test_the_boards_own_watchdog_acts(words):
    with starving(words, ITCO, {"model": "itco", "action": "pause"}) as (_case, qmp):
        qmp.ask("cont")
        await_event(qmp, "WATCHDOG", {"action": "pause"})
