# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real ansible-rulebook, from the environment that scripts/test makes for it (MAQET_TEST_EDA)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import suppress

from . import look


class Rulebook:
    """:param rulesets: what the rulebook holds, or the name of one in the collection."""

    def __init__(self, home, rulesets, word="rulebook"):
        self._log = home.desk / f"{word}.log"
        if not isinstance(rulesets, str):
            file = home.desk / f"{word}.json"
            file.write_text(json.dumps(rulesets))
            rulesets = str(file)
        programs, inventory = f"{os.environ['MAQET_TEST_EDA']}/bin", home.desk / "hosts"
        inventory.write_text(f"localhost ansible_connection=local ansible_python_interpreter={programs}/python\n")
        env = {**home.environment, "HOME": str(home.desk), "PATH": f"{programs}:{os.environ['PATH']}", "ANSIBLE_HOME": str(home.desk / "ansible")}
        argv = [f"{programs}/ansible-rulebook", "-r", rulesets, "-i", str(inventory), "-v"]
        with open(self._log, "w", encoding="utf-8") as out:
            self._process = subprocess.Popen(argv, env=env, cwd=home.desk, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def said(self):
        return self._log.read_text(errors="replace")

    def await_said(self, pattern, seconds=60):
        """What it says once it does."""
        found = look.wait_until(lambda: re.search(pattern, self.said) or self._process.poll() is not None, seconds)
        assert found is not True, self.said
        return found

    def await_rules(self):
        self.await_said("Waiting for all ruleset tasks to end")
        return self

    def kill(self):
        """It, and what it runs."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
