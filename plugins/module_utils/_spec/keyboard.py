# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keyboards: which keys a character is, by layout; chords in words. Keys have QEMU's names (``QKeyCode``), which are places, not letters."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._errors import SpecError
from .terminal import VEIL

# The places of a keyboard with 105 keys, row by row.
_ROWS = (
    ["grave_accent", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "minus", "equal"],
    ["q", "w", "e", "r", "t", "y", "u", "i", "o", "p", "bracket_left", "bracket_right"],
    ["a", "s", "d", "f", "g", "h", "j", "k", "l", "semicolon", "apostrophe", "backslash"],
    ["less", "z", "x", "c", "v", "b", "n", "m", "comma", "dot", "slash"],
)
SHIFT, ALTGR = "shift", "alt_r"


class _Layout(NamedTuple):
    """What each row gives, alone and with Shift; single characters with AltGr by the key; which need a space after them.

    A blank is a key that gives nothing of use, or what another gives too.
    """

    plain: tuple[str, str, str, str]
    shift: tuple[str, str, str, str]
    altgr: dict[str, str]
    dead: str = ""


_US = _Layout(
    ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", " zxcvbnm,./"),
    ("~!@#$%^&*()_+", "QWERTYUIOP{}", 'ASDFGHJKL:"|', " ZXCVBNM<>?"),
    {},
)
_GB = _Layout(
    ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"),
    ('¬!"£$%^&*()_+', "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"),
    {"4": "€"},
)
_DE = _Layout(
    ("^1234567890ß\u00b4", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"),
    ('°!"§$%&/()=?`', "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"),
    {"q": "@", "2": "²", "3": "³", "7": "{", "8": "[", "9": "]", "0": "}", "minus": "\\", "bracket_right": "~", "less": "|", "e": "€", "m": "µ"},
    dead="^\u00b4`",
)
_FR = _Layout(
    ("²&é\"'(-è_çà)=", "azertyuiop $", "qsdfghjklmù*", "<wxcvbn,;:!"),
    (" 1234567890°+", "AZERTYUIOP £", "QSDFGHJKLM%µ", ">WXCVBN?./§"),
    {"2": "~", "3": "#", "4": "{", "5": "[", "6": "|", "7": "`", "8": "\\", "9": "^", "0": "@", "minus": "]", "equal": "}", "e": "€"},
)
_LAYOUTS = {
    "us": _US,
    "gb": _GB,
    "de": _DE,
    "de-deadtilde": _DE._replace(dead=f"{_DE.dead}~"),
    "de-nodeadkeys": _DE._replace(dead=""),
    "fr": _FR,
    "fr-deadkeys": _FR._replace(dead="~`"),
}
LAYOUTS = tuple(_LAYOUTS)

# The same on every layout.
_COMMON = {" ": "spc", "\n": "ret", "\t": "tab"}
# What people call keys whose QEMU name is another.
_CALLED = {
    "alt_gr": ALTGR,
    "altgr": ALTGR,
    "control": "ctrl",
    "super": "meta_l",
    "win": "meta_l",
    "meta": "meta_l",
    "windows": "meta_l",
    "enter": "ret",
    "return": "ret",
    "escape": "esc",
    "space": "spc",
    "del": "delete",
    "ins": "insert",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "printscreen": "print",
    "capslock": "caps_lock",
    "numlock": "num_lock",
    "scrolllock": "scroll_lock",
    "plus": "kp_add",
}
_NAMED = [
    "shift",
    "shift_r",
    "alt",
    "alt_r",
    "ctrl",
    "ctrl_r",
    "meta_l",
    "meta_r",
    "menu",
    "compose",
    "esc",
    "tab",
    "ret",
    "spc",
    "backspace",
    "insert",
    "delete",
    "home",
    "end",
    "pgup",
    "pgdn",
    "up",
    "down",
    "left",
    "right",
    "caps_lock",
    "num_lock",
    "scroll_lock",
    "print",
    "sysrq",
    "pause",
    "kp_0",
    "kp_1",
    "kp_2",
    "kp_3",
    "kp_4",
    "kp_5",
    "kp_6",
    "kp_7",
    "kp_8",
    "kp_9",
    "kp_add",
    "kp_subtract",
    "kp_multiply",
    "kp_divide",
    "kp_decimal",
    "kp_enter",
    "kp_equals",
    "kp_comma",
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "f6",
    "f7",
    "f8",
    "f9",
    "f10",
    "f11",
    "f12",
    "f13",
    "f14",
    "f15",
    "f16",
    "f17",
    "f18",
    "f19",
    "f20",
    "f21",
    "f22",
    "f23",
    "f24",
    "power",
    "sleep",
    "wake",
    "ro",
    "yen",
    "henkan",
    "muhenkan",
    "hiragana",
    "katakanahiragana",
    "lang1",
    "lang2",
    "help",
    "volumeup",
    "volumedown",
    "audiomute",
    "audioplay",
    "audiostop",
    "audionext",
    "audioprev",
    "mail",
    "calculator",
    "computer",
    "ac_home",
    "ac_back",
    "ac_forward",
    "ac_refresh",
    "ac_bookmarks",
]
NAMES = (*_NAMED, *(key for row in _ROWS for key in row))


class Stroke(NamedTuple):
    """Keys that are held down in this order, the last one struck, and let go the other way round."""

    keys: tuple[str, ...]


@functools.cache
def _strokes(layout: str) -> dict[str, tuple[Stroke, ...]]:
    """The strokes of each character."""
    data = _LAYOUTS[layout]
    found: dict[str, tuple[Stroke, ...]] = {character: (Stroke((key,)),) for character, key in _COMMON.items()}
    for held, rows in (((), data.plain), ((SHIFT,), data.shift)):
        for keys, row in zip(_ROWS, rows):
            for key, character in zip(keys, row):
                found.setdefault(character, (Stroke((*held, key)),))
    for key, character in data.altgr.items():
        found.setdefault(character, (Stroke((ALTGR, key)),))
    for character in data.dead:
        found[character] = (*found[character], Stroke(("spc",)))
    return found


def strokes_of_text(text: str, layout: str) -> list[Stroke]:
    """
    :raises SpecError: the layout has no key for a character.
    """
    known = _strokes(layout)
    text = text.replace("\r\n", "\n")
    missing = [character for character in dict.fromkeys(text) if character not in known]
    if missing:
        hint = f"Such characters cannot be typed there; other layouts are {', '.join(name for name in LAYOUTS if name != layout)}"
        raise SpecError("text", f"the layout {layout} has no key for {', '.join(map(ascii, missing[:5]))}", hint=hint)
    return [stroke for character in text for stroke in known[character]]


def strokes_of_chords(chords: Sequence[str], layout: str) -> list[Stroke]:
    """
    :raises SpecError: at ``keys[<number>]``: a key that is none.
    """
    return [Stroke(tuple(_chord(chord, layout, f"keys[{number}]"))) for number, chord in enumerate(chords)]


def concealed(params: dict[str, Any]) -> dict[str, Any]:
    """What a task types as people may see it."""
    return {name: VEIL for name in ("keys", "text") if params.get("no_log") and params.get(name)}


def _chord(chord: str, layout: str, path: str) -> Iterator[str]:
    words = chord.split("-") if chord != "-" else ["minus"]
    for word in words:
        name = _CALLED.get(word.lower(), word.lower())
        strokes = _strokes(layout).get(word.lower() if len(words) > 1 else word)
        if len(word) == 1 and strokes and len(strokes) == 1:
            yield from strokes[0].keys
        elif name in NAMES:
            yield name
        else:
            from .validate import nearest

            hint = nearest(name, [*NAMES, *_CALLED]) if word else "The key of the minus sign is called minus"
            raise SpecError(path, f"{word!r} is no key", hint=hint if len(hint) < 100 else "Such as ctrl, alt, shift, f2, ret, esc, delete, a or 1")
