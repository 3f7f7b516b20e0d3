# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One segment on two hosts. The other one is this user's other runtime directory, behind an ssh server."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import Home
from ansible_collections.maqet.qemu.tests.harness.lab import bring
from ansible_collections.maqet.qemu.tests.harness.network import Tap, network
from ansible_collections.maqet.qemu.tests.harness.sshd import Sshd, find_sshd
from ansible_collections.maqet.qemu.tests.modules.test_networks import actions, card, settled


@pytest.fixture
def far(tmp_path):
    scratch = Home(tmp_path / "far")
    scratch.runtime = Path(tempfile.mkdtemp(prefix="maqet-far-"))
    yield scratch
    scratch.close()
    shutil.rmtree(scratch.runtime)


@pytest.fixture
def server(far, tmp_path):
    if not find_sshd()[0]:
        pytest.skip("the host has no ssh server, and Debian's package works only where it is installed")
    sshd = Sshd(tmp_path / "sshd", far.runtime)
    yield sshd
    sshd.close()


def ssh_of(home, name):
    """The pid of the link's ssh."""
    place = f"/{home.net_sockets(name).name}/vde"
    found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and is_ssh(look.command_line(entry), place)]
    assert len(found) < 2
    return found[0] if found else None


def is_ssh(argv, place):
    return argv[:1] == ["ssh"] and place in argv[-1]


def test_a_link(home, far, server, supervisor):
    """Frames pass through ssh, again after it ended, again after the far switch ended; the task does not wait for the far end."""
    name, wish = home.network(), {"supervisor": supervisor, "links": {"far": {"ssh": server.destination, "options": server.options}}}
    far._networks.append(name)
    assert actions(network(home, name, **wish)) == ["define_network", "start_switch", "start_link"]
    look.wait_until(lambda: "Accepted" in server.log)  # there is no switch yet: it comes to nothing
    network(far, name, supervisor="process")
    a, b = home.name("a"), far.name("b")
    home.started(a, "process", nics=[card(name)])
    far.started(b, "process", nics=[card(name)])
    near, other = Tap(home, a, "lan", 0), Tap(far, b, "lan", 1)
    look.wait_until(lambda: passes(home, name, wish, near, other, "first"), 30)
    assert other.send("back") is None and near.hears("back")
    assert look.wait_until(lambda: settled(home, name, **wish).vm["links"] == {"far": "up"})
    assert not settled(home, name, **wish).warnings
    before = ssh_of(home, name)
    os.kill(before, signal.SIGKILL)
    look.wait_until(lambda: ssh_of(home, name) != before)
    look.wait_until(lambda: passes(home, name, wish, near, other, "second"), 30)
    assert ssh_of(home, name) not in (None, before)
    assert actions(network(home, name, **{**wish, "links": {}})) == ["define_network", "stop_link"]
    look.wait_until(lambda: ssh_of(home, name) is None)
    near.send("third")
    assert not other.hears("third")
    for tap in (near, other):
        tap.close()


def passes(home, name, wish, near, other, word):
    """Without systemd nobody but the next task starts it again."""
    if wish["supervisor"] == "process":
        network(home, name, **wish)
    near.send(word)
    return other.hears(word)


def test_a_link_that_cannot_come(home, far, server, supervisor):
    """It is down and has the time to come; then every task says why it does not."""
    name, options = home.network(), {**server.options, "IdentityFile": "/nowhere", "IdentityAgent": "none"}
    wish = {"supervisor": supervisor, "links": {"far": {"ssh": server.destination, "options": options}}}
    made = network(home, name, **wish)
    assert (made.vm["links"], made.warnings) == ({"far": "down"}, [])
    log, command = (home.net_directory(name) / f"link-far.{word}" for word in ("log", "command"))

    def has_given_up():
        return log.exists() and "Permission denied" in log.read_text() and (supervisor == "systemd" or not ssh_of(home, name))

    for _round in range(2):
        assert look.wait_until(has_given_up)
        os.utime(command, (0, 0))
        again = network(home, name, **wish)
        assert again.vm["links"] == {"far": "down"} and actions(again) == ([] if supervisor == "systemd" else ["start_link"])
        (words,) = again.warnings
        assert words.startswith("the link to far is down: ") and "Permission denied" in words
    assert len(log.read_text().splitlines()) < 5


def test_a_lab_looks_again_when_its_machines_are_there(home):
    """A link that was just started is not yet to blame; when the lab's task ends it is."""
    name = home.name("lab")
    log, command = (home.net_directory(f"{name}-lan") / f"link-far.{word}" for word in ("log", "command"))

    def wait(moment):
        if moment == "before define":
            assert look.wait_until(lambda: log.exists() and "refused" in log.read_text())
            os.utime(command, (0, 0))

    definition = {"lab": name, "networks": {"lan": {}}, "vms": {"a": {"memory": "64MiB", "nics": [{"name": "lan", "network": "lan"}]}}}
    span = {f"{name}-lan": {"links": {"far": {"ssh": "me@127.0.0.1", "options": {"Port": "1"}}}}}
    task = {"state": "present", "supervisor": "process", "span": span}
    outcome = bring(home, definition, witness=wait, **task).networks[f"{name}-lan"].outcome
    assert outcome.vm["links"] == {"far": "down"} and "refused" in outcome.warnings[0]


def test_a_link_to_its_own_beginning_is_refused(far, server):
    """The server leads to the very switch that the link is of: frames would go round for ever."""
    name = far.network()
    wish = {"supervisor": "process", "links": {"hv1": {"ssh": server.destination, "options": server.options}}}
    network(far, name, **wish)
    log = far.net_directory(name) / "link-hv1.log"
    assert look.wait_until(lambda: log.exists() and "the switch there is linked to hv1 itself" in log.read_text())
    assert look.wait_until(lambda: not ssh_of(far, name))
    assert network(far, name, **wish).vm["links"] == {"hv1": "down"}


def test_a_hub_has_no_links(home):
    with pytest.raises(HostError, match="links: a hub cannot be linked to other hosts"):
        network(home, home.network(), driver="hub", is_center=True)
    with pytest.raises(HostError, match="links: a hub cannot be linked to other hosts") as caught:
        network(home, home.network(), driver="hub", links={"far": {"ssh": "me@far"}})
    assert "vde-switch and vdeplug" in caught.value.hint
