# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data cases, and what it takes to make machines of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.maqet.qemu.plugins.module_utils._host.facts import _READ as READ
from ansible_collections.maqet.qemu.plugins.module_utils._spec import slots
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import blueprint, slot_names
from ansible_collections.maqet.qemu.plugins.module_utils._spec.disk_file import disk_file
from ansible_collections.maqet.qemu.plugins.module_utils._spec.firmware import nvram_name
from ansible_collections.maqet.qemu.plugins.module_utils._spec.nic import forwards, make_mac
from ansible_collections.maqet.qemu.plugins.module_utils._spec.reality import Facts
from ansible_collections.maqet.qemu.plugins.module_utils._spec.site import Site

HERE = Path(__file__).parent
UUID = "0b9e6f3c-52d4-4a6e-9f0b-6c1b5a0d7e11"
# Of the drivers that the cases name: a real QEMU is asked for them.
PCI = {"edu", "virtio-balloon-pci", "virtio-rng-pci", "virtio-scsi-pci"}


def load(name: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def spec_cases() -> list[dict[str, Any]]:
    """Every declaration that must work; those that name no arch are for x86_64, whatever the host is."""
    cases = [case for file in sorted((HERE / "specs").glob("*.yml")) for case in load(f"specs/{file.name}")]
    for case in cases:
        case["given"].setdefault("arch", "x86_64")
    return cases


def fill(value: Any, words: dict[str, Any]) -> Any:
    """``<word>`` replaced in every text of a case."""
    if isinstance(value, dict):
        return {key: fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, words) for item in value]
    if isinstance(value, str):
        for word, replacement in {**words, "long": "x" * 4000}.items():
            value = value.replace(f"<{word}>", str(replacement))
    return value


def site_for(spec: dict[str, Any], words: dict[str, Any]) -> Site:
    """A place for a machine: ``<dir>`` for its files, ``<run>`` for its sockets, ``<auto>`` and up for its ports,
    ``firmware`` finds its UEFI image."""
    waiting = [item.key for item in forwards(spec, {}) if item.host is None]
    identity = {
        "uuid": UUID,
        "machine": spec["machine"],
        "macs": {name: make_mac(UUID, name) for name in spec["nics"]},
        "ports": {key: words["auto"] + step for step, key in enumerate(waiting)},
        "formats": {},
        "cid": 1234567,
        "salt": "a grain",
        "switches": {name: {"medium": "hub" if name.startswith("hub") else "vde", "path": f"{words['run']}/{name}"} for name in ("lan", "lan2", "hub")},
        **seats(spec),
    }
    if nvram_name(spec):
        identity["firmware"] = {nvram_name(spec): words["firmware"](spec)}
    sockets = {use: f"{words['run']}/{use}.sock" for use in ("qmp", "monitor", "agent", "serial", "vnc", "spice")}
    return Site("m", "tcg", str(words["dir"]), sockets, identity)


def seats(spec: dict[str, Any]) -> dict[str, Any]:
    """The PCIe ports of a machine that is started new."""
    if not slots.has_ports(spec["machine"]):
        return {}
    taken = slots.allot(slot_names(spec, PCI), {})
    return {"slots": taken, "pcie_ports": slots.port_count(taken)}


def facts_of(spec: dict[str, Any], site: Site, case: dict[str, Any]) -> Facts:
    """What a QEMU says of itself that is as ``spec`` has it, told all that is told, but for what the case says of it."""
    parts = blueprint(spec, site)
    started = site.started or spec
    gone = set(case.get("gone", ()))
    disks = {name: disk for name, disk in spec["disks"].items() if f"disk-{name}" not in gone}
    blocks = [merged(_block(name, disk, site), case.get("blocks", {}).get(name, {})) for name, disk in disks.items()]
    lists = {"blocks": blocks, "cpus": _cpu_places({**spec, "cpus": case.get("cpus", spec["cpus"])}) if spec["max_cpus"] else []}
    forwarded = {(f"net-{item.nic}", item.protocol, item.listen, item.host or 0, item.guest) for item in forwards(spec, site.identity)}
    return Facts(
        devices=frozenset(part.value["id"] for part in parts if part.kind == "device") - gone,
        objects=frozenset(part.value["id"] for part in parts if part.kind == "object") - gone,
        forwards=frozenset(map(tuple, case.get("forwards", forwarded))),
        more_memory=case.get("more_memory", spec["memory"] - started["memory"]) if spec["max_memory"] else None,
        unit=case.get("unit"),
        started=started,
        **{name: READ[name](answer) for name, answer in lists.items()},
    )


def merged(value: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {**value, **{key: merged(value[key], item) if isinstance(item, dict) else item for key, item in change.items()}}


def _block(name: str, disk: dict[str, Any], site: Site) -> dict[str, Any]:
    """Of ``query-block``."""
    inner = {"virtio": "/virtio-backend", "usb": f"/disk-{name}.0/legacy[0]"}.get(disk["bus"], "")
    qdev = f"/machine/peripheral/disk-{name}{inner}" if inner else f"disk-{name}"
    block: dict[str, Any] = {"qdev": qdev, "device": "", **({"tray_open": False} if disk["device"] == "cdrom" else {})}
    if disk["path"] or disk["device"] == "disk":
        file = disk_file(name, disk, site).file
        image = {"virtual-size": disk["size"] or 1 << 30, "filename": file}
        limits = {key: disk["throttle"][key] or 0 for key in ("iops", "bps")}
        block["inserted"] = {"image": image, "file": file, "node-name": f"disk-{name}", **limits}
    return block


def _cpu_places(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """``query-hotpluggable-cpus``: the last place first, those that were there at the start without an id."""
    places = []
    for number in reversed(range(spec["max_cpus"])):
        place = {"type": "max-x86_64-cpu", "vcpus-count": 1, "props": {"socket-id": number, "core-id": 0, "thread-id": 0}}
        places.append({**place, "qom-path": f"/machine/unattached/device[{number}]"} if number < spec["cpus"] else place)
    return places


def option_paths(value: Any, path: str = "") -> set[str]:
    """The options that a declaration gives (``disks.size``)."""
    if isinstance(value, list):
        return {found for item in value for found in option_paths(item, path)}
    if not isinstance(value, dict):
        return set()
    found = set()
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        found |= {here} | option_paths(item, here)
    return found


def contains(answer: Any, wanted: Any) -> bool:
    """Whether every key of ``wanted`` is in ``answer``, every item in some item, and a text within the text."""
    if isinstance(wanted, dict):
        return isinstance(answer, dict) and all(key in answer and contains(answer[key], item) for key, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(answer, list) and all(any(contains(item, one) for item in answer) for one in wanted)
    if isinstance(wanted, str) and isinstance(answer, str):
        return wanted in answer
    return answer == wanted
