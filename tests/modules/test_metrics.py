# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What machines have used: held against QEMU's own words and the kernel's, and read as Prometheus reads it."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.maqet.qemu.tests.harness import wire
from ansible_collections.maqet.qemu.tests.harness.engine import reach
from ansible_collections.maqet.qemu.tests.modules.test_recorder import info
from prometheus_client.parser import text_string_to_metric_families


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_a_machine_has_used(home, supervisor):
    name = home.name()
    home.started(name, supervisor=supervisor, disks=[{"name": "root", "size": "8MiB"}], memory="96MiB")
    before = resident(home.pid(name))
    metrics = info(home, name, metrics=True)["metrics"]
    after = resident(home.pid(name))
    monitor = home.sockets(name) / "monitor.sock"
    (stats,) = [item["stats"] for item in wire.ask(monitor, "query-blockstats") if "disk-root" in item.get("qdev", "")]
    assert metrics["disks"]["root"].keys() >= {"read_bytes", "write_operations", "read_seconds", "flush_operations"}
    assert 0 <= metrics["disks"]["root"]["read_operations"] <= stats["rd_operations"]
    assert metrics["memory"]["size"] == metrics["memory"]["balloon"] == 96 << 20
    assert 0.9 * before < metrics["memory"]["resident"] < 1.1 * after  # its firmware is still at work
    assert 0 < metrics["cpu_seconds"] < 60 and 0 < metrics["uptime_seconds"] < 60
    assert metrics["restarts"] == (0 if supervisor == "systemd" else None)
    assert metrics["load"] is None and metrics["nics"] == {}
    reach(home, name, state="stopped", force=True)
    assert info(home, name, metrics=True)["metrics"] is None and "metrics" not in info(home, name)


def test_the_file_that_prometheus_reads(home):
    name, other = home.name(), home.name("off")
    home.started(name, disks=[{"name": "root", "size": "8MiB"}], labels={"lab": 'a "quoted" \\ lab'})
    reach(home, other, raw={"memory": "64MiB"}, state="present")
    home.end(home.begin_book([{"import_playbook": "maqet.qemu.metrics", "vars": {"textfile": "out.prom"}}], PWD=str(home.desk)))
    text = (home.desk / "out.prom").read_text()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    up = {sample.labels["vm"]: sample for sample in families["maqet_vm_up"].samples}
    assert (up[name].value, up[other].value) == (1, 0) and up[name].labels["lab"] == 'a "quoted" \\ lab' and up[other].labels["status"] == "stopped"
    (cpu,) = families["maqet_vm_cpu_seconds"].samples
    assert cpu.labels["vm"] == name and 0 < cpu.value < 60
    (read,) = families["maqet_vm_disk_read_bytes"].samples
    assert read.labels["disk"] == "root" and families["maqet_vm_disk_read_bytes"].type == "counter"
    kinds = {sample.labels["kind"] for sample in families["maqet_vm_memory_bytes"].samples}
    assert kinds == {"size", "balloon", "resident", "swapped"}
    assert all(family.documentation for family in families.values())
