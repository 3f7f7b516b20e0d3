# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every declaration, not for chosen ones alone."""

from __future__ import annotations

import json

from ansible_collections.maqet.qemu.plugins.module_utils._plan.diff import compare, conceal, describe, readable, spell
from ansible_collections.maqet.qemu.plugins.module_utils._plan.record import Record
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS, declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.merge import merge
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import element_key, normalize
from ansible_collections.maqet.qemu.plugins.module_utils._spec.qmp_schema import VEIL
from ansible_collections.maqet.qemu.plugins.module_utils._spec.size import PATTERN, UNITS, format_size, parse_size
from ansible_collections.maqet.qemu.plugins.module_utils._spec.validate import validate
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

TEXTS = st.text("abcXYZ019._-", min_size=1, max_size=12)
SIZES = st.builds("{}{}".format, st.integers(1, 4096), st.sampled_from(["M", "G", "MiB", "GiB"]))
settings.register_profile("quick", max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
settings.load_profile("quick")


def values(option):
    """Values that an option takes; those of secrets are shown to nobody, whatever they are."""
    if option.secret:
        return st.dictionaries(TEXTS, st.just(VEIL), max_size=3) if option.type == "dict" else st.just(VEIL)
    if option.options:
        inner = declarations(option.options)
        return inner if option.type == "map" else elements(option, inner)
    if option.type == "keyed":
        free = st.fixed_dictionaries(dict.fromkeys(option.key, TEXTS), optional={"driver": TEXTS, "number": st.integers()})
        return elements(option, free)
    if option.choices:
        return st.sampled_from(option.choices)
    if option.pattern and option.shown:
        return st.from_regex(option.pattern.replace("$", r"\Z"), alphabet=st.characters(codec="ascii")).filter(lambda text: option.shown(text) == text)
    if option.pattern:
        return st.from_regex(option.pattern.replace("$", r"\Z"), alphabet=st.characters(codec="ascii"))
    plain = {
        "str": TEXTS,
        "path": TEXTS.map("/".__add__),
        "bool": st.booleans(),
        "size": SIZES,
        "int": st.integers(option.minimum, option.maximum),
        "list": st.lists(TEXTS, max_size=3),
        "dict": st.dictionaries(TEXTS, TEXTS, max_size=3),
    }
    return plain[option.type]


def elements(option, inner):
    defaults = {one.name: one.default for one in option.options}
    return st.lists(inner, max_size=3, unique_by=lambda item: element_key(option, {**defaults, **item}))


def declarations(options=OPTIONS):
    required = {option.name: values(option) for option in options if option.required}
    optional = {option.name: values(option) for option in options if not option.required}
    return st.fixed_dictionaries(required, optional=optional)


@example((1 << 53) + 1)
@given(st.integers(0, 1 << 70))
def test_a_size_survives_being_written(count):
    assert parse_size(format_size(count)) == count


@given(st.from_regex(PATTERN.replace("$", r"\Z"), alphabet=st.characters(codec="ascii")))
def test_a_written_size_means_the_same_again(text):
    count = parse_size(text)
    assert count == parse_size(format_size(count))
    number = text.rstrip("iBKMGT")
    if number.isdigit():
        assert count == int(number) * UNITS[text[len(number)]]


@given(declarations())
def test_a_normal_form_is_its_own(raw):
    validate(OPTIONS, raw)
    normal = normalize(OPTIONS, raw)
    again = spell(OPTIONS, normal)
    validate(OPTIONS, again)
    assert normalize(OPTIONS, again) == normal
    assert json.loads(json.dumps(normal)) == normal
    assert compare(OPTIONS, normal, normalize(OPTIONS, raw)) == []


def test_a_secret_is_shown_to_nobody():
    old, new = (declare({"display": {"type": "vnc", "password": word}}) for word in ("hunter-1", "hunter-2"))
    (change,) = compare(OPTIONS, old, new)
    shown = [spell(OPTIONS, new), conceal(OPTIONS, {"display": {"type": "vnc", "password": "hunter-2"}}), readable(change), describe(change)]
    assert "hunter" not in repr(shown)


def test_what_a_guest_is_handed_is_shown_to_nobody():
    raws = [
        {"cloud_init": {"user_data": {"password": word}}, "ignition": {"ignition": word}, "credentials": {"a": word, "b": "hunter"}}
        for word in ("hunter-1", "hunter-2")
    ]
    changes = compare(OPTIONS, *map(declare, raws))
    assert [readable(change) for change in changes] == [(VEIL, f"{VEIL} (changed)")] * 2 + [({"a": VEIL, "b": VEIL}, {"a": f"{VEIL} (changed)", "b": VEIL})]
    added = compare(OPTIONS, declare({}), declare(raws[0]))
    shown = [spell(OPTIONS, declare(raws[0])), conceal(OPTIONS, raws[0]), *map(describe, [*changes, *added]), *map(readable, added)]
    assert "hunter" not in repr(shown)


@given(declarations(), declarations())
def test_merge(stored, raw):
    merged = merge(stored, raw)
    validate(OPTIONS, merged)
    assert merge(merged, raw) == merged
    assert merge(stored, {}) == stored
    assert merge({}, raw) == raw
    normal = normalize(OPTIONS, merged)
    for option in OPTIONS:
        if option.name not in raw:
            assert normal[option.name] == normalize(OPTIONS, stored)[option.name]
        elif not option.options and option.type not in ("keyed", "dict"):
            assert normal[option.name] == normalize(OPTIONS, raw)[option.name]


@given(declarations(), declarations())
def test_changes_lead_from_one_to_the_other(before, after):
    old, new = normalize(OPTIONS, before), normalize(OPTIONS, after)
    changes = compare(OPTIONS, old, new)
    assert (changes == []) == (old == new)
    assert len({change.path for change in changes}) == len(changes)
    assert all(change.before != change.after for change in changes)


def test_an_older_record_knows_its_bases():
    """Before schema 3 an overlay lay on its image's path."""
    raw = {"disks": [{"name": "a", "image": "/base"}, {"name": "b", "image": "/base"}, {"name": "c", "size": "1G"}]}
    old = Record("m", "process", "/d", "/r", raw=raw, declared=declare(raw), made={"a": None, "c": 1}, identity={"formats": {"a": "qcow2"}})
    for disk in old.declared["disks"].values():
        del disk["copy"]
    again = Record.load({**old.dump(), "schema": 2, "bases": {}})
    assert again.bases == {"a": {"image": "/base", "content": "", "file": "/base", "format": "qcow2", "stamp": []}}
    assert again.declared == declare(raw)


def test_no_url_shows_its_password():
    images = [{"name": "a", "url": "https://me:geheim@example.org/a", "checksum": "sha256:https://me:geheim@example.org/S"}]
    before, after = ({"images": [{**images[0], "url": f"{images[0]['url']}{tail}"}]} for tail in ("", "2"))
    changes = compare(OPTIONS, declare(before), declare(after))
    told = [conceal(OPTIONS, after), spell(OPTIONS, declare(after)), *map(readable, changes), *map(describe, changes)]
    assert "geheim" not in json.dumps(told) and "example.org/a2" in json.dumps(told)
