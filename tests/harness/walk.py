# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine led from declaration to declaration, and held against them after each."""

from __future__ import annotations

from . import view
from .engine import Wish, die_at, reach_all
from .wire import Wire

# What a run may wait for: a guest that stands still answers no removal.
PATIENCE = 20


class Walk:
    """
    :param words: what ``<word>`` stands for in declarations.
    :param policy: further words of each wish.
    """

    def __init__(self, home, words, **policy):
        self.home, self.words, self.policy = home, words, policy
        self.name = home.name("walk")
        self.declared = {}
        self.kept = {}
        self.pending = []

    def take(self, number, raw, cut=None, **policy):
        """One step: told, looked at, told again."""
        raw = filled(raw, self.words)
        wish = {"raw": raw, "supervisor": "process", "force": True, **self.policy, **policy}
        if cut is not None and number:
            die_at(self.home, self.name, cut, wish)
        outcome = self._run(wish)
        print(f"{number}: cut {cut}, {policy}:", *(f"\n   {item['summary']} {item.get('outcome', '')}" for item in outcome.actions))
        if self._shrinks(raw):
            assert "never shrinks" in str(outcome.error), outcome.error
            return
        assert outcome.error is None, (outcome.error, getattr(outcome.error, "data", ""))
        self.declared, self.pending = raw, outcome.pending_restart
        self._look(outcome, restarted=policy.get("on_restart_needed") == "restart")
        again = self._run(wish)
        assert again.error is None and not again.changed, ("a second run changes something", again.error, again.actions)
        assert again.pending_restart == outcome.pending_restart, "the second run waits for something else"

    def end(self):
        gone = self._run({"raw": None, "state": "absent", "force": True})
        assert gone.error is None, gone.error
        assert not self.home.traces_of_files(self.name)

    def _run(self, wish):
        return reach_all(self.home, [Wish(self.name, timeout=PATIENCE, **wish)])[0]

    def _shrinks(self, raw):
        sizes = {disk["name"]: disk["size"] for disk in self.declared.get("disks", []) if "size" in disk}
        return any(view.size(disk["size"]) < view.size(sizes.get(disk["name"], "0MiB")) for disk in raw.get("disks", []) if "size" in disk)

    def _look(self, outcome, *, restarted):
        with Wire(self.home.sockets(self.name) / "monitor.sock") as wire:
            now = view.seen(wire, self.home.pid(self.name))
            wish = self._with_kept(view.wanted(self.declared), now)
            missing = view.difference(wish, now)
            assert missing == set(outcome.pending_restart), ("missing", sorted(missing), "pending", outcome.pending_restart, outcome.warnings)
            assert not (restarted and missing)
            waiting = {path for path in missing if path not in wish}
            assert not view.orphans(wire), ("orphans", view.orphans(wire))
            stored, held = view.misplaced(wire, self.home.directory(self.name))
            assert {name: stored.get(name) for name in held} == held, (stored, held)
            leaked = {name for name in stored if name not in held and not self._waits(name, missing)}
            assert not leaked, ("leaked ports", leaked, waiting)

    def _with_kept(self, wish, now):
        """A file that was kept when its disk was removed is as large as it was."""
        for path, value in now.items():
            if path.endswith(".size") and path in wish:
                # What was declared may have waited, so a kept file has one of the sizes that were seen or declared before.
                kept = self.kept.setdefault(path, set())
                before, declared = value in kept, wish[path]
                kept |= {value, declared}
                if value > declared and before:
                    wish = {**wish, path: value}
        return wish

    @staticmethod
    def _waits(device, missing):
        """Whether a device comes with the next start, or a controller may."""
        kind, _dash, name = device.partition("-")
        controller = ("disks[", "devices[", "input") if device in ("scsi", "usb") else ()
        return any(path.startswith((f"{kind}s[{name}]", f"devices[{device}]", *controller)) for path in missing)


def filled(value, words):
    if isinstance(value, dict):
        return {key: filled(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, words) for item in value]
    return str(words[value[1:-1]]) if isinstance(value, str) and value.startswith("<") else value
