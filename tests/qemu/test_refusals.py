# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removals that are turned down: they wait, nothing is said to be that is not, and the next start brings them about."""

from __future__ import annotations

from ansible_collections.maqet.qemu.tests.harness.wire import ask
from ansible_collections.maqet.qemu.tests.qemu.engine import reach

POLICY = {"name": "m-one", "supervisor": "process", "state": "paused", "shutdown_timeout": 1}
SHARED = {"qom-type": "memory-backend-ram", "id": "shared", "share": True}
USER = {"driver": "ivshmem-plain", "id": "user", "memdev": "shared"}


def waits(home, given, *paths):
    """A run after which the paths wait, and one that finds nothing else to do."""
    first, again = reach(home, {**POLICY, **given}), reach(home, {**POLICY, **given})
    assert (first.error, first.changed, set(first.pending_restart)) == (None, True, set(paths))
    assert (again.error, again.changed, again.pending_restart) == (None, False, first.pending_restart)
    assert all(any(words.startswith(f"{path}: ") for words in again.warnings) for path in paths)
    return first.vm["sockets"]["monitor"]


def rate(monitor):
    return ask(monitor, "qom-get", path="/machine/peripheral/rng2", property="max-bytes")


def test_a_device_that_stays_is_not_the_one_that_was_to_replace_it(scratch_home):
    device = {"driver": "virtio-rng-pci", "id": "rng2", "max-bytes": 1000}
    assert reach(scratch_home, {**POLICY, "devices": [device]}).error is None
    other = {"devices": [{**device, "max-bytes": 2000}]}
    assert rate(waits(scratch_home, other, "devices[rng2]")) == 1000
    done = reach(scratch_home, {**POLICY, **other, "on_restart_needed": "restart"})
    assert (done.error, done.pending_restart, rate(done.vm["sockets"]["monitor"])) == (None, [], 2000)


def test_an_object_in_use_stays(scratch_home):
    given = {"objects": [{**SHARED, "size": 1 << 20}], "devices": [USER]}
    assert reach(scratch_home, {**POLICY, **given}).error is None
    waits(scratch_home, {"cpus": 1}, "objects[shared]", "devices[user]")
    done = reach(scratch_home, {**POLICY, "on_restart_needed": "restart"})
    assert (done.error, done.pending_restart) == (None, [])
    assert "shared" not in {item["name"] for item in ask(done.vm["sockets"]["monitor"], "qom-list", path="/objects")}
