# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is changed while a guest runs, as the guest sees it."""

from __future__ import annotations

import time

import pytest
from ansible_collections.maqet.qemu.tests.guests.test_guests import SECONDS, await_serial, console, serial, ticks
from ansible_collections.maqet.qemu.tests.harness import look, view, wire
from ansible_collections.maqet.qemu.tests.harness.home import task, vm
from ansible_collections.maqet.qemu.tests.harness.walk import Walk
from ansible_collections.maqet.qemu.tests.qemu.test_transitions import KEYS, SLOW, media, scratch, told, ways
from hypothesis import given, note, settings
from hypothesis import strategies as st

MIB = 1 << 20
WAN = "52:54:00:00:00:09"
RAW = {"memory": "256MiB", "max_memory": "512MiB", "cpus": 1, "max_cpus": 2}
ROOT = {"name": "root", "size": "64MiB", "serial": "ROOT"}
NEW = {"name": "new", "size": "64MiB", "serial": "NEW"}
LAN = {"name": "lan"}


@pytest.fixture
def start(home, boot):
    """Starts a guest of RAW; a function that declares more for it while it runs, once for real and once in vain."""

    def begin(words="", **raw):
        name = home.name("guest")
        base = {**RAW, "boot": {**boot, "cmdline": f"{boot['cmdline']} {words}"}, **raw}
        home.started(name, **base)
        await_serial(home, name, "guest ready")

        def declare(**more):
            first, again = home.play(*[vm(name, **{**base, **more})] * 2)
            assert not first["failed"] and first["changed"], first
            assert not again["failed"] and not again["changed"] and again["pending_restart"] == first["pending_restart"], again
            return first

        return name, declare

    return begin


def sees(home, name, what, answer, seconds=20):
    """Wait until the guest's shell answers so."""
    look.wait_until(lambda: console(home, name, f"echo {what}") == answer, seconds)


def disks(serial_number):
    """Sectors of the disk with that serial, in the guest."""
    return f"$(cat $(dirname $(grep -lw {serial_number} /sys/block/vd*/serial))/size 2>/dev/null || echo 0)-sectors"


def cards(mac, fact="carrier"):
    return f"$(cat $(dirname $(grep -li {mac} /sys/class/net/*/address))/{fact} 2>/dev/null || echo 9)-{fact}"


def memory(home, name, word="MemTotal"):
    """MiB that the guest has."""
    return int(console(home, name, f"echo $(awk '/{word}/ {{print int($2 / 1024)}}' /proc/meminfo)-mib").partition("-")[0])


def monitor(home, name):
    return wire.Wire(home.sockets(name) / "monitor.sock")


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_disks_and_cards_come_and_go(home, start, machine):
    name, declare = start(machine=machine, disks=[ROOT], nics=[LAN])
    wan = {"name": "wan", "mac": WAN}
    added = declare(disks=[ROOT, NEW], nics=[LAN, wan])
    assert not added["pending_restart"]
    sees(home, name, disks("NEW"), "131072-sectors")
    sees(home, name, cards(WAN, "mtu"), "1500-mtu")
    console(home, name, f"ifconfig $(basename $(dirname $(grep -l {WAN} /sys/class/net/*/address))) up; echo 1-up")
    sees(home, name, cards(WAN), "1-carrier")
    assert not declare(disks=[ROOT, {**NEW, "size": "128MiB"}], nics=[LAN, {**wan, "link": "down"}])["pending_restart"]
    sees(home, name, disks("NEW"), "262144-sectors")
    sees(home, name, cards(WAN), "0-carrier")
    removed = declare(disks=[ROOT], nics=[LAN])
    assert not removed["pending_restart"] and removed["vm"]["pid"] == added["vm"]["pid"], removed
    sees(home, name, disks("NEW"), "0-sectors")
    sees(home, name, cards(WAN, "mtu"), "9-mtu")
    # What was there from the start goes too.
    assert not declare(disks=[], nics=[])["pending_restart"]
    sees(home, name, disks("ROOT"), "0-sectors")
    with monitor(home, name) as mine:
        assert not view.orphans(mine) and not [word for word in view.children(mine, view.PERIPHERAL) if word.startswith(("disk-", "nic-"))]


def test_cpus_and_memory_come_and_go(home, start):
    name, declare = start()
    before = memory(home, name)
    more = declare(cpus=2, memory="384MiB")
    assert not more["pending_restart"], more
    sees(home, name, "$(nproc)-cpus", "2-cpus")
    look.wait_until(lambda: memory(home, name) >= before + 120)
    unused = memory(home, name, "MemFree")
    declare(cpus=2, memory="384MiB", balloon="256MiB")
    look.wait_until(lambda: memory(home, name, "MemFree") <= unused - 100)
    with monitor(home, name) as mine:
        # QEMU leaves out what came later.
        look.wait_until(lambda: mine.ask("query-balloon")["actual"] == 128 * MIB)
    declare(cpus=2, memory="384MiB")
    look.wait_until(lambda: memory(home, name, "MemFree") >= unused - 10)
    less = declare()
    # QEMU before 10.0 crashes under tcg after a CPU was removed, so that one waits.
    waits = less["vm"]["accel"] == "tcg" and int(less["vm"]["qemu_version"].split(".")[0]) < 10
    assert less["pending_restart"] == (["cpus"] if waits else []), less
    sees(home, name, "$(nproc)-cpus", "2-cpus" if waits else "1-cpus")
    look.wait_until(lambda: memory(home, name) <= before + 10)
    with monitor(home, name) as mine:
        assert mine.ask("qom-get", path=f"{view.PERIPHERAL}/more-memory", property="size") == 0
        assert len(mine.ask("query-cpus-fast")) == (2 if waits else 1)


