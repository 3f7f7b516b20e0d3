# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine moves: all that it has arrives, or nothing does; and no export reads or writes what is none of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.module_utils._host.host import Host
from ansible_collections.maqet.qemu.plugins.module_utils._host.images import Images
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import Paths
from ansible_collections.maqet.qemu.plugins.module_utils._images import Wanted, manage
from ansible_collections.maqet.qemu.plugins.module_utils._spec.image import Source
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.children import Child, in_a_small_disk
from ansible_collections.maqet.qemu.tests.harness.engine import At, Cut, reach
from ansible_collections.maqet.qemu.tests.harness.home import Home, task
from ansible_collections.maqet.qemu.tests.harness.moved import boundaries, die_moving, move, qemu, same, write

ROOM = 64 << 20


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A host with a machine that ran, and was written to. No test changes it."""
    home = Home(tmp_path_factory.mktemp("there"))
    home.base = home.root / "base.qcow2"
    qemu("qemu-img", "create", "-q", "-f", "qcow2", home.base, "16M")
    write(home.base, "qcow2", 1, "0")
    home.vm = home.name("web")
    home.raw = {
        "memory": "64MiB",
        "firmware": "uefi",
        "tpm": True,
        "disks": [{"name": "root", "image": str(home.base), "size": "20MiB"}, {"name": "data", "size": "4MiB", "format": "raw"}],
        "nics": [{"name": "lan", "forwards": [{"guest": 22}]}],
        "display": {"type": "vnc", "password": "hidden"},
    }
    home.facts = reach(home, home.vm, raw=home.raw).vm
    reach(home, home.vm, state="stopped", force=True)
    home.files = home.directory(home.vm)
    write(home.files / "root.qcow2", "qcow2", 7)
    qemu("qemu-io", "-f", "qcow2", "-c", "write -z 0 512k", home.files / "root.qcow2")
    write(home.files / "data.raw", "raw", 9)
    home.exports = home.root / "exports"
    home.exports.mkdir()
    yield home
    home.close()


@pytest.fixture
def here(home, there):
    """Another host. What QEMU says of itself is known there too."""
    shutil.copytree(there.cache / "maqet/qemu", home.cache / "maqet/qemu")
    yield home
    # The unit of the other host's machine has the same name and the same manager here.
    reach(home, there.vm, state="absent", force=True)


def arrived(there, here, name=None):
    """All that the machine has is here, as it was."""
    files = here.directory(name or there.vm)
    assert same(there.files / "root.qcow2", files / "root.qcow2")
    assert same(there.files / "data.raw", files / "data.raw", "raw", "raw")
    assert (there.files / "nvram.fd").read_bytes() == (files / "nvram.fd").read_bytes()
    assert (there.files / "tpm/tpm2-00.permall").read_bytes() == (files / "tpm/tpm2-00.permall").read_bytes()
    for file in ("root.qcow2", "data.raw", "nvram.fd"):
        assert stat.S_IMODE((files / file).stat().st_mode) == 0o600
    qemu("qemu-img", "check", "-q", files / "root.qcow2")
    assert not [path for path in look.listing(here.data, here.cache) if path.endswith((".import", ".new"))]


def test_in_a_playbook(there, here):
    path = f"{there.exports}/play"
    tasks = [task("maqet_archive", name=there.vm, path=path, check=check) for check in (True, False, False)]
    foreseen, done, again = there.play(*tasks)
    assert foreseen["changed"] and done["changed"] and not again["changed"], (foreseen, done)
    assert foreseen["actions"] == done["actions"] and [item["action"] for item in done["actions"]] == [*["export"] * 4, "publish"]
    assert again["archive"] == done["archive"] and done["archive"]["disks"][0]["virtual_size"] == 20 << 20
    assert done["diff"][0]["after"] and done["vm"]["uuid"] == there.facts["uuid"]
    files = [path for path in there.exports.joinpath("play").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600} and len(files) == 5

    taking = [task("maqet_archive", name=there.vm, path=path, state="imported", check=check) for check in (True, False, False)]
    starting = [task("maqet_vm", name=there.vm, **there.raw) for _time in range(2)]
    foreseen, done, again, started, settled = here.play(*taking, *starting)
    assert foreseen["changed"] and done["changed"] and not again["changed"], (foreseen, done)
    assert foreseen["actions"] == done["actions"] and foreseen["vm"] == done["vm"] and done["vm"]["status"] == "stopped"
    assert "hidden" not in json.dumps([foreseen, done]) and not done.get("warnings")
    assert [item["action"] for item in started["actions"]] == ["start"] and not settled["changed"], (started, settled)
    for key in ("uuid", "macs", "machine"):
        assert started["vm"][key] == there.facts[key]


@pytest.mark.parametrize("form", ["directory", "file"])
@pytest.mark.parametrize("base", ["flatten", "include"])
def test_arrives(there, here, base, form):
    path = there.exports / f"{base}{'.tar' if form == 'file' else ''}"
    compress = form == "file"
    assert move(there, there.vm, path, base=base, compress=compress).changed
    assert move(here, there.vm, path, state="imported").changed
    arrived(there, here)
    chain = json.loads(qemu("qemu-img", "info", "--output=json", "--backing-chain", here.directory(there.vm) / "root.qcow2"))
    assert len(chain) == (2 if base == "include" else 1)
    if base == "include":
        content = hashlib.sha256(there.base.read_bytes()).hexdigest()
        assert chain[1]["filename"] == f"{here.cache}/maqet/images/{content}.qcow2"
        # The image is there for others that lie on it, and once.
        other = here.name("other")
        assert move(here, other, path, state="imported", new_identity=True).changed
        arrived(there, here, other)
        assert len(list((here.cache / "maqet/images").glob("*.qcow2"))) == 1
        outcome = reach(here, there.vm, raw=there.raw)
        assert [item["action"] for item in outcome.actions] == ["start"] and outcome.vm["macs"] == there.facts["macs"]


def test_a_copy_has_an_identity_of_its_own(there):
    path = there.exports / "copied.tar"
    move(there, there.vm, path)
    name = there.name("copy")
    with pytest.raises(MaqetError, match="has the same identity"):
        move(there, name, path, state="imported")
    copy = move(there, name, path, state="imported", new_identity=True)
    assert not move(there, name, path, state="imported", new_identity=True).changed
    with pytest.raises(MaqetError, match="there is another machine"):
        move(there, name, path, state="imported")
    assert copy.vm["uuid"] != there.facts["uuid"] and set(copy.vm["macs"].values()).isdisjoint(there.facts["macs"].values())
    assert copy.vm["forwards"][0]["host"] != there.facts["forwards"][0]["host"]
    arrived(there, there, name)
    reach(there, name, state="absent")


def test_files_by_path_become_its_own(there, here):
    name, file, other = there.name("paths"), there.root / "own.raw", there.root / "seed.raw"
    for place in (file, other):
        qemu("qemu-img", "create", "-q", "-f", "raw", place, "2M")
    write(file, "raw", 5)
    disks = [{"name": "own", "path": str(file), "format": "raw"}, {"name": "seed", "path": str(other), "readonly": True, "format": "raw"}]
    reach(there, name, raw={"memory": "64MiB", "disks": disks}, state="stopped")
    exported = move(there, name, there.exports / "paths")
    assert len(exported.warnings) == 1 and f"disks[seed].path: {other}" in exported.warnings[0]
    imported = move(here, name, there.exports / "paths", state="imported")
    assert len(imported.warnings) == 1 and "disks[own]" in imported.warnings[0]
    assert same(file, here.directory(name) / "own.raw", "raw", "raw")
    disks[0] = {"name": "own", "size": "2MiB", "format": "raw"}
    assert not reach(here, name, raw={"memory": "64MiB", "disks": disks}, state="stopped").actions[1:]


@pytest.mark.parametrize("path", ["killed", "killed.tar"])
def test_killed_while_it_is_exported(there, path):
    """The export that was there stays whole until the new one is."""
    path = there.exports / path
    moments = boundaries(there, there.vm, path, base="include")
    first = look.listing(path) if path.is_dir() else path.read_bytes()
    for number, _moment in enumerate(boundaries(there, there.vm, path, base="flatten", force=True)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        move(there, there.vm, path, base="include")
        die_moving(there, there.vm, number, path, base="flatten", force=True)
        assert move(there, there.vm, path, base="flatten", force=True).archive["base"] == "flatten"
        assert not move(there, there.vm, path, base="flatten").changed
        assert not list(there.exports.glob(".*")), "nothing is left beside it"
    assert first and len(moments) > 6


def test_killed_while_it_is_imported(there, here):
    path = there.exports / "taken"
    move(there, there.vm, path, base="include")
    moments = boundaries(here, there.vm, path, state="imported")
    for number, moment in enumerate(moments):
        reach(here, there.vm, state="absent")
        shutil.rmtree(here.cache / "maqet/images")
        die_moving(here, there.vm, number, path, state="imported")
        if number and moment != moments[-1]:
            with pytest.raises(MaqetError, match=r"cut off|no machine"):
                reach(here, there.vm, state="started")
        move(here, there.vm, path, state="imported")
        assert not move(here, there.vm, path, state="imported").changed
        arrived(there, here)


def full_at_each_moment(directory, moments, run, check):
    """The disk is full from every other boundary on; then it has room again."""

    def work(resize):
        def fill():
            facts = os.statvfs(directory)
            resize((facts.f_blocks - facts.f_bfree) * facts.f_frsize or 4096)

        resize(ROOM)
        for number in range(0, moments, 2):
            try:
                run(At(number, fill))
            except MaqetError as exc:
                assert "is full" in str(exc) or "free space" in str(exc), exc
                resize(ROOM)
                check()
            resize(ROOM)
            assert run(None) is not None

    assert Child(lambda: in_a_small_disk(directory, work)).end() == 0


def test_a_full_disk_while_it_is_exported(there):
    directory = there.exports / "small"
    path = directory / "export.tar"
    moments = len(boundaries(there, there.vm, there.exports / "counted.tar", base="include"))

    def export(witness):
        done = move(there, there.vm, path, base="include", witness=witness)
        assert done.changed
        path.unlink()
        return done

    def nothing_half():
        assert list(directory.iterdir()) == []

    full_at_each_moment(directory, moments, export, nothing_half)
    assert Child(lambda: in_a_small_disk(directory, lambda resize: no_room(there, path))).end() == 0


def no_room(there, path):
    """One megabyte is too little: that is known before."""
    with pytest.raises(MaqetError, match=r"is full: up to [0-9]+MiB is needed, 1MiB is free"):
        move(there, there.vm, path, check=True)


def test_a_full_disk_while_it_is_imported(there, here, good):
    here.data = here.root / "small"
    here.data.mkdir()
    path = there.exports / "small.tar"
    move(there, there.vm, path, base="include")
    here.cache = here.data / "cache"
    moments = len(boundaries(here, there.vm, path, state="imported"))
    reach(here, there.vm, state="absent")

    def take(witness):
        done = move(here, there.vm, path, state="imported", witness=witness)
        reach(here, there.vm, state="absent")
        shutil.rmtree(here.cache / "maqet/images")
        return done

    def nothing_half():
        assert here.traces_of_files(there.vm) == []
        assert not [path for path in look.listing(here.data) if path.endswith((".import", ".new"))]

    full_at_each_moment(here.data, moments, take, nothing_half)


def test_refused(there, here):
    path = there.exports / "refused"
    (there.exports / "mine").mkdir()
    (there.exports / "mine/letter").write_text("dear")
    with pytest.raises(MaqetError, match="no export"):
        move(there, there.vm, there.exports / "mine", force=True)
    assert (there.exports / "mine/letter").read_text() == "dear"
    with pytest.raises(MaqetError, match="no machine 'nobody'"):
        move(there, "nobody", path)
    with pytest.raises(MaqetError, match="does not exist"):
        move(there, there.vm, path / "deep/export")
    move(there, there.vm, path)
    with pytest.raises(MaqetError, match="with base: flatten"):
        move(there, there.vm, path, base="include")
    (path / "letter").write_text("dear")
    with pytest.raises(MaqetError, match="no part of the export: 'letter'"):
        move(there, there.vm, path, base="include", force=True)
    (path / "letter").unlink()
    name = here.name("busy")
    reach(here, name, raw={"memory": "64MiB"})
    with pytest.raises(MaqetError, match=r"the machine is running: its disks are in use\. maqet_vm with state: stopped"):
        move(here, name, path, force=True)
    reach(here, name, state="suspended")
    with pytest.raises(MaqetError, match="the machine is suspended"):
        move(here, name, path, force=True)
    with pytest.raises(MaqetError, match="there is another machine"):
        move(here, name, path, state="imported")
    here.directory(there.vm).mkdir()
    (here.directory(there.vm) / "root.qcow2").write_text("somebody's")
    with pytest.raises(MaqetError, match="holds files of a machine that is not known here"):
        move(here, there.vm, path, state="imported")
    assert (here.directory(there.vm) / "root.qcow2").read_text() == "somebody's"


def tamper(path, **changes):
    """Say something else in the manifest. ``__`` goes into it."""
    file = path / "machine.json"
    manifest = json.loads(file.read_text())
    for key, value in changes.items():
        *way, last = [int(word) if word.isdigit() else word for word in key.split("__")]
        spot = manifest
        for word in way:
            spot = spot[word]
        spot[last] = value
    file.write_text(json.dumps(manifest))


def lean(path, words):
    """Make the first disk lean on a file of the host, its sum being right."""
    qemu("qemu-img", *words, path / "root.qcow2")
    content = (path / "root.qcow2").read_bytes()
    tamper(path, disks__0__bytes=len(content), disks__0__sha256=hashlib.sha256(content).hexdigest())


def link(path, name):
    (path / name).unlink()
    (path / name).symlink_to("/etc/passwd")


def spoil(path):
    with open(path / "data.qcow2", "rb+") as file:
        file.seek(400_000)
        file.write(b"other")


EVIL = {
    "a newer schema": (lambda path: tamper(path, schema=2), "newer maqet.qemu"),
    "no schema": (lambda path: tamper(path, schema=None), "no export"),
    "a name that climbs": (lambda path: tamper(path, disks__0__file="../../root.qcow2"), "machine.json says"),
    "a disk that climbs": (lambda path: tamper(path, disks__0__name="../x", disks__0__file="../x.qcow2"), "machine.json says"),
    "an absolute TPM": (lambda path: tamper(path, tpm__0__file="/etc/passwd"), "machine.json says"),
    "a UUID with options": (lambda path: tamper(path, identity__uuid="x,y=z"), "machine.json says"),
    "a machine type from nowhere": (lambda path: tamper(path, identity__machine="pc-q35-99.9"), "no such machine type"),
    "an unknown option": (lambda path: tamper(path, declaration__memroy="1GiB"), "cannot be used here: memroy: is no option"),
    "a disk that is not declared": (lambda path: tamper(path, disks__0__name="more", disks__0__file="root.qcow2"), "machine.json says"),
    "a link": (lambda path: link(path, "root.qcow2"), "no regular file"),
    "a manifest that is a link": (lambda path: link(path, "machine.json"), "no export"),
    "a file more": (lambda path: (path / "more").write_text(""), "no part of the export"),
    "a file less": (lambda path: (path / "nvram.fd").unlink(), "is not there"),
    "a wrong sum": (lambda path: tamper(path, disks__1__sha256="0" * 64), "damaged: SHA-256"),
    "damage": (spoil, "damaged: SHA-256"),
    "a backing file": (lambda path: lean(path, ["rebase", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw"]), "names a backing file"),
    "another size": (lambda path: tamper(path, disks__0__virtual_size=1 << 30), "not as its export says"),
    "variables of another size": (lambda path: tamper(path, nvram__0__virtual_size=4), "has variables of"),
}


@pytest.fixture(scope="module")
def good(there):
    path = there.exports / "good"
    move(there, there.vm, path)
    return path


@pytest.mark.parametrize("evil", EVIL)
def test_what_an_export_may_not_be(there, here, good, tmp_path, evil):
    spoiled, words = EVIL[evil]
    path = tmp_path / "export"
    shutil.copytree(good, path)
    spoiled(path)
    with pytest.raises(MaqetError, match=words):
        move(here, there.vm, path, state="imported")
    assert here.traces_of_files(there.vm) == []
    assert not list(here.cache.glob("maqet/images/*.qcow2"))


def test_a_data_file_elsewhere(there, here, good, tmp_path):
    path = tmp_path / "export"
    shutil.copytree(good, path)
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/elsewhere", path / "new", "20M")
    shutil.move(path / "new", path / "root.qcow2")
    content = (path / "root.qcow2").read_bytes()
    tamper(path, disks__0__bytes=len(content), disks__0__sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(MaqetError, match="its data is in another file"):
        move(here, there.vm, path, state="imported")
    assert here.traces_of_files(there.vm) == []


def test_files_that_are_no_good_tar(there, here, good, tmp_path):
    """What tar can say that a directory cannot; and one that was cut off on its way."""
    path = tmp_path / "export.tar"

    def pack(strange):
        with tarfile.open(path, "w") as tar:
            for file in sorted(good.rglob("*")):
                if file.is_file():
                    tar.add(file, str(file.relative_to(good)))
            strange(tar)

    def member(name, **facts):
        info = tarfile.TarInfo(name)
        vars_ = {"type": tarfile.REGTYPE, **facts}
        info.type, info.linkname = vars_["type"], vars_.get("linkname", "")
        return info

    for name in ("../../escaped", "/tmp/escaped", "more"):
        pack(lambda tar, name=name: tar.addfile(member(name)))
        with pytest.raises(MaqetError, match="no part of the export"):
            move(here, there.vm, path, state="imported")
    pack(lambda tar: tar.addfile(member("root.qcow2", type=tarfile.SYMTYPE, linkname="/etc/passwd")))
    with pytest.raises(MaqetError, match="no regular file"):
        move(here, there.vm, path, state="imported")
    pack(lambda tar: None)
    size = path.stat().st_size
    for length in (0, 1000, size // 2):
        os.truncate(path, length)
        with pytest.raises(MaqetError, match=r"cannot be read|no export|no regular file"):
            move(here, there.vm, path, state="imported")
        pack(lambda tar: None)
    assert here.traces_of_files(there.vm) == []
    assert move(here, there.vm, path, state="imported").changed


# Images of a machine's disk.


def test_an_image_of_a_machine(there):
    """Made once, made again when the machine was written to, whole at every boundary."""
    name, others = there.name("builder"), there.raw["disks"]
    reach(there, name, raw={"memory": "64MiB", "disks": others}, state="stopped")
    disk = there.directory(name) / "root.qcow2"
    write(disk, "qcow2", 3)
    asked = {"image": "golden", "vm": name, "disk": "root"}
    tasks = [task("maqet_image", check=check, **asked) for check in (True, False, False)]
    worker = task("maqet_vm", name=there.name("worker"), memory="64MiB", state="stopped", disks=[{"name": "root", "image": "golden"}])
    foreseen, made, again, lain, gone = there.play(*tasks, worker, task("maqet_image", **{**asked, "disk": "none"}))
    assert foreseen["changed"] and made["changed"] and not again["changed"], (foreseen, made, again)
    assert foreseen["actions"] == made["actions"] and again["image"] == made["image"]
    assert same(disk, made["image"]["file"]) and "backing-filename" not in look.disk(made["image"]["file"])
    assert same(disk, f"{lain['vm']['directory']}/root.qcow2")
    assert gone["failed"] and "It has: root, data" in gone["msg"]

    moments = []
    images = there.cache / "maqet/images"
    for number in range(40):
        write(disk, "qcow2", 10 + number, "3M")
        wanted = Wanted(Source("golden"), vm=name, disk="root")
        child = Child(lambda number=number, wanted=wanted: manage(wanted, host=host_of(there), witness=Cut(number)))
        ended = child.end() == 0
        result = manage(wanted, host=host_of(there), witness=moments.append)
        assert same(disk, result.image["file"]) and same(disk, Images(host_of(there).paths).known("golden").file)
        assert not manage(wanted, host=host_of(there)).changed
        assert {path.suffix for path in (images / "work").iterdir()} <= {".lock"}, "prune takes those"
        if ended:
            break
    assert number > 5
    assert same(f"{lain['vm']['directory']}/root.qcow2", made["image"]["file"]), "what lies on an image keeps it"
    reach(there, name)
    with pytest.raises(MaqetError, match="the machine is running"):
        manage(wanted, host=host_of(there))
    reach(there, name, state="absent", force=True)


def host_of(home):
    return Host(Paths(f"{home.state}/maqet", f"{home.data}/maqet", f"{home.cache}/maqet", str(home.runtime)))
