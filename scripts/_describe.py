# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options described for people and for editors: the table of docs/live-changes.md, docs/schema/machine.json, and the
argument spec that the modules read.

All are written from the option records and the words of the documentation; docs/options.md from what the tests try. Started by
scripts/describe.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import yaml
from ansible_collections.maqet.qemu.plugins.doc_fragments import devices, first_boot, machine
from ansible_collections.maqet.qemu.plugins.module_utils._spec import condition
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import OPTIONS
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab_options import LAB
from ansible_collections.maqet.qemu.plugins.module_utils._spec.lab_options import MACHINE as LAB_MACHINE
from ansible_collections.maqet.qemu.plugins.module_utils._spec.name import NAME_EXPECTS, NAME_PATTERN
from ansible_collections.maqet.qemu.plugins.module_utils._spec.option import LIVE, Option, argument_spec, expects, json_schema, walk
from ansible_collections.maqet.qemu.tests.cases import table as tried

ROOT = Path(__file__).absolute().parents[1]
TABLE = ROOT / "docs/live-changes.md"
SCHEMA = ROOT / "docs/schema/machine.json"
LAB_SCHEMA = ROOT / "docs/schema/lab.json"
LAB_WORDS = ROOT / "scripts/_lab_words.yml"
ARGUMENTS = ROOT / "plugins/module_utils/_spec/arguments.py"
LAB_ARGUMENTS = ROOT / "plugins/module_utils/_spec/lab_arguments.py"
BEGIN, END = "<!-- The table is written by scripts/describe. -->\n", "<!-- The end of the table. -->\n"

ARGUMENTS_HEAD = '''# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's argument spec of the options, written from their records by scripts/describe: a task with nothing to do
reads these few lines and none of the families (see docs/decisions/0012)."""

from __future__ import annotations

from typing import Any
'''

LAB_HEAD = '''# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a lab file, written from their records by scripts/describe (see arguments.py)."""

from __future__ import annotations

from typing import Any

from .arguments import ARGUMENTS
'''

KEYED_HEAD = "# The lists whose elements are known by keys: by option, each key and its default.\nKEYED: dict[str, dict[str, Any]] = "
VEILED_HEAD = "# What may hold a guest's passwords, and Ansible does not mask.\nVEILED = "

NAME = Option("name", required=True, pattern=NAME_PATTERN, expects=NAME_EXPECTS)
NAME_WORDS = {"description": ["The machine's name. It becomes its unit, its directory and QEMU's name of the guest.", "For example V(web)."]}
# Ansible's markup: O(an option), RV(a result), V(a value), C(code), M(a module).
_MARKUP = re.compile(r"\b(?:O|RV|V|C|M|E)\(((?:[^()\\]|\\.)*)\)")

# The schema has examples of its own.
_EXAMPLE = re.compile(r"^For example .*?\.(?: |$)")


