# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the product costs beside the bare thing, in one run: rounds interleaved, medians. Started by scripts/bench.

A figure means something only against its neighbour in the same table.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from devices import devices
from facts import facts
from guest import guest
from idle import labs, tasks
from peers import libvirt
from plot import plot
from starts import makes, paused, starts
from table import markdown, text

PARTS = {"tasks": tasks, "starts": starts, "paused": paused, "makes": makes, "labs": labs, "libvirt": libvirt, "devices": devices, "guest": guest}


def main():
    chosen = sys.argv[1:] or list(PARTS)
    about, figures = facts(), {}
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="mb") as root:
        for part in chosen:
            figures[part] = PARTS[part](root)
            print(text(figures[part]), flush=True)
    folder = Path(os.environ["MAQET_BENCH_RESULTS"])
    (folder / "results.md").write_text(markdown(about, figures), encoding="utf-8")
    plot(figures, folder / "plot.svg")


if __name__ == "__main__":
    main()
