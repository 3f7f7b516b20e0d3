# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys and the screen of a booted guest."""

from __future__ import annotations

import hashlib
import random
import string
import subprocess

from ansible_collections.maqet.qemu.tests.harness.home import task, vm

COUNT = 10000
ASCII = "".join(sorted(string.printable.strip())) + " "
# Each layout as a keymap of Linux.
MAPS = {
    "us": ("us", ""),
    "gb": ("uk", ""),
    "de": ("de-latin1", "altgr keycode 27 = asciitilde"),
    "de-deadtilde": ("de-latin1", ""),
    "de-nodeadkeys": ("de-latin1-nodeadkeys", ""),
    "fr": ("fr-pc", ""),
    "fr-deadkeys": ("fr-pc", "altgr keycode 3 = dead_tilde\naltgr keycode 8 = dead_grave"),
}
PLACE = 16384


def keys(name, **options):
    return task("maqet_keys", name=name, **options)


def screenshot(name, *, check=False, **options):
    return task("maqet_screenshot", name=name, check=check, **options)


def run(name, *commands):
    return task("maqet_console", name=name, steps=[{"run": command} for command in commands], timeout=240)


def keymaps(home):
    """A disk with one keymap after the other."""
    file = home.root / "keymaps.raw"
    found = []
    for known, more in MAPS.values():
        (home.root / "more.kmap").write_text(f"{more}\n")
        argv = ["loadkeys", "-b", "-q", known, *([str(home.root / "more.kmap")] if more else [])]
        found.append(subprocess.run(argv, capture_output=True, check=True).stdout)
    assert all(0 < len(each) <= PLACE for each in found)
    file.write_bytes(b"".join(each.ljust(PLACE, b"\0") for each in found))
    return {"name": "keymaps", "path": str(file), "format": "raw", "readonly": True}


def output(result, step=-1):
    assert not result["failed"], result["msg"]
    return result["steps"][step]["output"]


def test_keys_and_screen(home, boot):
    name = home.name()
    home.started(name, memory="256MiB", boot=boot, disks=[keymaps(home)])
    words = "".join(random.Random(1).choice(ASCII) for _each in range(COUNT - COUNT // 100))
    text = "".join(f"{words[start : start + 99]}\n" for start in range(0, len(words), 99))
    listen = "(stty -icanon -echo -isig -ixon min 1; exec cat >>/run/typed) </dev/tty1 & true"
    ready = task("maqet_console", name=name, steps=[{"expect": "guest ready"}, {"run": listen}], timeout=360)
    _ready, typed, came = home.play(ready, keys(name, text=text), run(name, "sleep 0.5; md5sum </run/typed; wc -c </run/typed"))
    assert typed["strokes"] == len(text) == COUNT and typed["changed"]
    assert output(came).split()[::2] == [hashlib.md5(text.encode()).hexdigest(), str(COUNT)]

    layouts(home, name)
    screens(home, name)
    errors(home, name)


def layouts(home, name):
    tasks = []
    for number, layout in enumerate(MAPS):
        load = f"dd if=/dev/vda bs={PLACE} skip={number} count=1 2>/dev/null | loadkmap; kbd_mode -a -C /dev/tty1; : >/run/typed"
        tasks += [run(name, load), keys(name, text=ASCII, layout=layout), run(name, "sleep 0.3; cat /run/typed")]
    results = home.play(*tasks)
    assert {layout: output(result) for layout, result in zip(MAPS, results[2::3])} == dict.fromkeys(MAPS, ASCII)


def screens(home, name):
    picture, other = str(home.root / "screen.png"), str(home.root / "other.png")
    write = "printf '\\033c\\033[?25lThe quick brown fox jumps\\nover the lazy dog\\n' >/dev/tty1"
    area = {"x": 0, "y": 0, "width": 400, "height": 32}
    shot = screenshot(name, path=picture)
    _w, planned, first, second, read, same, _w, differs, masked, tolerated, third = home.play(
        run(name, write),
        screenshot(name, path=picture, check=True),
        shot,
        shot,
        screenshot(name, text=True, timeout=240),
        screenshot(name, compare={"reference": picture}),
        run(name, "printf 'again\\n' >/dev/tty1"),
        screenshot(name, path=other, compare={"reference": picture}),
        screenshot(name, compare={"reference": picture, "mask": [{**area, "height": 64}]}),
        screenshot(name, compare={"reference": picture, "tolerance": 5}),
        shot,
    )
    assert [result["changed"] for result in (planned, first, second, third)] == [True, True, False, True]
    assert (home.root / "screen.png").read_bytes().startswith(b"\x89PNG") and first["path"] == picture
    assert "quick brown fox" in read["text"] and not read["changed"]
    assert same["difference"] == {"percent": 0, "area": None} and not same["failed"]
    assert differs["failed"] and "its screen does not look like" in differs["msg"] and differs["difference"]["area"]["y"] >= 32
    assert not masked["failed"] and not tolerated["failed"] and tolerated["difference"]["percent"] > 0


def errors(home, name):
    wrong, unknown, planned, _paused, still, seen, _stopped, stopped, dark = home.play(
        keys(name, keys=["ctrl-nokey"]),
        keys("nobody", text="x"),
        {**keys(name, text="x"), "check_mode": True},
        vm(name, state="paused"),
        keys(name, text="x"),
        screenshot(name, path=str(home.root / "paused.png")),
        vm(name, state="stopped", force=True),
        keys(name, text="x"),
        screenshot(name, path=str(home.root / "stopped.png")),
    )
    assert wrong["failed"] and "'nokey' is no key" in wrong["msg"]
    assert unknown["failed"] and "there is no machine 'nobody'" in unknown["msg"]
    assert planned["changed"] and not planned["failed"]
    assert still["failed"] and "it is paused" in still["msg"] and seen["changed"]
    assert stopped["failed"] and dark["failed"] and "the machine does not run" in dark["msg"]
