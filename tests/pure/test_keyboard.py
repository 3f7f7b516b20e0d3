# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which keys characters and chords are."""

from __future__ import annotations

import importlib
import string

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._spec import keyboard

ASCII = string.printable.replace("\r", "").replace("\x0b", "").replace("\x0c", "")


@pytest.mark.parametrize("layout", keyboard.LAYOUTS)
def test_every_layout_has_all_of_ascii_on_keys_of_its_own(layout):
    strokes = [tuple(keyboard.strokes_of_text(character, layout)) for character in ASCII]
    assert len(set(strokes)) == len(ASCII)
    assert {key for each in strokes for stroke in each for key in stroke.keys} <= set(keyboard.NAMES)


@pytest.mark.parametrize("layout", keyboard.LAYOUTS)
def test_rows_are_as_long_as_the_keyboards(layout):
    data = keyboard._LAYOUTS[layout]
    for rows in (data.plain, data.shift):
        assert [len(row) for row in rows] == [len(row) for row in keyboard._ROWS]
    assert set(data.altgr) <= set(keyboard.NAMES) and set(data.dead) <= {character for row in (*data.plain, *data.shift) for character in row} | set(
        data.altgr.values()
    )


@pytest.mark.parametrize(
    ("text", "layout", "keys"),
    [
        ("aZ", "us", [("a",), ("shift", "z")]),
        ("yZ", "de", [("z",), ("shift", "y")]),
        ("@", "de", [("alt_r", "q")]),
        ("^", "de", [("grave_accent",), ("spc",)]),
        ("^", "de-nodeadkeys", [("grave_accent",)]),
        ("1a", "fr", [("shift", "1"), ("q",)]),
        ("é\t\n", "fr", [("2",), ("tab",), ("ret",)]),
        ("a\r\nb", "us", [("a",), ("ret",), ("b",)]),
    ],
)
def test_text(text, layout, keys):
    assert [stroke.keys for stroke in keyboard.strokes_of_text(text, layout)] == keys


@pytest.mark.parametrize(
    ("chord", "layout", "keys"),
    [
        ("ctrl-alt-f2", "us", ("ctrl", "alt", "f2")),
        ("CTRL-ALT-Delete", "us", ("ctrl", "alt", "delete")),
        ("ctrl-z", "de", ("ctrl", "y")),
        ("ctrl-C", "us", ("ctrl", "c")),
        ("A", "us", ("shift", "a")),
        ("enter", "us", ("ret",)),
        ("-", "us", ("minus",)),
        ("ctrl-minus", "us", ("ctrl", "minus")),
        ("win-altgr-kp_5", "fr", ("meta_l", "alt_r", "kp_5")),
    ],
)
def test_chords(chord, layout, keys):
    assert [stroke.keys for stroke in keyboard.strokes_of_chords([chord], layout)] == [keys]


def test_what_is_no_key_is_said():
    with pytest.raises(SpecError, match=r"keys\[1\]: 'entr' is no key.*enter"):
        keyboard.strokes_of_chords(["a", "ctrl-entr"], "us")
    with pytest.raises(SpecError, match=r"text: the layout us has no key for '\\xe9', '\\u20ac'"):
        keyboard.strokes_of_text("aé€é", "us")


def test_the_module_offers_the_layouts():
    module = importlib.import_module("ansible_collections.maqet.qemu.plugins.modules.maqet_keys")
    assert tuple(module.ARGUMENTS["layout"]["choices"]) == keyboard.LAYOUTS


def test_what_is_typed_is_concealed():
    params = {"name": "web", "keys": None, "text": "pass", "no_log": True}
    assert keyboard.concealed(params) == {"text": "********"} and keyboard.concealed({**params, "no_log": False}) == {}