def documentation():
    """What the documentation says of each option, by name, those inside dicts under ``suboptions``."""
    fragments = [yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"] for fragment in (machine, devices, first_boot)]
    return {"name": NAME_WORDS, **{name: said for fragment in fragments for name, said in fragment.items()}}


def place(path, option):
    """An option's name in the documentation, with ``[]`` for a list's elements."""
    return f"{path}{option.name}"


BELOW = {"keyed": "[]", "named": ".*"}


def below(path, option):
    return f"{place(path, option)}{BELOW.get(option.type, '')}."


def spread(options, words, path="", holder=None):
    """Every option: its place, its record, what is said of it, and the option that holds it."""
    for option in options:
        if option.name not in words:
            sys.exit(f"plugins/doc_fragments says nothing of {place(path, option)}")
        said = words[option.name]
        yield place(path, option), option, said, holder
        yield from spread(option.options, said.get("suboptions", {}), below(path, option), option)


def plain(text):
    """Words without Ansible's markup."""
    return _MARKUP.sub(lambda match: match[1].replace("=", ": ", 1) if match[0].startswith("O(") else match[1], text)


def coded(text):
    """The same as Markdown."""
    return _MARKUP.sub(lambda match: f"`{match[1].replace('=', ': ', 1) if match[0].startswith('O(') else match[1]}`", text)


def sentences(said):
    description = said["description"]
    return [description] if isinstance(description, str) else description


def examples(option, said):
    """The values that the documentation shows."""
    shown = " ".join(text for text in sentences(said) if text.startswith("For example "))
    values = re.findall(r"\bV\(((?:[^()\\]|\\.)*)\)", shown)
    # PyYAML takes a MAC for a number to the base 60.
    return [value.strip("'") if option.type in ("str", "size", "path") else yaml.safe_load(value) for value in values]


# How a change reaches a machine that runs.


def when(option, holder):
    """When a change of it takes effect."""
    if holder and holder.type == "keyed" and (option.name in holder.key or holder.whole):
        return when(holder, None)
    if option.type == "map" and not option.optional:
        return "see its keys"
    if option.change != LIVE:
        return "impossible" if option.refuse else "next start"
    return "live or impossible" if option.refuse else "live"


def how_far(option, holder):
    """Under which conditions."""
    if holder and holder.type == "keyed" and option.name in holder.key:
        return "another one is another element: one goes, one comes"
    if holder and holder.whole:
        return "with its element"
    if option.change == LIVE and not option.live and not option.note:
        return "nothing in QEMU has to change"
    if option.type == "keyed" and option.change != LIVE:
        return "to add and to remove one, too"
    return option.note


def first_sentence(said):
    return re.split(r"\.(?: |$)", coded(sentences(said)[0]))[0]


def table():
    """The rows of docs/live-changes.md."""
    rows = ["| option | what it is | takes effect | how far |", "|---|---|---|---|"]
    for path, option, said, holder in spread(OPTIONS, documentation()):
        rows.append(f"| `{path}` | {first_sentence(said)} | {when(option, holder)} | {how_far(option, holder)} |")
    return "\n".join(rows) + "\n"


def page():
    """docs/live-changes.md with its table renewed."""
    text = TABLE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


# The schema.


def schema():
    """docs/schema/machine.json."""
    options = (NAME, *OPTIONS)
    machine = json_schema(options)
    words = documentation()
    described = _describe_all(machine["properties"], options, words, "")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "SPDX-FileCopyrightText: 2026 The maqet.qemu authors. SPDX-License-Identifier: GPL-3.0-or-later. Written by scripts/describe.",
        # Relative: it is known by the place from which it is read.
        "$id": "machine.json",
        "title": "A machine of maqet.qemu",
        "description": "One QEMU machine, as the options of the Ansible module maqet.qemu.maqet_vm declare it.",
        **(machine | {"properties": described}),
    }


def lab_schema():
    """docs/schema/lab.json: a machine's options are described once."""
    said, words = documentation(), yaml.safe_load(LAB_WORDS.read_text(encoding="utf-8"))
    words["images"]["suboptions"] = said["images"]["suboptions"]
    said["nics"]["suboptions"]["network"] = words["network"]
    for name in ("defaults", "profiles", "vms"):
        words[name]["suboptions"] = words["machine"]
    options = [replace(option, options=tuple(inner for inner in option.options if inner not in LAB_MACHINE)) for option in LAB]
    lab, shared = json_schema(options), json_schema(LAB_MACHINE)["properties"]
    described = _or_null(_describe_all(lab["properties"], options, words, ""), ["lab"])
    for holder in (described["defaults"], *(described[name]["additionalProperties"] for name in ("profiles", "vms"))):
        holder["properties"] = {**{name: {"$ref": f"#/$defs/{name}"} for name in shared}, **holder["properties"]}
    machine = _or_null(_describe_all(shared, LAB_MACHINE, {**said, **words["machine"]}, ""))
    machine["ready"]["items"] = condition.schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "SPDX-FileCopyrightText: 2026 The maqet.qemu authors. SPDX-License-Identifier: GPL-3.0-or-later. Written by scripts/describe.",
        "$id": "lab.json",
        "title": "A lab of maqet.qemu",
        "description": "Machines and networks that belong together, as the Ansible module maqet.qemu.maqet_lab brings them about.",
        **(lab | {"properties": described}),
        "$defs": machine,
    }


def _or_null(properties, required=()):
    """Null takes a key away that another place of the file has."""
    return {name: found if name in required else _nullable(found) for name, found in properties.items()}


def _nullable(found):
    new = {**found, "type": [*([found["type"]] if isinstance(found["type"], str) else found["type"]), "null"]}
    if "enum" in found:
        new["enum"] = [*found["enum"], None]
    if isinstance(found.get("additionalProperties"), dict):
        new["additionalProperties"] = _nullable(found["additionalProperties"])
    if "properties" in found.get("items", {}):
        new["items"] = {**found["items"], "properties": _or_null(found["items"]["properties"], found["items"]["required"])}
    if "properties" in found:
        new["properties"] = _or_null(found["properties"], found.get("required", ()))
    return new


def _describe_all(properties, options, words, path, holder=None):
    return {option.name: _described(properties[option.name], option, words[option.name], path, holder) for option in options}


