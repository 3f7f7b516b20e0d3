# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two views of a machine by the paths of its options: as it was declared, and as its QEMU says it is. None of it is our code's."""

from __future__ import annotations

import json
import re

from . import look

PERIPHERAL = "/machine/peripheral"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
BUSES = {"virtio-blk-pci": "virtio", "nvme": "nvme", "usb-storage": "usb", "ide-hd": "sata", "ide-cd": "sata", "scsi-hd": "scsi", "scsi-cd": "scsi"}
VIDEO = {"VGA": "std", "virtio-gpu-pci": "virtio", "bochs-display": "bochs", None: "none"}
# What comes with others, or with every machine.
FIXED = {"virtio-serial", "guest-agent", "balloon", "rng-device", "video", "more-memory", "scsi", "usb", "tablet", "keyboard"}
OWN_OBJECTS = {"rng", "more-memory-backend", "pc.ram"}
_FORWARD = re.compile(r"(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)")


def size(text):
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()
    return int(number) * UNITS[unit]


def wanted(raw):
    """What QEMU should be like, of a declaration that spells its sizes with KiB, MiB or GiB."""
    view = {
        "cpus": raw.get("cpus", 1),
        "max_cpus": raw.get("max_cpus"),
        "memory": size(raw.get("memory", "512MiB")),
        "max_memory": size(raw["max_memory"]) if "max_memory" in raw else None,
        "rng": raw.get("rng", True),
        "guest_agent": raw.get("guest_agent", True),
        "video": raw.get("video", "std"),
        **{f"input.{word}": raw.get("input", {}).get(word, False) for word in ("tablet", "keyboard")},
    }
    for item in raw.get("objects", []):
        view[f"objects[{item['id']}]"] = item["qom-type"]
    for item in raw.get("devices", []):
        view[f"devices[{item['id']}]"] = item["driver"]
    for disk in raw.get("disks", []):
        view.update(_wanted_disk(disk))
    for nic in raw.get("nics", []):
        view.update(_wanted_nic(nic))
    return view


def _wanted_disk(disk):
    here, cdrom = f"disks[{disk['name']}]", disk.get("device") == "cdrom"
    view = {
        here: "cdrom" if cdrom else "disk",
        f"{here}.bus": disk.get("bus", "sata" if cdrom else "virtio"),
        f"{here}.serial": disk.get("serial", disk["name"]),
    }
    if cdrom:
        return {**view, f"{here}.path": disk.get("path")}
    view[f"{here}.cache"] = disk.get("cache", "writeback")
    for key, value in disk.get("throttle", {}).items():
        view[f"{here}.throttle.{key}"] = value if key == "iops" else size(value)
    if "path" in disk:
        return {**view, f"{here}.path": disk["path"]}
    return {**view, f"{here}.path": None, f"{here}.size": size(disk["size"])}


def _wanted_nic(nic):
    here = f"nics[{nic['name']}]"
    view = {here: True, f"{here}.model": nic.get("model", "virtio-net-pci")}
    if "mac" in nic:
        view[f"{here}.mac"] = nic["mac"]
    for item in nic.get("forwards", []):
        view[f"{here}.forwards[{item.get('protocol', 'tcp')}/{item['guest']}]"] = True
    return view


def seen(wire, pid):
    """What QEMU is like, by its monitor; its limits, which no query shows, by its command line."""
    words = " ".join(look.command_line(pid))
    devices = children(wire, PERIPHERAL)
    backends = block_backends(wire)
    places = wire.ask("query-hotpluggable-cpus")
    more = wire.ask("qom-get", path=f"{PERIPHERAL}/more-memory", property="requested-size") if "more-memory" in devices else 0
    view = {
        "cpus": sum("qom-path" in place for place in places),
        "max_cpus": _limit(words, r"maxcpus=(\d+)", 1),
        "memory": wire.ask("query-memory-size-summary")["base-memory"] + more,
        "max_memory": _limit(words, r"maxmem=(\d+)M", 1 << 20),
        "rng": "rng-device" in devices,
        "guest_agent": "guest-agent" in devices,
        "video": VIDEO[devices.get("video")],
        **{f"input.{word}": word in devices for word in ("tablet", "keyboard")},
    }
    for name, kind in children(wire, "/objects").items():
        if name not in OWN_OBJECTS and not name.startswith("#"):
            view[f"objects[{name}]"] = kind
    for name, kind in devices.items():
        if name.startswith("disk-"):
            view.update(_seen_disk(wire, name, kind, backends.get(name, {})))
        elif name.startswith("nic-"):
            mac = wire.ask("qom-get", path=f"{PERIPHERAL}/{name}", property="mac")
            view.update({f"nics[{name[4:]}]": True, f"nics[{name[4:]}].model": kind, f"nics[{name[4:]}].mac": mac})
        elif name not in FIXED and not name.startswith(("port-", "cpu-")):
            view[f"devices[{name}]"] = kind
    for netdev, protocol, _host, guest in forwards(wire):
        view[f"nics[{netdev[4:]}].forwards[{protocol}/{guest}]"] = True
    return view


