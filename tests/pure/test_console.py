# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be written for a console, and what is read and typed there."""

from __future__ import annotations

import re
import subprocess

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._spec.console import PROMPT, command, concealed, secrets, steps
from ansible_collections.maqet.qemu.plugins.module_utils._spec.terminal import VEIL, Reader, overlap, plain, typed, veil
from hypothesis import given
from hypothesis import strategies as st

COLOURED = "\x1b]0;root@web\x07\x1b[?2004h\x1b[01;32mroot@web\x1b[00m:~# \x1b(B\x1b[mls\r\n\x1bcdone\x08 \x1bPq\x1b\\.\n"
SEEN = "root@web:~# ls\ndone .\n"


def test_a_terminals_own_is_not_read():
    assert plain(COLOURED) == SEEN


@given(st.lists(st.integers(0, len(COLOURED)), max_size=8))
def test_pieces_read_like_the_whole(cuts):
    places = [0, *sorted(cuts), len(COLOURED)]
    reader = Reader()
    assert "".join(reader.feed(COLOURED[start:end]) for start, end in zip(places, places[1:])) == SEEN


def test_overlap():
    assert overlap("abc", "bcd") == 2 and overlap("abc", "x") == 0 and overlap("", "a") == 0 and overlap("aaa", "aa") == 2


@pytest.mark.parametrize(
    ("text", "enter", "keys"),
    [("ls", True, "ls\r"), ("ls", False, "ls"), ("a\nb", True, "a\rb\r"), ("a\nb\n", True, "a\rb\r"), ("a\r\nb", False, "a\rb"), ("", True, "\r")],
)
def test_enter_is_a_carriage_return(text, enter, keys):
    assert typed(text, enter=enter) == keys


def test_secrets_are_veiled_however_their_echo_is_wrapped():
    text = veil("say se\ncr et-word and secret", ["secret-word", "", "  ", "an"])
    assert text == f"say {VEIL} and secret"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({}, "steps[0]: says nothing to do"),
        ({"expect": "a", "send": "b"}, "steps[0]: has expect and send in one"),
        ({"expect": "(a"}, "steps[0].expect: '(a' is no regular expression"),
        ({"expect": ""}, "an empty pattern fits everything"),
        ({"expect": "a", "fail_on": "["}, "steps[0].fail_on"),
        ({"expect": "a", "answers": {"*": "x"}}, "steps[0].answers[*]"),
        ({"send": "a", "answers": {"b": "x"}}, "steps[0].answers: belongs to expect"),
        ({"expect": "a", "enter": False}, "steps[0].enter: belongs to send"),
        ({"run": " "}, "steps[0].run: is no command"),
        ({"send": "a", "timeout": 0}, "steps[0].timeout: 0 leaves no time"),
    ],
)
def test_mistakes(item, words):
    with pytest.raises(SpecError) as caught:
        steps([item])
    assert words in str(caught.value)


def test_secrets_are_known_and_concealed():
    items = [
        {"login": {"user": "root", "password": "pass"}},
        {"send": "shown"},
        {"send": "hidden", "no_log": True},
        {"run": "hide", "no_log": True},
        {"expect": "x", "answers": {"y": "answer"}, "no_log": True},
    ]
    assert secrets(steps(items)) == ["pass", "hidden", "hide", "answer"]
    shown = repr(concealed({"steps": items, "name": "web"}))
    assert "shown" in shown and not any(word in shown for word in ("pass'", "hidden", "'hide'", "answer'"))
    assert not any(word in str(step) for step in steps(items) for word in ("pass", "hidden", "'hide'"))
    # A task that is written wrong is shown too.
    assert [concealed({"steps": wrong}) for wrong in ("pass", ["pass"], {"login": "pass"}, None)] == [{"steps": VEIL}, {"steps": [VEIL]}, {"steps": VEIL}, {}]


@pytest.mark.parametrize("words", ["echo a b; false", "printf 'no newline'; exit 3", "true # it's a comment", "cat <<EOF\none\n$HOME 'two'\nEOF"])
def test_a_command_is_framed_by_what_its_echo_has_not(words):
    framed = command(words, "mark1234")
    assert not re.search(framed.begin, framed.line + "\n") and not re.search(framed.end, framed.line + "\n")
    said = subprocess.run(["sh"], input=framed.line + "\n", capture_output=True, text=True, check=False).stdout
    alone = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    if "exit" in words:
        assert re.match(framed.begin, said)
        return
    found = re.fullmatch(rf"{framed.begin}((?s:.*)){framed.end}", said)
    assert (found.group(1), int(found.group(2))) == (alone.stdout, alone.returncode)


@pytest.mark.parametrize("prompt", ["# ", "$ ", "web:~# ", "~ $ ", "sh-5.1#", "router> "])
def test_prompts_of_shells(prompt):
    assert re.search(PROMPT, f"motd\n{prompt}") and not re.search(PROMPT, f"{prompt}x")
