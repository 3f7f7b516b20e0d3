# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source: what a rulebook can say of it, and that it stands alone."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest
import yaml

EXTENSIONS = Path(__file__).parents[2] / "extensions/eda"
FILE = EXTENSIONS / "plugins/event_source/events.py"
SOURCE = runpy.run_path(str(FILE))
CHECK = SOURCE["check"]
TREE = ast.parse(FILE.read_text(encoding="utf-8"))


def test_what_is_documented():
    options = yaml.safe_load(SOURCE["DOCUMENTATION"])["options"]
    assert tuple(options) == SOURCE["_OPTIONS"]
    examples = [example["maqet.qemu.events"] or {} for example in yaml.safe_load(SOURCE["EXAMPLES"])]
    assert {key for example in examples for key in example} == set(options)
    assert len({str(CHECK(example)) for example in examples}) == len(examples)
    defaults = {key: option["default"] for key, option in options.items() if "default" in option and key != "feedback"}
    assert CHECK({}) == CHECK(defaults)


@pytest.mark.parametrize("file", sorted(EXTENSIONS.glob("rulebooks/*.yml")), ids=lambda file: file.stem)
def test_rulebooks(file):
    """Each has a cursor of its own, called as it is."""
    (ruleset,) = yaml.safe_load(file.read_text(encoding="utf-8"))
    (source,) = ruleset["sources"]
    assert CHECK(source["maqet.qemu.events"]).cursor == file.stem and ruleset["rules"]
    assert f"ansible-rulebook -r maqet.qemu.{file.stem} -i hosts\n" in file.read_text(encoding="utf-8")


def test_it_stands_alone():
    """Only the standard library of Python 3.9; and short functions, if not a short file."""
    imported = {alias.name for node in ast.walk(TREE) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
    functions = [node for node in ast.walk(TREE) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert {node.name for node in functions if node.end_lineno - node.lineno >= 40} == set()


@pytest.mark.parametrize(
    "args, words",
    [
        ({"event": "STOP"}, "event: is no option here. Did you mean 'events'?"),
        ({"zz": 1}, "zz: is no option here. There are: name, lab"),
        ({"name": [1]}, "name: [1] is no list of names"),
        ({"labels": ["role"]}, "labels: ['role'] is no dictionary"),
        ({"events": ["shutdown"]}, "'shutdown' is no name of an event of QEMU, which are in capitals. Did you mean 'SHUTDOWN'?"),
        ({"events": [{"name": "STOP"}]}, "is neither an event's name nor a dictionary of 'event' and 'match'"),
        ({"events": [{"event": "STOP", "match": "guest"}]}, "match: 'guest' is no dictionary"),
        ({"events": [{"event": 1}]}, "events: 1 is no name"),
        ({"since": "yesterday"}, "since: 'yesterday' is neither 'now' nor 'start' nor a time such as"),
        ({"cursor": "../x"}, "cursor: '../x' is no name"),
        ({"interval": "often"}, "interval: 'often' is no number of seconds"),
        ({"interval": 0}, "interval: 0 is no number of seconds"),
    ],
)
def test_what_cannot_be(args, words):
    with pytest.raises(SOURCE["ArgumentError"]) as caught:
        CHECK(args)
    assert words in str(caught.value)


def test_what_is_wanted():
    event = {"event": "SHUTDOWN", "data": {"guest": True, "info": {"core": 1, "more": 2}}, "timestamp": {"seconds": 1000, "microseconds": 500000}}
    wanted = [None, "SHUTDOWN", ["SHUT*"], [{"event": "*", "match": {"info": {"core": 1}}}], ["STOP", {"event": "SHUTDOWN", "match": {"guest": True}}]]
    assert all(CHECK({"events": events}).wants(event) for events in wanted)
    others = ["STOP", [{"event": "SHUTDOWN", "match": {"guest": False}}], [{"event": "*", "match": {"none": None}}]]
    assert not any(CHECK({"events": events}).wants(event) for events in others)
    times = {"1970-01-01T00:16:40Z": True, "1970-01-01T00:16:41Z": False, "now": True, 1000.4: True, 1001: False, "1970-01-01T01:16:40+01:00": True}
    assert {time: CHECK({"since": time}).wants(event) for time in times} == times
