# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image cache: what servers, disks, other tasks and bad images do to it."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import hashlib
import lzma
import os
import random
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError, ImageError, LockedError
from ansible_collections.maqet.qemu.plugins.module_utils._host.deadline import Deadline
from ansible_collections.maqet.qemu.plugins.module_utils._host.host import Host
from ansible_collections.maqet.qemu.plugins.module_utils._host.images import Images
from ansible_collections.maqet.qemu.plugins.module_utils._host.paths import Paths
from ansible_collections.maqet.qemu.plugins.module_utils._images import Wanted, manage
from ansible_collections.maqet.qemu.plugins.module_utils._spec.image import Source
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.children import Child, in_a_small_disk
from ansible_collections.maqet.qemu.tests.harness.engine import Cut, Wish, reach_all
from ansible_collections.maqet.qemu.tests.harness.home import task

RAW = random.Random(4).randbytes(3 << 20) + bytes(5 << 20)
XZ = lzma.compress(RAW, preset=0)


def paths(home):
    return Paths(f"{home.state}/maqet", f"{home.data}/maqet", f"{home.cache}/maqet", None)


@pytest.fixture
def images(home):
    return Images(paths(home))


def qemu_img(*words):
    done = subprocess.run(["qemu-img", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The same image in every format that is taken, by format."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "raw").write_bytes(RAW)
    for form in ("qcow2", "vmdk", "vdi", "vhdx", "vpc"):
        options = ["-o", "force_size=on"] if form == "vpc" else []
        qemu_img("convert", "-f", "raw", "-O", form, *options, folder / "raw", folder / form)
    return {path.name: path for path in folder.iterdir()}


def bring(images, name, seconds=30, witness=lambda moment: None, force=False, **source):
    return asyncio.run(images.bring(Source(name, **source), Deadline(seconds), witness, force=force))


def find(images, name, force=False, **source):
    return asyncio.run(images.find(Source(name, **source), Deadline(10), force=force))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def files(images):
    """What is in the cache, without the lock of it all."""
    root = Path(images.root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path != root / "lock")


def check_sound(images, *names, content=RAW):
    """Each name has the content, whole, read-only and clean, and nothing else is there."""
    found = [images.known(name) for name in names]
    assert files(images) == sorted({*(f"names/{name}.json" for name in names), *(os.path.basename(image.file) for image in found)})
    for image in found:
        qemu_img("check", "-q", "-f", "qcow2", image.file)
        assert stat.S_IMODE(os.stat(image.file).st_mode) == 0o400
        assert image.virtual_size == len(content)
        qemu_img("convert", "-f", "qcow2", "-O", "raw", image.file, f"{images.root}.raw")
        assert sha256(Path(f"{images.root}.raw").read_bytes()) == sha256(content)


# What comes.


def test_every_format_and_packing(images, made, web, tmp_path):
    for form, path in made.items():
        assert bring(images, form, path=str(path)).source_format == form
    check_sound(images, *made)
    packings = {
        "xz": lzma.compress,
        "gz": gzip.compress,
        "zst": lambda data: subprocess.run(["zstd", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout,
    }
    for kind, pack in packings.items():
        web.files[f"raw.{kind}"] = pack(RAW)
        bring(images, kind, url=web.url(f"raw.{kind}"), verify=False)
    web.files["q.bz2"] = bz2.compress(made["qcow2"].read_bytes())
    bring(images, "bz2", url=web.url("q.bz2"), checksum=f"sha512:{hashlib.sha512(web.files['q.bz2']).hexdigest()}")
    check_sound(images, *made, *packings, "bz2")


def test_what_is_said_to_be_raw_is_not_looked_into(images, made):
    bring(images, "disk", path=str(made["qcow2"]), format="raw")
    bring(images, "same", path=str(made["qcow2"]))
    assert images.known("disk").content == images.known("same").content
    assert images.known("disk").virtual_size >= os.path.getsize(made["qcow2"]) > images.known("same").virtual_size // 4
    with pytest.raises(ImageError, match="is raw and not vmdk"):
        bring(images, "wrong", path=str(made["raw"]), format="vmdk")


def test_sums(images, home, web):
    web.files["a.raw"] = RAW
    web.files["SHA256SUMS"] = f"{sha256(b'')}  other.raw\n{sha256(RAW)} *a.raw\n".encode()
    web.files["SHA512SUMS"] = f"SHA512 (./a.raw) = {hashlib.sha512(RAW).hexdigest()}\n".encode()
    for name, sums in {"one": f"sha256:{web.url('SHA256SUMS')}", "two": f"sha512:{web.url('SHA512SUMS')}", "three": f"sha256:{sha256(RAW)}"}.items():
        source = {"url": web.url("a.raw"), "checksum": sums}
        bring(images, name, **source)
        web.forget()
        later = Images(paths(home))
        assert find(later, name, **source) == later.known(name)
        assert [path for path, _range, _status in web.asked] == ([f"/{sums.rpartition('/')[2]}"] if "/" in sums else [])
    check_sound(images, "one", "two", "three")
    with pytest.raises(HostError, match=r"no sha256 sum of b\.raw.*a\.raw"):
        bring(images, "four", url=web.url("b.raw"), checksum=f"sha256:{web.url('SHA256SUMS')}")


@pytest.mark.parametrize("kind", ["sum", "file of sums"])
def test_a_wrong_sum_leaves_nothing(images, web, kind):
    wrong = sha256(b"something else")
    web.files |= {"a.raw": RAW, "SHA256SUMS": f"{wrong}  a.raw\n".encode()}
    with pytest.raises(ImageError) as failed:
        bring(images, "a", url=web.url("a.raw"), checksum=f"sha256:{wrong if kind == 'sum' else web.url('SHA256SUMS')}")
    assert wrong in str(failed.value) and sha256(RAW) in str(failed.value)
    assert files(images) == []


def test_a_local_file_is_read_once(images, tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(RAW)
    first = bring(images, "a", path=str(path))
    facts = os.stat(path)
    with path.open("r+b") as file:
        file.write(b"changed!")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert find(images, "a", path=str(path)) == bring(images, "b", path=str(path))._replace(name="a") == first
    assert find(images, "a", path=str(path), force=True) is None
    os.utime(path)
    assert bring(images, "a", path=str(path)).content == sha256(path.read_bytes()) != first.content


def test_another_file_at_the_same_url(images, web):
    web.files["a.raw"] = RAW
    source = {"url": web.url("a.raw"), "verify": False}
    first = bring(images, "a", **source)
    web.files["a.raw"] = RAW[::-1]
    assert find(images, "a", **source) == bring(images, "a", **source) == first
    assert find(images, "a", force=True, **source) is None
    second = bring(images, "a", force=True, **source)
    assert second.content == sha256(RAW[::-1]) and os.path.exists(first.file)
    web.forget()
    assert bring(images, "a", force=True, **source) == second
    assert ([status for _path, _range, status in web.asked], web.served) == ([304], 0)


# What comes in pieces.


def test_ten_at_once_fetch_once(images, web):
    """Five processes with two tasks each, on a line that breaks."""
    web.files["a.raw.xz"], web.cuts, web.pause = XZ, [len(XZ) // 2], 0.005
    source = {"url": web.url("a.raw.xz"), "checksum": f"sha256:{sha256(XZ)}"}

    async def two(number):
        await asyncio.gather(*(images.bring(Source(f"a{number}-{side}", **source), Deadline(30)) for side in "lr"))

    children = [Child(lambda number=number: asyncio.run(two(number))) for number in range(5)]
    assert [child.end() for child in children] == [0] * 5
    check_sound(images, *(f"a{number}-{side}" for number in range(5) for side in "lr"))
    assert len(web.asked) == 2 and len(XZ) <= web.served <= len(XZ) + (1 << 20)


def test_ten_machines_of_one_url(images, home, web):
    """One download, and ten disks that lie on it."""
    web.files["a.raw.xz"], web.cuts, web.pause = XZ, [len(XZ) // 2], 0.005
    origin = {"name": "debian", "url": web.url("a.raw.xz"), "checksum": f"sha256:{sha256(XZ)}"}
    raw = {"memory": "64MiB", "images": [origin], "disks": [{"name": "root", "image": "debian"}]}
    names = [home.name(f"n{number}") for number in range(10)]
    wishes = [Wish(name, raw, state="paused", supervisor="process") for name in names]
    assert [outcome.error for outcome in reach_all(home, wishes)] == [None] * 10
    assert len(web.asked) == 2 and len(XZ) <= web.served <= len(XZ) + (1 << 20)
    base = images.known("debian").file
    assert {look.disk(home.directory(name) / "root.qcow2")["backing-filename"] for name in names} == {base}
    removed = home.play(task("maqet_image", image="debian", state="absent", prune=True))
    assert removed["changed"] and removed["removed"] == [] and os.path.exists(base)


def test_who_waits_has_a_time_limit(images, web):
    web.files["a.raw"], web.pause = RAW, 0.008
    child = Child(lambda: bring(images, "a", url=web.url("a.raw"), verify=False))
    while not any(name.endswith(".part") for name in files(images)):
        pass
    with pytest.raises(LockedError, match=f"fetches {web.url('a.raw')}: pid {child.pid}"):
        bring(images, "b", 0.2, url=web.url("a.raw"), verify=False)
    assert child.end() == 0
    check_sound(images, "a")


@pytest.mark.parametrize("trouble", ["cut often", "no ranges", "another file", "no tags", "no lengths"])
def test_broken_downloads(images, web, trouble):
    web.files["a.raw"], step = RAW, len(RAW) // 5
    source = {"url": web.url("a.raw"), "verify": False}
    web.cuts = [step] * (4 if trouble == "cut often" else 1)
    web.ranges, web.tags = trouble != "no ranges", trouble != "no tags"
    if trouble == "no lengths":
        web.lengths, web.cuts = False, []
    elif trouble == "another file":
        web.cuts = []
        bad = Child(lambda: bring(images, "a", witness=Cut(3), **source))
        assert bad.end() < 0 and web.served
        web.files["a.raw"] = RAW[::-1]
    bring(images, "a", **source)
    check_sound(images, "a", content=web.files["a.raw"])
    resumed = [status for _path, _range, status in web.asked].count(206)
    assert resumed == {"cut often": 4}.get(trouble, 0)


def test_a_server_that_brings_nothing_is_given_up(images, web):
    web.files["a.raw"], web.cuts, web.tags = RAW, [70000] * 20, False
    with pytest.raises(HostError, match=r"ended after \d+ of \d+ bytes|no end within 1 s"):
        bring(images, "a", 1, url=web.url("a.raw"), verify=False)
    with pytest.raises(HostError, match="404"):
        bring(images, "a", url=web.url("b.raw"), verify=False)
    with pytest.raises(HostError, match="refused"):
        bring(images, "a", 1, url="http://127.0.0.1:9/a.raw", verify=False)


@pytest.mark.parametrize("packed", [True, False])
def test_killed_at_every_boundary(images, made, web, packed):
    """After each death nothing half has a final name, and the next run comes to the end."""
    data = XZ if packed else made["qcow2"].read_bytes()
    web.files["a"] = data
    for name in ("whole", *(f"at{number}" for number in range(40))):
        moments, source = [], {"url": f"{web.url('a')}?{name}", "checksum": f"sha256:{sha256(data)}"}
        other = Images(Paths("", "", f"{os.path.dirname(images.root)}/{name}", None))
        if name == "whole":
            bring(other, "a", witness=moments.append, **source)
            boundaries = len(moments)
            continue
        number = int(name[2:])
        if number == boundaries:
            break
        assert Child(lambda store=other, at=number, src=source: bring(store, "a", witness=Cut(at), **src)).end() < 0
        for content in Path(other.root).glob("*.qcow2"):
            qemu_img("check", "-q", "-f", "qcow2", content)
        web.forget()
        bring(other, "a", **source)
        check_sound(other, "a")
        assert web.served <= len(data)
    assert number == boundaries > 6


# Where there is no room.


def test_a_full_disk(images, made, web):
    """A file system that is too small at first, at every size up to one where it fits; then it grows."""
    web.files |= {"a.xz": XZ, "a.qcow2": made["qcow2"].read_bytes()}
    for lengths, name in ((False, "a.xz"), (True, "a.xz"), (False, "a.qcow2")):
        web.lengths = lengths
        child = Child(lambda name=name: in_a_small_disk(images.root, lambda resize: _fill(images, web.url(name), resize)))
        assert child.end() == 0
    # What was there went on, or was whole.
    assert {status for _path, _range, status in web.asked} == {200, 206, 304}


def _fill(images, url, resize):
    failures = 0
    for pages in [*range(1, 7), *range(64, 1400, 333)]:
        resize(pages * 4096)
        try:
            bring(images, "a", url=url, verify=False)
        except HostError as exc:
            assert any(words in str(exc) for words in ("is full", "bytes are free", "are needed", "No space left")), exc
            failures += 1
            assert [name for name in files(images) if not name.startswith("work/")] == []
            resize(64 << 20)
            bring(images, "a", url=url, verify=False)
        check_sound(images, "a")
        asyncio.run(images.remove("a", set))
    assert failures > 7


# What is bad.


def evil(folder):
    """Images that read another file of the host, by why they are refused."""

    def make(name, *words):
        qemu_img("create", "-q", *words[:-1], folder / name, words[-1])
        return folder / name

    yield "backing file", make("backing", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/passwd", "1M")
    yield "backing file", make("json", "-f", "qcow2", "-u", "-F", "raw", "-b", 'json:{"driver":"file","filename":"/etc/passwd"}', "1M")
    yield "another file", make("data", "-f", "qcow2", "-o", f"data_file={folder}/secret", "1M")
    flat = '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/passwd" 0\n'
    (folder / "flat").write_text(flat.ljust(1024))
    yield "other files", folder / "flat"
    make("sparse", "-f", "vmdk", "1M")
    whole = bytearray((folder / "sparse").read_bytes())
    (folder / "parent").write_bytes(whole.replace(b"parentCID=ffffffff\n", b'parentFileNameHint="/etc/passwd"\n', 1))
    yield "parent", folder / "parent"
    struct.pack_into("<Q", whole, 12, 0)  # without a capacity its descriptor names extents
    (folder / "extents").write_bytes(whole)
    yield "other files", folder / "extents"


def test_images_that_read_files_of_the_host(images, web, tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    for reason, path in evil(folder):
        web.files["evil.xz"] = lzma.compress(path.read_bytes())
        for source in ({"path": str(path)}, {"url": web.url("evil.xz"), "verify": False}):
            with pytest.raises(ImageError, match=reason):
                bring(images, "evil", **source)
            assert files(images) == [], path
    # As raw bytes it is harmless.
    assert bring(images, "evil", path=str(folder / "flat"), format="raw").virtual_size == 1024


def test_damaged_images(images, made, web):
    whole = made["qcow2"].read_bytes()
    table = struct.unpack_from(">Q", whole, 40)[0]
    damaged = {"short.xz": XZ[: len(XZ) // 2], "page.html": b"<!DOCTYPE html><p>Please log in", "empty": b""}
    damaged["table.qcow2"] = whole[:table] + b"\xff" * 512 + whole[table + 512 :]
    for name, data in damaged.items():
        web.files[name] = data
        with pytest.raises(ImageError, match=r"unpacked|no image|damaged|converted"):
            bring(images, "bad", url=web.url(name), verify=False)
        assert files(images) == [], name


# What goes.


def test_what_disks_lie_on_stays(images, home, made, web):
    one, two = bring(images, "one", path=str(made["raw"])), bring(images, "two", path=str(made["qcow2"]))
    directory = home.data / "maqet/vms/m"
    directory.mkdir(parents=True)
    qemu_img("create", "-q", "-f", "qcow2", "-b", one.file, "-F", "qcow2", directory / "root.qcow2")
    planned, gone, again, pruned = home.play(
        task("maqet_image", image="one", state="absent", prune=True, check=True),
        task("maqet_image", image="one", state="absent", prune=True),
        task("maqet_image", image="one", state="absent", prune=True),
        task("maqet_image", image="two", state="absent"),
    )
    assert (gone["changed"], gone["removed"], again["changed"], pruned["removed"]) == (True, [], False, [two.file])
    assert (planned["actions"], planned["diff"]) == (gone["actions"], gone["diff"])
    assert images.known("one") is None and files(images) == [os.path.basename(one.file)]
    (directory / "root.qcow2").unlink()

    async def while_used():
        async with images.used():
            with pytest.raises(LockedError, match="uses images"):
                await images.prune(set, Deadline(0.2))

    asyncio.run(while_used())
    Path(images.root, "work").mkdir(exist_ok=True)
    (Path(images.root) / "work/0123456789abcdef.part").write_bytes(b"x")
    planned, gone = (manage(Wanted(None, prune=True), check=check, host=Host(paths(home))) for check in (True, False))
    assert gone.changed and len(gone.removed) == 2 and planned.actions == gone.actions and files(images) == []


def test_the_module(images, home, web):
    web.files["a.raw"] = RAW
    wanted = {"image": "debian", "url": web.url("a.raw"), "checksum": f"sha256:{sha256(RAW)}"}
    planned, first, again, checked, named, wrong = home.play(
        task("maqet_image", check=True, **wanted),
        task("maqet_image", **wanted),
        task("maqet_image", **wanted),
        task("maqet_image", check=True, **wanted),
        task("maqet_image", **{**wanted, "image": "other"}),
        task("maqet_image", **{**wanted, "checksum": f"sha256:{sha256(b'')}"}),
    )
    assert planned["changed"] and first["changed"] and planned["actions"][0]["action"] == first["actions"][0]["action"] == "fetch"
    assert planned["image"]["content"] == first["image"]["content"] == sha256(RAW)
    assert planned["image"]["file"] is None and first["image"]["file"] == images.known("debian").file
    assert not again["changed"] and not checked["changed"] and again["image"] == checked["image"] == first["image"]
    assert [action["action"] for action in named["actions"]] == ["name"]
    assert wrong["failed"] and wrong["msg"].startswith("debian: ") and sha256(RAW) in wrong["msg"] and sha256(b"") in wrong["msg"]
    assert sha256(RAW) in str(first["diff"]) and "fetch" in str(first["diff"])
    # Once looked at, once fetched; the one that was wrong too.
    assert len(web.asked) == 3
    check_sound(images, "debian", "other")


def test_check_mode_foretells(home, tmp_path):
    """A file that was touched changes nothing, another one does; what would fail fails."""
    path = tmp_path / "a.raw"
    path.write_bytes(RAW)
    source = Source("a", path=str(path))

    def managed(check=False, **more):
        return manage(Wanted(source._replace(**more)), check=check, host=Host(paths(home)))

    assert managed().changed
    os.utime(path)
    assert (managed(check=True).changed, managed().changed) == (False, False)
    with pytest.raises(ImageError, match=sha256(RAW)):
        managed(check=True, checksum=f"sha256:{sha256(b'')}")
    path.write_bytes(RAW[::-1])
    planned, done = managed(check=True), managed()
    assert planned.changed and done.changed
    assert planned.image["content"] == done.image["content"] == sha256(RAW[::-1])


def test_what_the_module_refuses(home):
    cases = {
        "debian: needs one of url and path": {"image": "debian"},
        "debian: checksum: is missing": {"image": "debian", "url": "http://127.0.0.1:9/a"},
        "cannot be an image's name": {"image": "../debian", "state": "absent"},
        "debian: checksum: 'md5:1' is not allowed": {"image": "debian", "url": "https://127.0.0.1:9/a", "checksum": "md5:1"},
        "debian: path: /nowhere does not exist": {"image": "debian", "path": "/nowhere"},
        "image: is missing": {},
    }
    for (words, _arguments), result in zip(cases.items(), home.play(*(task("maqet_image", **arguments) for arguments in cases.values()))):
        assert result["failed"] and words in result["msg"] and result["hint"], result["msg"]
    assert not (home.cache / "maqet/images").exists()