def _described(found, option, said, path, holder):
    lines = [plain(_EXAMPLE.sub("", text)) for text in sentences(said)]
    if expects(option) and option.type != "named":
        lines.append(f"Allowed is {expects(option)}.")
    if option is not NAME and option.change:
        far = how_far(option, holder)
        lines.append(f"A change takes effect: {when(option, holder)}{f' ({far})' if far else ''}.".replace("`", ""))
    new = {
        "title": place(path, option),
        "description": "\n".join(line for line in lines if line),
        **{key: value for key, value in found.items() if key != "description"},
    }
    if option.secret:
        new["writeOnly"] = True
    if _may_be_a_number(option):
        new["type"] = ["string", "integer"]
    if option.default is not None:
        new["default"] = option.default
    shown = examples(option, said)
    if shown:
        new["examples"] = shown
    return {**new, **_inside(found, option, said, path)}


def _inside(found, option, said, path):
    """The same of what an option holds."""

    def described(holder):
        return {**holder, "properties": _describe_all(holder["properties"], option.options, said.get("suboptions", {}), below(path, option), option)}

    if option.type == "map":
        return {"properties": described(found)["properties"]}
    if option.type == "named":
        return {"additionalProperties": described(found["additionalProperties"])}
    if option.type != "keyed":
        return {}
    items = described(found["items"]) if option.options else found["items"]
    return {"items": {"title": f"{place(path, option)}[]", "description": f"One of {place(path, option)}.", **items}}


def _may_be_a_number(option):
    """Text that YAML reads as a number where nobody quotes it; Ansible makes text of it again."""
    return option.type == "str" and not option.choices and (not option.pattern or bool(re.match(option.pattern, "1")))


def arguments():
    """The argument spec as Python."""
    veiled = [option.name for option in OPTIONS if _has_secrets(option)]
    keyed = {path: _keys(option) for path, option in walk(OPTIONS) if option.type == "keyed"}
    texts = [f"ARGUMENTS: dict[str, Any] = {_python(argument_spec(OPTIONS), 0, top=True)}"]
    texts += [f"{KEYED_HEAD}{_python(keyed, 0, top=True)}", f"{VEILED_HEAD}{_python(veiled, 0)}"]
    return "\n".join([ARGUMENTS_HEAD, *(f"{text}\n" for text in texts)])


def _keys(option):
    defaults = {inner.name: inner.default for inner in option.options}
    return {name: defaults.get(name) for name in option.key}


def lab_arguments():
    """The keys of a lab file as Python: where a machine's are meant, they are referred to."""
    machine, lab = argument_spec(LAB_MACHINE), argument_spec(LAB)
    texts = [f"MACHINE: dict[str, Any] = {_python(_beyond('ARGUMENTS', argument_spec(OPTIONS), machine), 0, top=True)}"]
    texts += [f"LAB: dict[str, Any] = {_python(_beyond('MACHINE', machine, lab), 0, top=True)}"]
    return "\n".join([LAB_HEAD, *(f"{text}\n" for text in texts)])


def _beyond(name, base, spec):
    """``spec`` with ``**name`` in the place of what ``base`` has too."""
    if isinstance(spec, dict) and base.keys() <= spec.keys():
        return {f"**{name}": None, **{key: value for key, value in spec.items() if base.get(key) != value}}
    return {key: _beyond(name, base, value) for key, value in spec.items()} if isinstance(spec, dict) else spec


def _has_secrets(option):
    """Those that Ansible itself does not mask."""
    return (option.secret and option.type != "str") or any(map(_has_secrets, option.options))


def _python(value, depth, top=False):
    """A dict on one line where it fits."""
    if isinstance(value, list):
        return "[" + ", ".join(_python(item, depth) for item in value) + "]"
    if not isinstance(value, dict):
        return f'"{value}"' if isinstance(value, str) else repr(value)
    flat = "{" + ", ".join(_pair(key, item, depth) for key, item in value.items()) + "}"
    if not top and "\n" not in flat and len(flat) < 110:
        return flat
    inside = "    " * (depth + 1)
    lines = [f"{inside}{_pair(key, item, depth + 1)}," for key, item in value.items()]
    return "\n".join(["{", *lines, "    " * depth + "}"])


def _pair(key, value, depth):
    return key if key.startswith("**") else f'"{key}": {_python(value, depth)}'


def main(check):
    wanted = {TABLE: page(), ARGUMENTS: arguments(), LAB_ARGUMENTS: lab_arguments(), tried.FILE: tried.text()}
    schemas = {SCHEMA: schema(), LAB_SCHEMA: lab_schema()}
    wanted.update({file: json.dumps(made, indent=2, ensure_ascii=False) + "\n" for file, made in schemas.items()})
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    for file in stale:
        print(f"{os.path.relpath(file.resolve(), ROOT)}: {'not current: run ./scripts/describe' if check else 'written'}")
        if not check:
            file.write_text(wanted[file], encoding="utf-8")
    return bool(check and stale)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