def _limit(words, pattern, unit):
    found = re.search(pattern, words)
    return int(found.group(1)) * unit if found else None


def _seen_disk(wire, device, kind, backend):
    here, inserted = f"disks[{device[5:]}]", backend.get("inserted")
    serial = wire.ask("qom-get", path=f"{PERIPHERAL}/{device}", property="serial")
    view = {here: "cdrom" if kind.endswith("-cd") else "disk", f"{here}.bus": BUSES[kind], f"{here}.serial": serial}
    if kind.endswith("-cd"):
        return {**view, f"{here}.path": inserted["image"]["filename"] if inserted and not backend.get("tray_open") else None}
    assert inserted, f"{device} has no block node"
    limits = {f"{here}.throttle.{key}": inserted[key] for key in ("iops", "bps") if inserted[key]}
    # A file of ours is nobody's path.
    path = None if "/maqet/vms/" in inserted["file"] else inserted["file"]
    cache = "unsafe" if inserted["cache"]["no-flush"] else "none" if inserted["cache"]["direct"] else "writeback"
    return {**view, **limits, f"{here}.cache": cache, f"{here}.path": path, f"{here}.size": inserted["image"]["virtual-size"]}


def children(wire, path):
    """Objects of QEMU's tree by name, with their types."""
    return {item["name"]: item["type"][6:-1] for item in wire.ask("qom-list", path=path) if item["type"].startswith("child<")}


def block_backends(wire):
    """``query-block`` by the device's id."""
    return {item["qdev"].replace(f"{PERIPHERAL}/", "").partition("/")[0]: item for item in wire.ask("query-block") if item.get("qdev")}


def human(wire, line):
    return wire.ask("human-monitor-command", **{"command-line": line})


def forwards(wire):
    """``(netdev, protocol, host port, guest port)`` of each."""
    found, netdev = [], ""
    for line in human(wire, "info usernet").splitlines():
        named = re.search(r"\((\S+)\):\s*$", line)
        netdev = named.group(1) if named else netdev
        found += [(netdev, kind.lower(), int(host), int(guest)) for kind, _address, host, guest in _FORWARD.findall(line)]
    return found


def difference(wish, view):
    """Paths where the views differ; of an element that one of them lacks its own path alone. What was not wished is not compared."""
    elements = {path for path in {*wish, *view} if path.endswith("]") and (path in wish) != (path in view)}
    paths = {path for path in {*wish, *view} if wish.get(path) != view.get(path)}
    for path in [*paths]:
        element = path.partition("].")[0] + "]"
        outer = element in elements and path != element
        unsaid = path not in wish and re.search(r"\.(mac|size)$", path)
        if outer or unsaid:
            paths.discard(path)
    return paths


def orphans(wire):
    """Backends that nothing uses: block nodes, network backends; and forwards of none."""
    devices = children(wire, PERIPHERAL)
    in_use = {backend["inserted"]["node-name"] for backend in block_backends(wire).values() if backend.get("inserted")}
    nodes = {node["node-name"] for node in wire.ask("query-named-block-nodes", flat=True) if not node["node-name"].startswith("#")}
    netdevs = set(re.findall(r"^(?: \\ )?(net-\S+): index", human(wire, "info network"), re.MULTILINE))
    unused = {netdev for netdev in netdevs if f"nic-{netdev[4:]}" not in devices}
    return nodes - in_use | unused


def misplaced(wire, directory):
    """PCIe ports: stored for devices that are not there or elsewhere, or held by devices without being stored."""
    identity = json.loads((directory / "machine.json").read_text())["identity"]
    stored, held = identity.get("slots", {}), {}
    if identity["machine"].startswith("pc-i440fx"):
        places = {name: wire.ask("qom-get", path=f"{PERIPHERAL}/{name}", property="addr") for name in children(wire, PERIPHERAL)}
        # What QEMU placed itself is in the lower half.
        return stored, {name: 31 - (place >> 3) for name, place in places.items() if isinstance(place, int) and place >> 3 > 15}
    for name in children(wire, PERIPHERAL):
        bus = re.fullmatch(rf"{PERIPHERAL}/port-(\d+)/port-\d+", str(wire.ask("qom-get", path=f"{PERIPHERAL}/{name}", property="parent_bus")))
        if bus:
            held[name] = int(bus.group(1))
    return stored, held
