# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a case needs beside QEMU: its helpers, run by hand, and devices of the host."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError
from ansible_collections.maqet.qemu.plugins.module_utils._host.helpers import find_helper
from ansible_collections.maqet.qemu.plugins.module_utils._host.needs import check_needs
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import helpers


def skip_without_needs(spec: dict[str, Any], site: Any) -> None:
    """The case is skipped where the host lacks what it needs."""
    try:
        check_needs(spec, site)
    except HostError as exc:
        pytest.skip(str(exc))


@contextmanager
def helpers_running(spec: dict[str, Any], site: Any) -> Iterator[None]:
    skip_without_needs(spec, site)
    started = []
    try:
        for helper in helpers(spec, site):
            if helper.folder:
                os.mkdir(helper.folder)
            process = subprocess.Popen(find_helper(helper).argv, cwd=site.directory, stdin=subprocess.DEVNULL)
            started.append(process)
            _await(helper.socket, process)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _await(path: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while not (os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode)):
        assert process.poll() is None and time.monotonic() < end, process.args
        time.sleep(0.01)
