# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures as a picture: seconds, ours beside theirs."""

from __future__ import annotations

import statistics

import matplotlib

matplotlib.use("svg")
# Words stay words, and the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "maqet.qemu", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

_TITLES = {"starts": "Start a lab", "paused": "Start paused machines", "labs": "Nothing to do", "libvirt": "Beside community.libvirt"}
_OURS, _THEIRS = "#2a6f97", "#c9a227"


def plot(figures, file):
    """Draw what of the figures has a picture."""
    from matplotlib.figure import Figure

    panels = {part: [figure for figure in figures.get(part, ()) if _is_drawn(figure)] for part in _TITLES}
    panels = {part: drawn for part, drawn in panels.items() if drawn}
    if not panels:
        return
    heights = [len(drawn) + 1 for drawn in panels.values()]
    picture = Figure(figsize=(8, 0.45 * sum(heights) + 0.6), layout="constrained")
    axes = picture.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for ax, (part, drawn) in zip(axes, panels.items()):
        _panel(ax, _TITLES[part], drawn)
    picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def _is_drawn(figure):
    return figure.theirs and figure.unit == "ms" and "engine" not in figure.label


def _panel(ax, title, figures):
    for row, figure in enumerate(figures):
        for offset, values, colour, name in ((-0.2, figure.ours, _OURS, "maqet.qemu"), (0.2, figure.theirs, _THEIRS, figure.against)):
            value = statistics.median(values) / 1000
            ax.barh(row + offset, value, 0.38, color=colour)
            ax.text(value, row + offset, f" {value:.2f} s, {name}", va="center", fontsize=7)
    ax.set_yticks(range(len(figures)), [figure.label for figure in figures])
    ax.invert_yaxis()
    ax.set_title(title, loc="left", fontweight="bold")
    longest = max(statistics.median(values) for figure in figures for values in (figure.ours, figure.theirs)) / 1000
    ax.set_xlim(0, longest * 1.45)
    ax.set_xlabel("seconds")
