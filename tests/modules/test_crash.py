# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""We are killed at each boundary of our work: one rerun ends it, a second one finds nothing to do."""

from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._host.lock import try_lock
from ansible_collections.maqet.qemu.tests.harness import look, view, wire
from ansible_collections.maqet.qemu.tests.harness.engine import Wish, die_at_boundaries, reach, reach_all

RAW = {
    "memory": "64MiB",
    "disks": [{"name": "root", "size": "8MiB"}],
    "nics": [{"name": "lan", "forwards": [{"guest": 22}]}],
    "guest_agent": False,
}
MORE = {**RAW, "memory": "80MiB", "disks": [{"name": "root", "size": "16MiB"}]}
FORWARDS = {**RAW, "nics": [{"name": "lan", "forwards": [{"guest": 22}, {"guest": 80}]}]}
GONE = {**RAW, "disks": []}
DISK = {"name": "more", "size": "8MiB", "bus": "scsi", "throttle": {"iops": 100}}
PLUGGED = {**RAW, "disks": [*RAW["disks"], DISK], "nics": [*RAW["nics"], {"name": "wan", "link": "down"}]}
UNPLUGGED = {**RAW, "disks": [*RAW["disks"], {**DISK, "name": "other"}]}
GROWN = {**RAW, "disks": [{"name": "root", "size": "16MiB", "throttle": {"bps": "1MiB"}}]}
LIMITED = {**RAW, "restart_policy": "always", "resources": {"cpu_weight": 50}}
DELETING = {**RAW, "disks": [{"name": "root", "size": "8MiB", "on_remove": "delete"}]}
# wishes before, the wish that is cut off, the status it leads to
SCENARIOS = {
    "create and start": ([], {"raw": RAW}, "running"),
    "start paused": ([{"raw": RAW, "state": "stopped"}], {"state": "paused"}, "paused"),
    "change and restart": ([{"raw": RAW}], {"raw": MORE, "on_restart_needed": "restart", "force": True}, "running"),
    "change forwards": ([{"raw": RAW}], {"raw": FORWARDS}, "running"),
    "plug": ([{"raw": RAW}], {"raw": PLUGGED}, "running"),
    "unplug": ([{"raw": {**PLUGGED, "nics": RAW["nics"]}}], {"raw": UNPLUGGED}, "running"),
    "grow": ([{"raw": RAW}], {"raw": GROWN}, "running"),
    "limit": ([{"raw": RAW}], {"raw": LIMITED}, "running"),
    "pause": ([{"raw": RAW}], {"state": "paused"}, "paused"),
    "stop": ([{"raw": RAW}], {"state": "stopped", "force": True}, "stopped"),
    "drop a disk": ([{"raw": DELETING}], {"raw": GONE, "state": "stopped", "force": True}, "stopped"),
    "suspend": ([{"raw": RAW}], {"state": "suspended"}, "suspended"),
    "resume": ([{"raw": RAW}, {"state": "suspended"}], {"state": "started"}, "running"),
    "delete": ([{"raw": RAW}], {"state": "absent", "force": True}, None),
    "delete suspended": ([{"raw": RAW}, {"state": "suspended"}], {"state": "absent", "force": True}, None),
}
ALIVE = ("running", "paused")
LIVE = ("change forwards", "plug", "unplug", "grow", "limit")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_every_boundary(home, supervisor, scenario):
    before, wish, status = SCENARIOS[scenario]
    wish = {**wish, "supervisor": supervisor}
    names = make_machines(home, before, wish, supervisor)
    before_it = {name: home.pid(name) for name in names} if scenario in LIVE else {}
    die_at_boundaries(home, names, wish)
    assert all(len(home.qemus(name)) <= 1 for name in names)
    end_well(reach_all(home, [Wish(name, **wish) for name in names]))
    pids = {name: home.qemus(name) for name in names}
    assert {len(found) for found in pids.values()} == {1 if status in ALIVE else 0}
    if scenario in LIVE:
        assert pids == {name: [pid] for name, pid in before_it.items()}, "a live change restarts nothing"
        for name in names:
            check_reality(home, name, wish["raw"], supervisor)
    for outcome in end_well(reach_all(home, [Wish(name, **wish) for name in names])):
        assert not outcome.changed, outcome
        assert outcome.vm.get("status") == status, outcome
    assert pids == {name: home.qemus(name) for name in names}
    if scenario == "create and start":
        assert {look.starts(home.directory(name)) for name in names} == {1}
    if status is None:
        assert {name: home.traces(name) for name in names} == {name: [] for name in names}


