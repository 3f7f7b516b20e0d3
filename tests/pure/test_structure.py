# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The house: who may import whom, and how large its rooms are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).parents[2] / "plugins"
PLUGINS_NAME = "ansible_collections.maqet.qemu.plugins"
UTILS = f"{PLUGINS_NAME}.module_utils"
# Imports point to a room on a lower floor, or stay in their own.
FLOORS = (
    ("_errors",),
    ("_spec",),
    ("_plan",),
    ("_host",),
    ("_outcome",),
    ("_change",),
    ("_engine",),
    ("_talk", "_survey", "_wait", "_diagnosis", "_images", "_archive", "_snapshots", "_lab", "_console", "_keys", "_screen"),
    ("_module",),
    ("modules", "plugin_utils"),
    ("action", "connection", "inventory"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = [file for file in sorted(PLUGINS.rglob("*.py")) if file.parent.name != "doc_fragments"]
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
EACH_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PLUGINS)))
LINES_OF_A_FUNCTION, LINES_OF_A_FILE = 40, 400
TEXTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


def module_name(file: Path) -> str:
    words = file.relative_to(PLUGINS).with_suffix("").parts
    return ".".join([PLUGINS_NAME, *(word for word in words if word != "__init__")])


def room(name: str) -> str:
    """``_spec`` for a module of ours; empty for everybody else's."""
    if name.startswith(f"{UTILS}."):
        return name[len(UTILS) + 1 :].split(".")[0]
    kind = name.removeprefix(f"{PLUGINS_NAME}.").partition(".")[0]
    return kind if kind in FLOOR else ""


def imports(file: Path, tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in the file, by its full name."""
    package = module_name(file).split(".")[: None if file.name == "__init__.py" else -1]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            # ``from . import x``: x may be a module.
            found |= {f"{base}.{alias.name}" for alias in node.names} if node.level or room(base) or base == UTILS else {base}
    return found


@EACH_FILE
def test_imports_point_one_way(file):
    here = room(module_name(file))
    assert here in FLOOR, f"which floor is {here or file.name} on?"
    there = {room(name) for name in imports(file, TREES[file])} - {"", here}
    assert {other for other in there if FLOOR.get(other, 99) >= FLOOR[here]} == set()


def test_an_arrow_that_points_up_is_seen():
    tree = ast.parse("def late():\n    from .._host import state\n    from ..._utils import x\n    import json\n")
    file = PLUGINS / "module_utils/_spec/disk.py"
    assert room(f"{UTILS}._host.state") == "_host"
    assert f"{UTILS}._host.state" in imports(file, tree)


@EACH_FILE
def test_sizes(file):
    tree = TREES[file]
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert {node.name for node in functions if node.end_lineno - node.lineno >= LINES_OF_A_FUNCTION} == set()
    texts = [node for node in tree.body if isinstance(node, ast.Assign) and {getattr(target, "id", "") for target in node.targets} & TEXTS]
    lines = len(file.read_text(encoding="utf-8").splitlines()) - sum(node.end_lineno - node.lineno for node in texts)
    assert lines <= LINES_OF_A_FILE


def test_check_mode_is_read_in_one_file():
    readers = {
        file.name
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "check_mode")
        or (isinstance(node, ast.Constant) and node.value in ("check_mode", "_ansible_check_mode"))
    }
    assert len(readers) == 1


def test_the_module_stays_at_the_edge():
    users = {file.name for file in FILES if "AnsibleModule" in {getattr(node, "id", "") for node in ast.walk(TREES[file])}}
    assert {name for name in users if name != "_module.py"} == set()


def test_no_family_renders():
    families = PLUGINS / "module_utils/_spec"
    assert [file.name for file in families.glob("*.py") if re.search(r"(?<![\w(])-device", file.read_text(encoding="utf-8"))] == []


def test_every_module_has_an_action():
    """The action keeps the packed module: decision 29."""
    routed = yaml.safe_load((PLUGINS.parent / "meta/runtime.yml").read_text())["plugin_routing"]["modules"]
    modules = {file.stem for file in (PLUGINS / "modules").glob("maqet_*.py")}
    own = {file.stem for file in (PLUGINS / "action").glob("maqet_*.py")}
    assert routed == {name: {"action_plugin": "maqet.qemu.maqet_vm"} for name in modules - own}