def live_ways():
    """Random declarations whose differences a guest can follow: nothing of them waits."""
    keys = ("disks", "nics", "devices", "objects", "input", "cpus", "memory", "balloon")
    return ways({**{key: KEYS[key] for key in keys}, "max_cpus": st.just(4), "max_memory": st.just("512MiB")}, [*keys, "disks", "nics"], steps=7)


def test_random_ways(boot, tmp_path_factory):
    @settings(SLOW, max_examples=4)
    @given(live_ways())
    def check(way):
        note(told(way))
        with scratch(tmp_path_factory.getbasetemp()) as home:
            take(home, way)

    def take(home, way):
        walk = Walk(home, media(home))
        for number, step in enumerate(suited(way, boot)):
            walk.take(number, **step)
            await_serial(home, walk.name, "guest ready")
            assert not [path for path in walk.pending if path.endswith("]")], "the guest was not asked, or did not answer"
        walk.end()

    check()


def suited(way, boot):
    """Without drives that stay and without restarts."""
    for step in way:
        disks = [{**disk, "bus": "scsi"} if disk["name"] == "cd" or disk.get("bus") == "sata" else disk for disk in step["raw"]["disks"]]
        size = f"{int(step['raw']['memory'][:-3]) + 128}MiB"
        raw = {**step["raw"], "boot": boot, "disks": disks, "memory": size, "machine": way[0]["machine"]}
        yield {"raw": raw, **({"cut": step["cut"]} if "cut" in step else {})}


def test_another_cd(home, start):
    media = {}
    for number, word in enumerate(("one", "two"), 1):
        media[word] = home.root / f"{word}.iso"
        media[word].write_bytes(f"{number}-{word}\n".encode().ljust(MIB))
    cd = {"name": "cd", "device": "cdrom", "bus": "scsi", "path": str(media["one"])}
    name, declare = start(disks=[cd])
    sees(home, name, "$(head -n 1 /dev/sr0)", "1-one")
    assert not declare(disks=[{**cd, "path": str(media["two"])}])["pending_restart"]
    sees(home, name, "$(head -n 1 /dev/sr0)", "2-two")
    # The guest's own act is told from what others do.
    console(home, name, "eject; echo 1-done")
    (entry,) = home.play(task("maqet_vm_info", name=[name]))["vms"][0]["drift"]
    assert (entry["path"], entry["observed"], entry["by"]) == ("disks[cd].path", None, "guest")
    put_back = home.play(vm(name))
    assert put_back["changed"]
    sees(home, name, "$(head -n 1 /dev/sr0)", "2-two")


def test_a_guest_that_never_answers(home, start):
    """It has no driver for the hot-plug controller: the removal waits for a restart, and is asked for once."""
    name, declare = start("acpiphp.disable=1 pcie_ports=compat", disks=[ROOT, NEW])
    begun = time.monotonic()
    removed = declare(disks=[ROOT])
    assert removed["pending_restart"] == ["disks[new]"] and time.monotonic() - begun < 30
    assert any("disks[new]" in words and "did not let go" in words for words in removed["warnings"]), removed["warnings"]
    sees(home, name, disks("NEW"), "131072-sectors")
    again = home.play(vm(name))
    assert not again["changed"] and again["pending_restart"] == ["disks[new]"] and again["seconds"] < 3
    restarted, after = home.play(*[vm(name, on_restart_needed="restart", force=True)] * 2)
    assert restarted["changed"] and not restarted["pending_restart"] and not after["changed"]
    look.wait_until(lambda: serial(home, name).count("guest ready") == 2, SECONDS)
    sees(home, name, disks("NEW"), "0-sectors")
    sees(home, name, disks("ROOT"), "131072-sectors")


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_suspended_after_live_changes(home, start, machine):
    """The guest goes on with all that was added, and more can be changed."""
    name, declare = start("ticks", machine=machine, disks=[ROOT], nics=[LAN])
    before = memory(home, name)
    declare(disks=[ROOT, {"name": "gone", "size": "64MiB", "bus": "scsi"}], nics=[LAN])
    more = {"disks": [ROOT, NEW], "memory": "384MiB", "cpus": 2, "nics": [LAN, {"name": "wan", "mac": WAN}]}
    declare(**more)
    look.wait_until(lambda: memory(home, name) >= before + 120)
    sees(home, name, disks("NEW"), "131072-sectors")
    suspended, resumed, again = results = home.play(vm(name, state="suspended"), vm(name), vm(name))
    assert not [result["msg"] for result in results if result["failed"]]
    assert suspended["vm"]["status"] == "suspended" and resumed["vm"]["status"] == "running", resumed
    assert not again["changed"] and not again["pending_restart"], again
    last = len(ticks(home, name))
    look.wait_until(lambda: len(ticks(home, name)) > last + 1, SECONDS)
    seen = ticks(home, name)
    assert seen == list(range(1, len(seen) + 1)) and serial(home, name).count("guest ready") == 1
    sees(home, name, disks("NEW"), "131072-sectors")
    sees(home, name, cards(WAN, "mtu"), "1500-mtu")
    sees(home, name, "$(nproc)-cpus", "2-cpus")
    assert memory(home, name) >= before + 120
    assert not declare(disks=[ROOT], nics=[LAN], cpus=2)["pending_restart"]
    sees(home, name, disks("NEW"), "0-sectors")
