# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data that was there before: files of removed disks, directories from a backup, images by path. Nothing of it goes unasked."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError, RefusedError, StartError
from ansible_collections.maqet.qemu.tests.harness.engine import host_of, reach, snap
from ansible_collections.maqet.qemu.tests.harness.home import task
from ansible_collections.maqet.qemu.tests.modules.test_disks import img, info, make_base, reads, write

BARE = {"memory": "64MiB"}
DATA = {**BARE, "disks": [{"name": "data", "size": "8MiB"}]}


def put(home, name, raw, **wish):
    return reach(home, name, raw=raw, **{"state": "present", "supervisor": "process", **wish})


def of(image, **more):
    return {**BARE, "disks": [{"name": "root", "image": str(image), **more}]}


def test_a_kept_file_is_what_is_declared_or_is_refused(home):
    name, one, two = home.name(), make_base(home, "one"), make_base(home, "two")
    put(home, name, of(one))
    root = home.directory(name) / "root.qcow2"
    write(root, 7, "2M")
    put(home, name, BARE)
    for raw, was in ((of(two), f"made over {one}"), (of(one, copy=True), f"made over {one}")):
        with pytest.raises(RefusedError, match=f"disks\\[root\\].image: .* is still here, and was {was}") as caught:
            put(home, name, raw)
        assert "recreate: [root]" in caught.value.hint
    put(home, name, of(one, size="16MiB"))
    assert info(root)["full-backing-filename"] == str(one) and info(root)["virtual-size"] == 16 << 20, "it grows to what is declared now"
    put(home, name, BARE)
    put(home, name, of(two), recreate=("root",))
    assert info(root)["full-backing-filename"] == str(two)


def test_a_kept_empty_disk_is_no_overlay(home):
    name, base = home.name(), make_base(home)
    put(home, name, DATA)
    put(home, name, BARE)
    with pytest.raises(RefusedError, match="was made without an image"):
        put(home, name, {**BARE, "disks": [{"name": "data", "image": str(base)}]})
    with pytest.raises(RefusedError, match="another disk"):
        put(home, name, DATA)
        put(home, name, {**BARE, "disks": [{"name": "data", "image": str(base)}]})


def test_a_disk_that_left_is_not_made_anew_when_it_comes_back(home):
    """Its making anew was cut off before."""
    name = home.name()
    put(home, name, DATA)
    write(home.directory(name) / "data.qcow2", 7)
    host = host_of(home)
    record = host.store.load([name])[name]
    record.anew = ["data"]
    host.store.save([record])
    host.store.close()
    put(home, name, BARE)
    kept = os.stat(home.directory(name) / "data.qcow2").st_ino
    put(home, name, DATA)
    assert os.stat(home.directory(name) / "data.qcow2").st_ino == kept


def test_a_directory_from_a_backup_is_the_machine(home):
    """Also when its first start there fails; a copy of it is another's, and files alone are nobody's."""
    name, backup = home.name(), home.root / "backup"
    put(home, name, DATA)
    shutil.copytree(home.directory(name), backup)
    before = reach(home, name, state="present").vm["uuid"]
    reach(home, name, state="absent")
    shutil.copytree(backup, home.directory(name))
    with pytest.raises(StartError):
        put(home, name, {**DATA, "extra_args": ["-nosuch"]}, state="started")
    assert reach(home, name, state="present").vm["uuid"] == before and (home.directory(name) / "data.qcow2").exists()
    for copy, files in (("copied", ["data.qcow2", "machine.json"]), ("files", ["data.qcow2"])):
        other = home.name(copy)
        home.directory(other).mkdir()
        for file in files:
            shutil.copy(backup / file, home.directory(other))
        with pytest.raises(RefusedError, match=r"holds files of a machine that is not known here \(data.qcow2\)"):
            put(home, other, DATA, state="started")
        assert sorted(path.name for path in home.directory(other).iterdir()) == files


def test_nothing_is_given_up_for_an_image_that_cannot_be_had(home):
    """The disk is what it was, and the machine starts as before."""
    name, base = home.name(), make_base(home)
    raw = {**BARE, "images": [{"name": "golden", "path": str(base)}], "disks": [{"name": "root", "image": "golden"}]}
    put(home, name, raw)
    write(home.directory(name) / "root.qcow2", 7, "2M")
    kept = os.stat(home.directory(name) / "root.qcow2").st_ino
    base.write_bytes(b"no image at all")
    with pytest.raises(HostError, match="is no image"):
        put(home, name, raw, recreate=("root",))
    reach(home, name, state="present")
    assert os.stat(home.directory(name) / "root.qcow2").st_ino == kept


def test_an_image_that_a_disk_is_stays_in_the_cache(home):
    """``path`` names it, or a file that lies on it."""
    name, overlay = home.name(), home.root / "overlay.qcow2"
    (image,) = [home.play(task("maqet_image", image="golden", path=str(make_base(home))))["image"]]
    img("create", "-q", "-f", "qcow2", "-b", image["file"], "-F", "qcow2", overlay)
    for disk in ({"path": image["file"], "readonly": True}, {"path": str(overlay)}):
        put(home, name, {**BARE, "disks": [{"name": "cd", **disk}]})
        gone = home.play(task("maqet_image", image="golden", state="absent", prune=True))
        assert gone["removed"] == [] and os.path.exists(image["file"])
        put(home, name, BARE)
    assert home.play(task("maqet_image", prune=True))["removed"] == [image["file"]]


def test_a_snapshot_puts_back_no_file_that_left_the_machine(home):
    name, one, two = home.name(), make_base(home, "one"), make_base(home, "two")
    for path in (one, two):
        put(home, name, {**BARE, "disks": [{"name": "data", "path": str(path)}]})
        if path == one:
            snap(home, name)
    write(one, 7, "2M")
    with pytest.raises(RefusedError, match=f"disk 'data' was {one} at snapshot 'point', which is no disk of the machine any more"):
        snap(home, name, state="restored")
    assert reads(one, 7, "2M")
    put(home, name, {**BARE, "disks": [{"name": "data", "path": str(one)}]})
    assert snap(home, name, state="restored").changed and not reads(one, 7, "2M")
