# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest sees of the programs beside its QEMU."""

from __future__ import annotations

import os
import shutil
import urllib.request

import pytest
from ansible_collections.maqet.qemu.tests.guests.test_guests import await_serial, console
from ansible_collections.maqet.qemu.tests.harness import look
from ansible_collections.maqet.qemu.tests.harness.home import vm

VIRTIOFSD = shutil.which("virtiofsd", path=f"{os.environ['PATH']}:/usr/libexec:/usr/lib")


def start(home, boot, supervisor, **raw):
    name = home.name("guest")
    home.started(name, supervisor=supervisor, memory="256MiB", boot=boot, **raw)
    await_serial(home, name, "guest ready")
    return name


def test_a_tpm(home, boot, supervisor):
    """The guest has a TPM 2.0, and takes swtpm with it when it powers itself off."""
    name = start(home, boot, supervisor, tpm=True)
    assert console(home, name, "echo $(cat /sys/class/tpm/tpm0/tpm_version_major)-version") == "2-version"
    stopped = home.play(vm(name, state="stopped"))
    assert stopped["actions"][0]["outcome"] == "the guest powered down", stopped
    assert not look.units(name) and not home.qemus(name)


@pytest.mark.skipif(not VIRTIOFSD, reason="the host has no virtiofsd for ordinary users")
def test_shares(home, boot, supervisor):
    folders = {word: home.root / word for word in ("src", "read")}
    for word, folder in folders.items():
        folder.mkdir()
        (folder / "file").write_text(f"{len(word)}-{word}\n")
    shares = [{"name": "src", "path": str(folders["src"])}, {"name": "read", "path": str(folders["read"]), "readonly": True}]
    name = start(home, boot, supervisor, shares=shares)
    mount = "mkdir -p /{0} && mount -t virtiofs {0} /{0} && cat /{0}/file"
    for word in folders:
        assert console(home, name, mount.format(word)) == f"{len(word)}-{word}"
    assert console(home, name, "echo hello >/src/new && sync && echo 1-written || echo 0-refused") == "1-written"
    assert (folders["src"] / "new").read_text() == "hello\n"
    assert (folders["src"] / "new").stat().st_uid == os.getuid()
    assert console(home, name, "echo hello >/read/new && echo 1-written || echo 0-refused") == "0-refused"
    assert not (folders["read"] / "new").exists()
    again, gone = home.play(vm(name), vm(name, state="absent", force=True))
    assert not again["changed"] and gone["changed"]
    assert not home.traces(name) and (folders["src"] / "file").exists()


# udhcpc leaves it to a script to use its lease.
LEASE = "test $1 = bound && ifconfig $interface $ip netmask $subnet && route add default gw $router"
TAKE_LEASE = f"printf '%s\\n' '#!/bin/sh' '{LEASE}' >/lease; chmod +x /lease; udhcpc -n -q -i eth0 -s /lease && echo 1-leased"


@pytest.mark.skipif(not shutil.which("passt"), reason="the host has no passt")
def test_passt(home, boot, supervisor):
    """The guest is given an address by passt, and a port of the host leads to its web server."""
    name = start(home, boot, supervisor, nics=[{"name": "lan", "network": "passt", "forwards": [{"guest": 80}]}])
    assert console(home, name, TAKE_LEASE) == "1-leased"
    again = home.play(vm(name))
    assert not again["changed"], again
    (forward,) = again["vm"]["forwards"]
    assert urllib.request.urlopen(f"http://127.0.0.1:{forward['host']}/", timeout=20).read().startswith(b"hello from ")
    restarted, gone = home.play(vm(name, state="restarted", force=True), vm(name, state="absent", force=True))
    assert restarted["vm"]["forwards"] == [forward] and gone["changed"], restarted
    assert not home.traces(name)
