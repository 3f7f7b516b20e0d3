# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's argument spec of the options, written from their records by scripts/describe: a task with nothing to do
reads these few lines and none of the families (see docs/decisions/0012)."""

from __future__ import annotations

from typing import Any

ARGUMENTS: dict[str, Any] = {
    "labels": {"type": "dict"},
    "protect": {"type": "bool"},
    "arch": {"type": "str"},
    "machine": {"type": "str"},
    "accel": {"type": "str", "choices": ["auto", "kvm", "tcg"]},
    "firmware": {"type": "str", "choices": ["bios", "uefi"]},
    "secure_boot": {"type": "bool"},
    "cpus": {"type": "int"},
    "max_cpus": {"type": "int"},
    "cpu_topology": {
        "type": "dict",
        "options": {"sockets": {"type": "int"}, "cores": {"type": "int"}, "threads": {"type": "int"}},
    },
    "cpu_model": {"type": "str"},
    "memory": {"type": "str"},
    "max_memory": {"type": "str"},
    "balloon": {"type": "str"},
    "smbios": {
        "type": "dict",
        "options": {
            "manufacturer": {"type": "str"},
            "product": {"type": "str"},
            "version": {"type": "str"},
            "serial": {"type": "str"},
            "sku": {"type": "str"},
            "family": {"type": "str"},
        },
    },
    "boot": {
        "type": "dict",
        "options": {
            "kernel": {"type": "path"},
            "initrd": {"type": "path"},
            "cmdline": {"type": "str"},
            "order": {"type": "str"},
            "menu": {"type": "bool"},
        },
    },
    "guest_agent": {"type": "bool"},
    "rng": {"type": "bool"},
    "display": {
        "type": "dict",
        "options": {"type": {"type": "str", "choices": ["none", "vnc", "spice"]}, "password": {"type": "str", "no_log": True}},
    },
    "video": {
        "type": "str",
        "choices": ["none", "std", "virtio", "virtio-vga", "qxl", "bochs", "cirrus", "vmware", "ati", "ramfb"],
    },
    "tpm": {"type": "bool"},
    "vsock": {"type": "bool"},
    "shares": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "readonly": {"type": "bool"},
        },
    },
    "images": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "url": {"type": "str"},
            "path": {"type": "path"},
            "checksum": {"type": "str"},
            "verify": {"type": "bool"},
            "format": {"type": "str", "choices": ["qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc"]},
        },
    },
    "disks": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "device": {"type": "str", "choices": ["disk", "cdrom"]},
            "size": {"type": "str"},
            "image": {"type": "path"},
            "copy": {"type": "bool"},
            "path": {"type": "path"},
            "format": {"type": "str", "choices": ["qcow2", "raw"]},
            "bus": {"type": "str", "choices": ["virtio", "scsi", "sata", "nvme", "usb"]},
            "readonly": {"type": "bool"},
            "serial": {"type": "str"},
            "cache": {"type": "str", "choices": ["writeback", "none", "directsync", "unsafe"]},
            "discard": {"type": "str", "choices": ["unmap", "ignore"]},
            "boot_index": {"type": "int"},
            "throttle": {"type": "dict", "options": {"iops": {"type": "int"}, "bps": {"type": "str"}}},
            "on_remove": {"type": "str", "choices": ["keep", "delete"]},
        },
    },
    "nics": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "network": {"type": "str", "choices": ["user", "passt", "switch", "mcast", "bridge", "tap"]},
            "interface": {"type": "str"},
            "switch": {"type": "str"},
            "mcast": {"type": "str"},
            "address": {"type": "str"},
            "gateway": {"type": "str"},
            "dns": {"type": "list", "elements": "str"},
            "mac": {"type": "str"},
            "model": {"type": "str"},
            "link": {"type": "str", "choices": ["up", "down"]},
            "forwards": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "host": {"type": "str"},
                    "guest": {"type": "int", "required": True},
                    "protocol": {"type": "str", "choices": ["tcp", "udp"]},
                    "listen": {"type": "str"},
                },
            },
        },
    },
    "cloud_init": {
        "type": "dict",
        "options": {
            "user_data": {"type": "raw", "no_log": False},
            "meta_data": {"type": "raw", "no_log": False},
            "network_config": {"type": "raw", "no_log": False},
            "vendor_data": {"type": "raw", "no_log": False},
            "ssh_keys": {"type": "list", "elements": "str", "no_log": False},
            "hosts": {"type": "dict"},
        },
    },
    "cloud_init_on_change": {"type": "str", "choices": ["reboot", "recreate", "ignore"]},
    "ignition": {"type": "raw", "no_log": False},
    "credentials": {"type": "dict", "no_log": False},
    "watchdog": {
        "type": "dict",
        "options": {
            "model": {"type": "str", "choices": ["none", "i6300esb", "ib700", "itco", "diag288"]},
            "action": {"type": "str", "choices": ["reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug", "none"]},
        },
    },
    "input": {"type": "dict", "options": {"tablet": {"type": "bool"}, "keyboard": {"type": "bool"}}},
    "objects": {"type": "list", "elements": "dict"},
    "devices": {"type": "list", "elements": "dict"},
    "extra_args": {"type": "list", "elements": "str"},
    "restart_policy": {"type": "str", "choices": ["no", "on-failure", "always"]},
    "resources": {
        "type": "dict",
        "options": {
            "memory_max": {"type": "str"},
            "cpu_quota": {"type": "str"},
            "cpu_weight": {"type": "int"},
            "io_weight": {"type": "int"},
        },
    },
    "on_failure": {"type": "dict", "options": {"unit": {"type": "str"}, "command": {"type": "list", "elements": "str"}}},
}

# The lists whose elements are known by keys: by option, each key and its default.
KEYED: dict[str, dict[str, Any]] = {
    "shares": {"name": None},
    "images": {"name": None},
    "disks": {"name": None},
    "nics": {"name": None},
    "nics.forwards": {"protocol": "tcp", "guest": None},
    "objects": {"id": None},
    "devices": {"id": None},
}

# What may hold a guest's passwords, and Ansible does not mask.
VEILED = ["cloud_init", "ignition", "credentials"]
