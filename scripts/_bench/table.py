# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures as text for a terminal and as a page."""

from __future__ import annotations

import statistics

_TITLES = {
    "tasks": "Single tasks",
    "starts": "Labs started",
    "paused": "Machines started paused: no guest runs",
    "makes": "Machines made",
    "labs": "Labs with nothing to do",
    "libvirt": "The same work by community.libvirt",
    "devices": "Many devices",
    "guest": "In a guest, by its agent",
}
_HEAD = """<!--
SPDX-FileCopyrightText: 2026 The maqet.qemu authors
SPDX-License-Identifier: GPL-3.0-or-later
Written by ./scripts/bench --write
-->
# Figures

How to read them: [README](README.md).
"""


def text(figures):
    return "\n".join(_line(figure) for figure in figures)


def _line(figure):
    label, ours, theirs, ratio, limit = _cells(figure)
    verdict = limit and f"{limit}{'' if figure.is_kept else ' MISSED'}"
    return f"{label:46} {ours:>11} {theirs:>11} {ratio:>7} {verdict:>12}  {figure.against}".rstrip()


def _cells(figure):
    ours = _value(figure, figure.ours)
    theirs = _value(figure, figure.theirs) if figure.theirs else ""
    ratio = f"{figure.ratio:.2f}x" if figure.ratio else ""
    return figure.label, ours, theirs, ratio, _limit(figure)


def _value(figure, values):
    value = statistics.median(values)
    return f"{value:.{0 if value >= 100 or not figure.unit else 2}f} {figure.unit}".strip()


def _limit(figure):
    if figure.limit is None:
        return ""
    sign = ">=" if figure.at_least else "<="
    return f"{sign} {figure.limit:g}{'x' if figure.theirs else f' {figure.unit}'.rstrip()}"


def markdown(about, figures):
    lines = [_HEAD, "| this machine | |", "|---|---|", *(f"| {name} | {value} |" for name, value in about.items())]
    for part, of_part in figures.items():
        if of_part:
            lines += ["", f"## {_TITLES[part]}", "", "| | ours | against | theirs | ratio | limit |", "|---|--:|---|--:|--:|--:|"]
            lines += [_row(figure) for figure in of_part]
    return "\n".join(lines) + "\n"


def _row(figure):
    label, ours, theirs, ratio, limit = _cells(figure)
    kept = limit.replace("<=", "≤").replace(">=", "≥") + ("" if figure.is_kept else " missed")
    return f"| {label} | {ours} | {figure.against} | {theirs} | {ratio} | {kept} |"