def check_reality(home, name, raw, supervisor):
    """As declared, by QEMU's and systemd's own words."""
    with wire.Wire(home.sockets(name) / "monitor.sock") as mine:
        assert not view.difference(view.wanted(raw), view.seen(mine, home.pid(name)))
        assert not view.orphans(mine)
        stored, held = view.misplaced(mine, home.directory(name))
        assert {device: stored[device] for device in held} == held
    if supervisor == "systemd":
        unit = look.unit(name)
        assert unit["Restart"] == raw.get("restart_policy", "on-failure")
        assert unit["CPUWeight"] == str(raw.get("resources", {}).get("cpu_weight", "[not set]"))


def test_killed_while_it_restarts(home, supervisor):
    """A restart is wanted on every run, so here the declaration alone is repeated."""
    wish = {"state": "restarted", "force": True}
    names = make_machines(home, [{"raw": RAW}], wish, supervisor)
    die_at_boundaries(home, names, wish)
    assert all(len(home.qemus(name)) <= 1 for name in names)
    end_well(reach_all(home, [Wish(name, RAW) for name in names]))
    pids = {name: home.pid(name) for name in names}
    assert not any(outcome.changed for outcome in end_well(reach_all(home, [Wish(name, RAW) for name in names])))
    assert pids == {name: home.pid(name) for name in names}


def test_killed_before_the_guests_begin(home, supervisor):
    """Guests of a task begin together. A task that is killed before that leaves them waiting; the next one lets them go."""
    held, crashed, busy = (home.name(word) for word in ("held", "crashed", "busy"))
    wishes = [Wish(name, RAW, supervisor=supervisor) for name in (held, crashed, busy)]
    reach(home, busy, raw=RAW, state="stopped", supervisor=supervisor)
    lock = try_lock(f"{home.state}/maqet/locks/{busy}")
    child = os.fork()
    if not child:
        reach_all(home, wishes)
        os._exit(1)
    look.wait_until(lambda: status_of(home, held) == status_of(home, crashed) == "prelaunch")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(lock)
    pid, other = home.pid(held), home.pid(crashed)
    if supervisor == "systemd":
        os.kill(other, signal.SIGSEGV)
        look.wait_until(lambda: home.qemus(crashed) not in ([], [other]) and status_of(home, crashed) == "running")
    first, second = (end_well(reach_all(home, wishes)) for _run in range(2))
    assert [outcome.changed for outcome in first] == [True, supervisor == "process", True]
    assert not any(outcome.changed for outcome in second)
    assert home.pid(held) == pid and {status_of(home, name) for name in (held, crashed, busy)} == {"running"}


def status_of(home, name):
    """QEMU's own word on the user's monitor."""
    try:
        return wire.ask(home.sockets(name) / "monitor.sock", "query-status")["status"]
    except OSError:
        return None


def make_machines(home, before, wish, supervisor):
    """One machine for each boundary of the wish, all of them at its beginning."""
    first = home.name("whole")
    for earlier in before:
        reach(home, first, supervisor=supervisor, **earlier)
    moments = []
    reach(home, first, witness=moments.append, **wish)
    assert len(moments) > 1
    names = [home.name(f"at{number}-{moment.replace(' ', '-')}") for number, moment in enumerate(moments)]
    for earlier in before:
        end_well(reach_all(home, [Wish(name, supervisor=supervisor, **earlier) for name in names]))
    return names


def end_well(outcomes):
    assert not [(outcome.name, outcome.error) for outcome in outcomes if outcome.error]
    return outcomes
