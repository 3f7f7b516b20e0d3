# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a lab file, written from their records by scripts/describe (see arguments.py)."""

from __future__ import annotations

from typing import Any

from .arguments import ARGUMENTS

MACHINE: dict[str, Any] = {
    **ARGUMENTS,
    "nics": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "network": {"type": "str"},
            "interface": {"type": "str"},
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
    "host": {"type": "str"},
    "ready": {"type": "list", "elements": "dict"},
    "ready_timeout": {"type": "float"},
    "timeout": {"type": "float"},
    "shutdown_timeout": {"type": "float"},
}

LAB: dict[str, Any] = {
    "lab": {"type": "str", "required": True},
    "labels": {"type": "dict"},
    "defaults": {"type": "dict", "options": {**MACHINE, "profile": {"type": "names"}}},
    "profiles": {"type": "named", "options": {**MACHINE}},
    "images": {
        "type": "named",
        "options": {
            "url": {"type": "str"},
            "path": {"type": "path"},
            "checksum": {"type": "str"},
            "verify": {"type": "bool"},
            "format": {"type": "str", "choices": ["qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc"]},
        },
    },
    "networks": {
        "type": "named",
        "options": {
            "driver": {"type": "str", "choices": ["switch", "hub", "mcast", "bridge"]},
            "subnet": {"type": "str"},
            "gateway": {"type": "str"},
            "dns": {"type": "list", "elements": "str"},
            "uplink": {"type": "str", "choices": ["none", "nat"]},
            "interface": {"type": "str"},
            "mcast": {"type": "str"},
            "links": {"type": "named", "options": {"ssh": {"type": "str", "required": True}}},
        },
    },
    "vms": {
        "type": "named",
        "options": {
            **MACHINE,
            "profile": {"type": "names"},
            "name": {"type": "str"},
            "count": {"type": "int"},
            "depends_on": {"type": "names"},
        },
    },
}
