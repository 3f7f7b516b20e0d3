# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random ways from one declaration to the next, on a QEMU whose guest has yet to run its first instruction.

After each step QEMU is as declared, or ``pending_restart`` says exactly what is missing. A way that fails is printed as it is
written in ``tests/cases/transitions.yml``: those there are walked first, every time.
"""

from __future__ import annotations

import copy
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from ansible_collections.maqet.qemu.tests.cases.data import load
from ansible_collections.maqet.qemu.tests.harness.home import Home
from ansible_collections.maqet.qemu.tests.harness.walk import Walk
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

WAYS, STEPS = 20, 10
SLOW = settings(
    max_examples=WAYS,
    deadline=None,
    database=None,
    # The same ways each time, so that a red run is about what was changed; new ways are looked for when asked to.
    derandomize="MAQET_TEST_EXPLORE" not in os.environ,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def some(names, element):
    """A keyed list: some of the names, in any order."""
    return st.lists(st.sampled_from(names), unique=True).flatmap(lambda chosen: st.tuples(*map(element, chosen))).map(list)


def maybe(**choices):
    return {key: st.sampled_from(values) for key, values in choices.items()}


def disk(name):
    limits = st.fixed_dictionaries({}, optional=maybe(iops=[50, 900], bps=["1MiB", "4MiB"]))
    common = maybe(serial=["ABC", "XYZ"])
    if name == "cd":
        return st.fixed_dictionaries(
            {"name": st.just(name), "device": st.just("cdrom")}, optional={**common, **maybe(path=["<one>", "<two>"], bus=["sata", "scsi"])}
        )
    optional = {**common, "throttle": limits, **maybe(bus=["virtio", "virtio", "scsi", "usb", "nvme", "sata"], cache=["unsafe"])}
    if name == "out":
        return st.fixed_dictionaries({"name": st.just(name), "format": st.just("raw")} | maybe(path=["<three>", "<four>"]), optional=optional)
    return st.fixed_dictionaries({"name": st.just(name)} | maybe(size=["1MiB", "2MiB", "3MiB"]), optional=optional | maybe(on_remove=["keep", "delete"]))


def nic(name):
    forward = st.fixed_dictionaries(maybe(guest=[22, 80]), optional=maybe(protocol=["tcp", "udp"]))
    forwards = st.lists(forward, unique_by=lambda item: (item["guest"], item.get("protocol", "tcp")), max_size=3)
    macs = [f"52:54:00:00:{last}:{len(name):02x}" for last in ("00", "00", "01")]
    return st.fixed_dictionaries({"name": st.just(name)} | maybe(mac=macs), optional={"forwards": forwards, **maybe(model=MODELS, link=["up", "down"])})


MODELS = ["e1000e", "virtio-net-pci"]
OBJECTS = {"io": ["iothread", "rng-builtin"], "random": ["rng-builtin"]}
DEVICES = {"edu": ["edu"], "board": ["virtio-tablet-pci", "virtio-keyboard-pci"], "noise": ["virtio-rng-pci"]}
KEYS = {
    "disks": some(["a", "b", "c", "cd", "out"], disk),
    "nics": some(["l", "wan"], nic),
    "objects": some(list(OBJECTS), lambda name: st.fixed_dictionaries({"id": st.just(name)} | maybe(**{"qom-type": OBJECTS[name]}))),
    "devices": some(list(DEVICES), lambda name: st.fixed_dictionaries({"id": st.just(name)} | maybe(driver=DEVICES[name]))),
    "input": st.fixed_dictionaries({}, optional=maybe(tablet=[True, False], keyboard=[True, False])),
    **maybe(memory=["64MiB", "96MiB", "128MiB"], max_memory=[None, "256MiB"], balloon=[None, "48MiB"], cpus=[1, 2, 3], max_cpus=[None, 4]),
    **maybe(rng=[True, False], guest_agent=[True, False], video=["std", "virtio", "none"], labels=[{"a": "1"}, {"a": "2"}]),
}
# What is done live is what these tests are about.
LIKELY = [*KEYS, "disks", "disks", "disks", "nics", "nics", "devices", "objects", "memory", "cpus", "input"]


@st.composite
def ways(draw, keys, likely, steps):
    """Declarations, each from the one before by redrawing some keys; with what is done about restarts, and where we are killed."""
    raw = {key: draw(strategy) for key, strategy in keys.items()}
    way = [{"raw": mended(raw), "machine": draw(st.sampled_from(["q35", "q35", "pc"]))}]
    for _step in range(steps):
        for key in draw(st.lists(st.sampled_from(likely), min_size=1, max_size=3, unique=True)):
            raw = {**raw, key: draw(keys[key])}
        step = {"raw": mended(raw)}
        if draw(st.integers(0, 4)) == 0:
            step["on_restart_needed"] = "restart"
        if draw(st.integers(0, 3)) == 0:
            step["cut"] = draw(st.integers(0, 12))
        way.append(step)
    return way


def mended(raw):
    """The declaration without what would be refused."""
    raw = {key: copy.deepcopy(value) for key, value in raw.items() if value is not None}
    raw["cpus"] = min(raw["cpus"], raw.get("max_cpus", raw["cpus"]))
    ids = {item["id"] for item in raw["objects"]}
    noise = [item for item in raw["devices"] if item["id"] == "noise" and "random" in ids]
    raw["devices"] = [item for item in raw["devices"] if item["id"] != "noise"] + [{**item, "rng": "random"} for item in noise]
    return raw


def walk(home, way):
    taken = Walk(home, media(home), state="paused")
    for number, step in enumerate(way):
        step = {**step, "raw": {**step["raw"], "machine": way[0]["machine"]}}
        taken.take(number, **{key: value for key, value in step.items() if key != "machine"})
    taken.end()


def media(home):
    """Files for drives, by word."""
    files = {word: home.root / f"{word}.raw" for word in ("one", "two", "three", "four")}
    for file in files.values():
        file.write_bytes(bytes(1 << 20))
    files["five"] = home.root / "five.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(files["five"]), "1M"], check=True)
    return files


@contextmanager
def scratch(base):
    """A home of its own for each way; what QEMU says of itself is asked once for all."""
    with tempfile.TemporaryDirectory(prefix="maqet-") as folder:
        home = Home(Path(folder))
        home.cache, home.runtime = base / "cache", Path(folder) / "xdg"
        home.runtime.mkdir(mode=0o700)
        try:
            yield home
        finally:
            home.close()


def told(way):
    return "A line for tests/cases/transitions.yml:\n- " + yaml.safe_dump(way, default_flow_style=True, width=10000)


@pytest.mark.parametrize("way", load("transitions.yml"))
def test_known_ways(way, scratch_home):
    walk(scratch_home, way)


def test_random_ways(tmp_path_factory):
    @SLOW
    @given(ways(KEYS, LIKELY, STEPS))
    def check(way):
        note(told(way))
        with scratch(tmp_path_factory.getbasetemp()) as home:
            walk(home, way)

    check()
