# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of disks, whatever happens: made of images, made anew, grown; we are killed and the disk is full at every boundary."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.tests.harness.children import Child
from ansible_collections.maqet.qemu.tests.harness.engine import At, Wish, die_at, die_at_boundaries, reach, reach_all
from ansible_collections.maqet.qemu.tests.harness.home import task, vm
from ansible_collections.maqet.qemu.tests.harness.small import Filler, small_home
from ansible_collections.maqet.qemu.tests.modules.test_crash import end_well, make_machines

__all__ = ["small_home"]

MIB = 1 << 20


def img(*words):
    return subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True, text=True).stdout


def write(file, pattern, offset="1M", size="64k"):
    """What a guest would write."""
    subprocess.run(["qemu-io", "-c", f"write -P {pattern} {offset} {size}", str(file)], check=True, capture_output=True)


def reads(file, pattern, offset="1M", size="64k"):
    done = subprocess.run(["qemu-io", "-r", "-c", f"read -P {pattern} {offset} {size}", str(file)], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "failed" not in done.stdout


def info(file):
    return json.loads(img("info", "--output=json", "--force-share", file))


@pytest.fixture
def base(home):
    return make_base(home)


def make_base(home, name="base", pattern=1, size="8M"):
    """An image with something in it."""
    file = home.root / f"{name}.qcow2"
    img("create", "-q", "-f", "qcow2", file, size)
    write(file, pattern)
    return file


def of_image(base):
    disks = [{"name": "root", "image": "golden", "size": "16MiB"}, {"name": "whole", "image": "golden", "copy": True, "format": "raw"}]
    return {"memory": "64MiB", "images": [{"name": "golden", "path": str(base)}], "disks": [*disks, {"name": "data", "size": "8MiB"}]}


def check_files(home, name):
    """Every disk that has its final name is whole, and nothing half is beside it."""
    for path in home.directory(name).glob("*.qcow2"):
        img("check", "-q", "-U", path)
        for link in json.loads(img("info", "-U", "--output=json", "--backing-chain", path)):
            assert os.path.exists(link["filename"])
    return sorted(path.name for path in home.directory(name).glob("*.new"))


def test_disks_of_an_image(home, base):
    """Fetched once and named in the result, predicted by check mode, quiet the second time, and seen by qemu-img."""
    name = home.name()
    ahead, first, again, look = home.play(
        vm(name, check=True, state="present", **of_image(base)),
        vm(name, state="present", **of_image(base)),
        vm(name, state="present", **of_image(base)),
        task("maqet_vm_info", name=[name]),
    )
    words = [action["action"] for action in first["actions"]]
    assert words == ["fetch_image", "define", "make_disk", "make_disk", "make_disk"] == [action["action"] for action in ahead["actions"]]
    assert first["actions"][0]["source"] == str(base)
    assert ahead["changed"] and first["changed"] and not again["changed"]
    root, whole = home.directory(name) / "root.qcow2", home.directory(name) / "whole.raw"
    below = info(root)["full-backing-filename"]
    assert below.startswith(f"{home.cache}/maqet/images/") and os.stat(below).st_mode & 0o777 == 0o400
    assert info(root)["virtual-size"] == 16 * MIB and reads(root, 1)
    assert info(whole)["format"] == "raw" and reads(whole, 1) and os.stat(whole).st_mode & 0o777 == 0o600
    told = {disk["name"]: disk for disk in look["vms"][0]["disks"]}
    assert told["root"]["base"] == {"image": "golden", "file": below, "content": os.path.basename(below)[:64], "newer": False}
    assert told["whole"]["base"] is None and told["data"]["base"] is None
    assert told["data"] == {"name": "data", "file": f"{home.directory(name)}/data.qcow2", "format": "qcow2", "size": 8 * MIB, "base": None}


def test_ten_machines_want_one_image(home, web):
    """Five tasks with two machines each, at once, on a line that breaks: one download, resumed; ten overlays; then no request at all."""
    base = make_base(home, size="64M")
    write(base, 5, "8M", "24M")
    content = base.read_bytes()
    web.files["golden.qcow2"], web.cuts, web.pause = content, [len(content) // 2], 0.0005
    image = {"name": "golden", "url": web.url("golden.qcow2"), "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    raw = {"memory": "64MiB", "images": [image], "disks": [{"name": "root", "image": "golden"}]}
    names = [home.name(str(number)) for number in range(10)]

    def two(first):
        end_well(reach_all(home, [Wish(name, raw, state="present", supervisor="process") for name in names[first : first + 2]]))

    children = [Child(lambda first=first: two(first)) for first in range(0, 10, 2)]
    assert [child.end() for child in children] == [0] * 5
    assert len(web.asked) == 2 and len(content) <= web.served <= len(content) + (1 << 20), web.asked
    below = {info(home.directory(name) / "root.qcow2")["full-backing-filename"] for name in names}
    assert len(below) == 1 and reads(home.directory(names[9]) / "root.qcow2", 5, "8M", "24M")
    web.forget()
    again = end_well(reach_all(home, [Wish(name, raw, state="present") for name in names]))
    assert not any(outcome.changed for outcome in again) and web.asked == []


def test_an_image_that_is_another(home, web):
    """A wrong sum fails the task with both sums, and leaves no image; the machine is made when the sum is right."""
    name, content = home.name(), make_base(home).read_bytes()
    web.files["golden.qcow2"] = content
    right, wrong = hashlib.sha256(content).hexdigest(), "0" * 64
    raw = {"memory": "64MiB", "disks": [{"name": "root", "image": "golden"}]}
    images = [{"name": "golden", "url": web.url("golden.qcow2"), "checksum": f"sha256:{sum_}"} for sum_ in (wrong, right)]
    unknown, bad, good = home.play(vm(name, state="present", **raw), *(vm(name, state="present", images=[image], **raw) for image in images))
    assert unknown["failed"] and "no image 'golden'" in unknown["msg"] and "maqet_image" in unknown["msg"]
    assert bad["failed"] and name in bad["msg"] and wrong in bad["msg"] and right in bad["msg"]
    assert not good["failed"] and [action["action"] for action in good["actions"]] == ["fetch_image", "define", "make_disk"]
    assert [path.name for path in (home.cache / "maqet/images").glob("*.qcow2")] == [f"{right}.qcow2"]


def test_made_anew(home, base):
    """A newer image under the same name is for new disks, until a task says recreate."""
    name = home.name()
    raw = of_image(base)
    home.play(vm(name, state="present", **raw))
    root = home.directory(name) / "root.qcow2"
    write(root, 7, "2M")
    newer = make_base(home, "newer", pattern=2)
    raw["images"] = [{"name": "golden", "path": str(newer)}]
    image, same, look, ahead, done, running, restarted = home.play(
        task("maqet_image", image="golden", path=str(newer)),
        vm(name, state="present", **raw),
        task("maqet_vm_info", name=[name]),
        vm(name, check=True, state="present", recreate=["root"]),
        vm(name, recreate=["root"]),
        vm(name, recreate=["data"]),
        vm(name, recreate=["data"], on_restart_needed="restart", force=True),
    )
    assert image["changed"] and same["changed"] and [action["action"] for action in same["actions"]] == ["define"]
    assert look["vms"][0]["disks"][0]["base"]["newer"] is True
    assert [action["action"] for action in ahead["actions"]] == ["define", "make_disk"], ahead["actions"]
    assert "anew" in ahead["actions"][1]["summary"] and ahead["changed"] and done["changed"]
    assert running["failed"] and "recreate" in running["msg"] and "on_restart_needed: restart" in running["msg"]
    assert [action["action"] for action in restarted["actions"]] == ["define", "stop", "make_disk", "start"]
    home.play(vm(name, state="stopped", force=True))
    assert reads(root, 2) and not reads(root, 7, "2M")


def test_a_chain_that_is_another(home, base):
    """No start on an image that was changed, is gone, or is not the one; the message says how to mend it."""
    name, raw = home.name(), {"memory": "64MiB", "disks": [{"name": "root", "image": str(base)}]}
    home.play(vm(name, state="present", **raw))
    root, kept = home.directory(name) / "root.qcow2", os.stat(base)
    os.utime(base)
    changed = home.play(vm(name))
    assert changed["failed"] and "was changed since" in changed["msg"] and f"touch -d @{kept.st_mtime_ns / 1e9:.9f} {base}" in changed["msg"]
    os.utime(base, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    base.rename(home.root / "away")
    gone = home.play(vm(name, check=True))
    assert gone["failed"] and f"{base} is gone" in gone["msg"]
    (home.root / "away").rename(base)
    other = make_base(home, "other")
    img("rebase", "-u", "-b", other, "-F", "qcow2", root)
    rebased = home.play(vm(name))
    assert rebased["failed"] and str(other) in rebased["msg"] and f"qemu-img rebase -u -b {base}" in rebased["msg"]
    img("rebase", "-u", "-b", base, "-F", "qcow2", root)
    assert not home.play(vm(name))["failed"]


def test_killed_while_disks_are_made(home):
    moments = []
    for number in range(60):
        # Each has an image of its own: what the one before has fetched is none of it.
        raw, name = of_image(make_base(home, f"base{number}", number + 1)), home.name(f"at{number}")
        raw = json.loads(json.dumps(raw).replace("golden", f"golden{number}"))
        wish = {"raw": raw, "state": "present", "supervisor": "process"}
        if not number:
            reach(home, name, witness=moments.append, **wish)
        elif number > len(moments):
            break
        else:
            die_at(home, name, number - 1, wish)
        end_well(reach_all(home, [Wish(name, **wish)]))
        assert check_files(home, name) == []
        assert reads(home.directory(name) / "root.qcow2", number + 1) and reads(home.directory(name) / "whole.raw", number + 1)
        assert not end_well(reach_all(home, [Wish(name, **wish)]))[0].changed
    assert len(moments) > 6
    assert [path.name for path in (home.cache / "maqet/images").rglob("*") if "part" in path.name or "new" in path.name] == []


def test_killed_while_a_disk_is_made_anew(home, base):
    """What was begun is ended by any next task, and lies on an image that no prune takes."""
    before, wish = [{"raw": of_image(base), "state": "present"}], {"recreate": ("root",), "state": "present"}
    names = make_machines(home, before, wish, "process")
    for name in names:
        write(home.directory(name) / "root.qcow2", 7, "2M")
    die_at_boundaries(home, names, wish)
    home.play(task("maqet_image", prune=True))
    end_well(reach_all(home, [Wish(name, state="present") for name in names]))
    for name in names:
        assert check_files(home, name) == []
    begun = next(number for number, name in enumerate(names) if name.endswith("after-save"))
    kept = [reads(home.directory(name) / "root.qcow2", 7, "2M") for name in names]
    assert kept == [number < begun for number in range(len(names))], "made anew from the moment on in which that was stored"


FULL = {
    "make": ([], {"state": "present"}),
    "start": ([{"state": "present"}], {}),
    "grow": ([{"state": "present"}], {"state": "present", "grown": True}),
    "anew": ([{"state": "present"}], {"state": "present", "recreate": ("root", "whole")}),
}


@pytest.mark.parametrize("scenario", FULL)
def test_full_disk_at_every_boundary(small_home, scenario):
    """The task fails with one clear error or does its work; nothing is half; with room again a rerun does it."""
    home, filler = small_home, Filler(small_home)
    base = make_base(home)
    before, wish = FULL[scenario]
    raw = {**of_image(base), "cloud_init": {"user_data": {"hostname": "full"}}}
    grown = {**raw, "disks": [{**disk, "size": "24MiB"} if disk["name"] == "data" else disk for disk in raw["disks"]]}
    wish = {**wish, "raw": grown if "grown" in wish else raw}
    wish.pop("grown", None)
    for number in range(40):
        name, witness = home.name(f"at{number}"), At(number, filler.fill)

        for earlier in before:
            reach(home, name, supervisor="process", raw=raw, **earlier)
        try:
            reach(home, name, witness=witness, supervisor="process", **wish)
        except MaqetError as exc:
            assert "space" in str(exc) or "full" in str(exc), exc
        finally:
            filler.empty()
        assert check_files(home, name) == []
        if (home.state / "maqet/state.db").exists():
            with sqlite3.connect(home.state / "maqet/state.db") as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        reach(home, name, supervisor="process", **wish)
        assert check_files(home, name) == [] and reads(home.directory(name) / "whole.raw", 1)
        assert all(seed.stat().st_size > 40000 and seed.stat().st_mode & 0o777 == 0o600 for seed in home.directory(name).glob("seed-*"))
        reach(home, name, state="absent", force=True)
        if len(witness.moments) <= number:
            break
    assert number > 3
