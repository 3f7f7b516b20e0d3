# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: maqet
short_description: Machines of maqet.qemu as hosts
version_added: 0.1.0
description:
  - Reads the machines of the user who runs Ansible from the state DB of this host, and those of other hosts over their own
    Ansible connection. Each machine is a host.
  - Its file ends in C(maqet.yml) or C(maqet.yaml).
  - Groups are C(maqet_machines), C(lab_<lab>), C(label_<key>_<value>) and C(state_<state>), in letters, digits and underscores, and
    those that O(groups) and O(keyed_groups) make.
  - Each host has the variables C(maqet_name), C(maqet_uuid), C(maqet_state), C(maqet_lab), C(maqet_labels), C(maqet_hypervisor),
    C(maqet_forwards), C(maqet_networks), C(maqet_addresses), C(maqet_macs), C(maqet_guest_agent), C(maqet_sockets), C(maqet_cid),
    C(maqet_unit) and C(maqet_directory); C(maqet_connect) says how it is reached, see O(connect).
options:
  plugin:
    description:
      - The name of this plugin. For example V(maqet.qemu.maqet).
    type: str
    required: true
    choices: [maqet.qemu.maqet]
  hypervisors:
    description:
      - Whose machines to read. V(localhost) is this host, read directly, as the user who runs Ansible. All others are asked by one
        module run each, side by side, with the connection, user and C(become) that their variables and C(ansible.cfg) say.
        Options of the command line such as C(-u), C(-b), C(-e ansible_user=…) and C(--limit) do not touch that, so every command sees
        the same machines.
      - A list of hosts or groups of the inventory sources before this one. For example V([localhost, hv1, hypervisors]).
      - Or a dictionary of hosts with their connections' variables, on top of those that they have in the inventory.
      - "For example V({hv1: {ansible_host: 192.168.1.5, ansible_user: vm}})."
      - What a user's machines are is a matter of who asks. For two users of one host give it two names.
    type: raw
    default: [localhost]
  labs:
    description:
      - Only machines of these labs. All when left out. For example V([shop]).
    type: list
    elements: str
  labels:
    description:
      - "Only machines that have each of these labels with this value. All when left out. For example V({role: web})."
    type: dict
  states:
    description:
      - Only machines in one of these states. All when left out. For example V([running, paused]).
    type: list
    elements: str
  connect:
    description:
      - How a machine may be reached, what is preferred first. The first way that it has is set, running or not; none when it has
        none of them.
      - V(forward) is a forwarded port that leads to O(guest_port). One that listens on the loopback of another host, or on a host that is
        itself reached through another by its C(ansible_ssh_common_args), is reached by an ssh through that host, with its user, key and
        ssh arguments, in C(ansible_ssh_common_args). Your own arguments belong into C(ansible_ssh_extra_args). That ssh is given no
        password.
      - V(address) is the C(address) of a network card on a bridge or tap. It is taken as it is, this host must have a way there.
      - V(agent) is the guest agent, which needs no network, by the connection plugin P(maqet.qemu.maqet_guest#connection); on another host
        where that is reached by ssh without C(become), and is a host of a source before this one, without variables in O(hypervisors).
        Whichever way is set, machines with C(guest_agent) have C(maqet_guest_vm) and C(maqet_guest_hypervisor) for it.
      - Addresses on other networks, such as that of QEMU itself or one between machines alone, are reached from no host.
      - For example V([address, forward]).
    type: list
    elements: str
    choices: [forward, address, agent]
    default: [forward, address, agent]
  guest_port:
    description:
      - Where the guests' sshd listens. For example V(2222).
    type: int
    default: 22
  hypervisor_prefix:
    description:
      - Whether a host's name begins with its hypervisor's.
      - V(auto) does so with machines that share a name, be it with a machine of another hypervisor, with a hypervisor or a group, or with a
        host of an inventory source before this one, and warns. V(always) does it with all machines. With V(never) such names are an error.
      - A host of an earlier source is the machine of that name, and gets its variables, where the machine is on V(localhost) or the host's
        own variables have its hypervisor as C(maqet_hypervisor).
    type: str
    choices: [auto, always, never]
    default: auto
  separator:
    description:
      - What stands between a hypervisor's and a machine's name. Letters, digits, C(_), C(.) and C(-). For example V(-).
    type: str
    default: "."
  on_error:
    description:
      - What to do when a hypervisor cannot be reached, cannot tell its machines, or tells of one that cannot be a host. V(warn) goes on
        without, V(fail) ends.
    type: str
    choices: [warn, fail]
    default: warn
  timeout:
    description:
      - Seconds that a hypervisor may take to answer. For example V(60).
    type: int
    default: 30
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
notes:
  - Of O(cache) only the answers of hypervisors are stored, each by itself, for the user, host and account that it is of. Failures are not
    stored. This host is always read anew, it takes milliseconds.
  - How the machines are (C(maqet_state), C(state_running), …) is what was last recorded. A machine that hangs counts as running.
seealso:
  - module: maqet.qemu.maqet_vm
  - module: maqet.qemu.maqet_vm_info
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
# maqet.yml: the machines of this user on this host
plugin: maqet.qemu.maqet

---
# shop.maqet.yml: running machines of one lab, on this host and on those of the group hypervisors
#   ansible-inventory -i hosts.yml -i shop.maqet.yml --graph
plugin: maqet.qemu.maqet
hypervisors: [localhost, hypervisors]
labs: [shop]
states: [running]
on_error: fail
timeout: 60

---
# No other source is needed where the connections are said here, unless machines are to be reached by their agents.
plugin: maqet.qemu.maqet
hypervisors:
  hv1: {ansible_host: 192.168.1.5, ansible_user: vm}
  builds: {ansible_host: 192.168.1.5, ansible_user: admin, ansible_become: true, ansible_become_user: build}
hypervisor_prefix: always
separator: "-"

---
# Own groups and variables, and an answer that is kept for ten minutes.
plugin: maqet.qemu.maqet
hypervisors: [hv1]
labels: {tier: front}
strict: true
compose:
  ansible_user: "'admin' if maqet_labels.os | default('') == 'bsd' else 'debian'"
groups:
  reachable: maqet_connect is not none
keyed_groups:
  - {prefix: host, key: maqet_hypervisor}
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible-inventory
cache_timeout: 600

---
# By the guest agent where there is one, else by ssh to port 2222 of the guest.
plugin: maqet.qemu.maqet
connect: [agent, forward]
guest_port: 2222
"""

import hashlib
import json
import os
import re
from typing import Any

from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError, SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._host.glance import Choice, glance, has_labels
from ansible_collections.maqet.qemu.plugins.plugin_utils import _answers as answers
from ansible_collections.maqet.qemu.plugins.plugin_utils._machines import LOCAL, NOBODY, OTHERS, Found, Naming, Ways, entitle, groups, variables

try:
    from ansible.template import trust_as_template as _harmless
except ImportError:
    _harmless = str

# Of what an answer in the cache is like.
_ANSWER = 2
_MOST_FAULTS = 3


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    NAME = "maqet.qemu.maqet"

    def verify_file(self, path: str) -> bool:
        name = os.path.basename(path)
        return super().verify_file(path) and (name in ("maqet.yml", "maqet.yaml") or name.endswith((".maqet.yml", ".maqet.yaml")))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        try:
            self._check(config)
            given = self._hypervisors_given()
            others = None
            if set(given) - {LOCAL}:
                # Ansible's task queue is loaded for this alone.
                from ansible_collections.maqet.qemu.plugins.plugin_utils._hypervisors import Hypervisors

                others = Hypervisors(inventory, loader, {name: more for name, more in given.items() if name != LOCAL})
            found = [item for name, machines in self._machines(given, others, path, cache).items() for item in self._sifted(name, machines)]
            self._fill(found, given, Ways(self.get_option("connect"), self.get_option("guest_port"), others))
        except MaqetError as exc:
            raise AnsibleParserError(f"{path}: {exc}") from None

    def _check(self, config: dict[str, Any]) -> None:
        from ansible_collections.maqet.qemu.plugins.module_utils._spec.validate import nearest

        for key in config:
            if key not in self._options:
                raise SpecError(str(key), "is no option here", hint=nearest(str(key), list(self._options)))
        if not re.fullmatch("[A-Za-z0-9_.-]*", self.get_option("separator")):
            raise SpecError("separator", f"{self.get_option('separator')!r} cannot be in a host's name", hint="Use letters, digits, '_', '.' or '-'")
        if not 1 <= self.get_option("guest_port") <= 65535:
            raise SpecError("guest_port", f"{self.get_option('guest_port')} is no port", hint="Use 1 to 65535")
        if self.get_option("timeout") < 1:
            raise SpecError("timeout", f"{self.get_option('timeout')} is no time", hint="Use 1 or more seconds")

    def _hypervisors_given(self) -> dict[str, dict[str, Any]]:
        """Each hypervisor with its own variables."""
        given = self.get_option("hypervisors")
        if isinstance(given, str):
            given = [given]
        if isinstance(given, list) and all(isinstance(name, str) for name in given):
            return {host: {} for name in given for host in self._hosts(name)}
        if not isinstance(given, dict) or not all(isinstance(name, str) and isinstance(more or {}, dict) for name, more in given.items()):
            raise SpecError("hypervisors", "is neither a list of hosts nor a dictionary of hosts with their variables", hint="Such as [hv1, hv2]")
        if given.get(LOCAL):
            raise SpecError(f"hypervisors.{LOCAL}", "is this host, read directly, and has no variables", hint="Give it another name to connect to it")
        return {name: more or {} for name, more in given.items()}

    def _hosts(self, name: str) -> list[str]:
        group = self.inventory.groups.get(name)
        if name == LOCAL or name in self.inventory.hosts:
            return [name]
        if group is None:
            hint = "Name its source before this one (-i hosts.yml -i maqet.yml), or give its variables here: hypervisors: {name: {ansible_host: …}}"
            raise SpecError("hypervisors", f"{name!r} is no host or group that was read before this file", hint=hint)
        return [host.name for host in group.get_hosts()]

    def _machines(self, given: dict[str, Any], others: Any, path: str, cache: bool) -> dict[str, list[Any]]:
        """What each hypervisor has, in the order given."""
        told: dict[str, list[Any]] = {}
        if LOCAL in given:
            told.update(self._looked())
        if others:
            keys = {name: self._key(path, name, others.telling(name)) for name in given if name != LOCAL}
            if cache and self.get_option("cache"):
                kept = {name: answers.read(self._cache[key]) for name, key in keys.items() if key in self._cache}
                told.update({name: machines for name, machines in kept.items() if machines is not None})
            missing = [name for name in keys if name not in told]
            told.update(self._asked(others, missing) if missing else {})
            if self.get_option("cache"):
                self._cache.update({keys[name]: answers.write(told[name]) for name in missing if name in told})
        return {name: told[name] for name in given if name in told}

    def _key(self, path: str, name: str, telling: dict[str, str]) -> str:
        """In the cache: an answer of another host, or to another user, is another."""
        whose = json.dumps([_ANSWER, os.getuid(), name, telling], sort_keys=True)
        return f"{self.get_cache_key(path)}_{hashlib.sha256(whose.encode()).hexdigest()[:16]}"

    def _looked(self) -> dict[str, list[Any]]:
        """What this host has."""
        try:
            machines, warnings = glance(Choice())
        except MaqetError as exc:
            self._left_out(f"hypervisors: {LOCAL} cannot tell its machines: {exc.message}", exc.hint)
            return {}
        for words in warnings:
            self.display.warning(words)
        return {LOCAL: machines}

    def _asked(self, others: Any, names: list[str]) -> dict[str, list[Any]]:
        results = others.ask(names, "maqet.qemu.maqet_vm_info", {"brief": True}, self.get_option("timeout"))
        told = {}
        for name, result in results.items():
            for words in answers.warnings(result):
                self.display.warning(f"{name}: {words}")
            machines = answers.plain(result.get("vms"))
            if machines is not None:
                told[name] = machines
                continue
            what = "cannot be reached" if result.get("unreachable") else "cannot tell its machines"
            why = answers.words(result.get("msg") or "what it answers is no list of machines, or too long a one")
            self._left_out(f"hypervisors: {name} {what}: {why}", "See that 'ansible -m ping' gets there")
        return told

    def _left_out(self, what: str, hint: str = "") -> None:
        """What cannot be told, or not be used, is an error or left out."""
        if self.get_option("on_error") == "fail":
            raise SpecError("", what, hint=f"{hint}, or set on_error: warn" if hint else "Set on_error: warn to leave that out")
        self.display.warning(f"{what}. Left out. {hint}".rstrip())

    def _sifted(self, hypervisor: str, machines: list[Any]) -> list[Found]:
        """Those that are meant."""
        sound: dict[str, Any] = {}
        faults = []
        for machine in machines:
            wrong = answers.fault(machine) or (f"{machine['name']}, told of twice" if machine["name"] in sound else "")
            if wrong:
                faults.append(wrong)
            else:
                sound[machine["name"]] = machine
        if faults:
            more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
            self._left_out(f"hypervisors: {hypervisor} tells of what is no machine: {'; '.join(faults[:_MOST_FAULTS])}{more}")
        labs, labels, states = (self.get_option(option) for option in ("labs", "labels", "states"))
        return [
            Found(hypervisor, machine)
            for machine in sound.values()
            if has_labels(machine.get("labels") or {}, labels)
            and (labs is None or machine.get("lab") in labs)
            and (states is None or machine.get("status") in states)
        ]

    def _fill(self, found: list[Found], given: dict[str, Any], ways: Ways) -> None:
        option = self.get_option
        named, warnings, left = entitle(found, Naming(option("hypervisor_prefix"), option("separator"), self._taken(found, given)))
        for words in warnings:
            self.display.warning(words)
        for words in left:
            self._left_out(words)
        for title, item in named.items():
            self._add(title, {**variables(item), **ways.to(title, item)})
        for name in sorted(ways.unknown):
            self.display.warning(f"hypervisors: machines of {name} are not reached by their agents, since no source before this one has that host so")
        # Variables of a host whose name is a group's would be the group's, so no group is made before all have theirs.
        for title, item in named.items():
            self._group(title, item)

    def _taken(self, found: list[Found], given: dict[str, Any]) -> dict[str, str]:
        """Who has the names that there are: a host says it itself, and no machine is a hypervisor, this host, or a group."""
        taken = {}
        for name, host in self.inventory.hosts.items():
            words = [str(host.vars[key]) for key in ("maqet_hypervisor", "maqet_name") if host.vars.get(key)]
            taken[name] = "/".join(words) if "maqet_hypervisor" in host.vars else OTHERS
        made = {self._sanitize_group_name(group) for item in found for group in groups(item)}
        return {**taken, **dict.fromkeys([*self.inventory.groups, *made, *given, *constants.LOCALHOST], NOBODY)}

    def _add(self, title: str, facts: dict[str, Any]) -> None:
        self.inventory.add_host(title)
        for key, value in facts.items():
            self.inventory.set_variable(title, key, _as_data(value))
        self._set_composite_vars(self.get_option("compose"), self.inventory.get_host(title).get_vars(), title, strict=self.get_option("strict"))

    def _group(self, title: str, item: Found) -> None:
        for group in map(self._sanitize_group_name, groups(item)):
            if group in self.inventory.hosts:
                self._left_out(f"{title} would be in the group {group!r}, and so is a host called")
            else:
                self.inventory.add_host(title, self.inventory.add_group(group))
        facts, strict = self.inventory.get_host(title).get_vars(), self.get_option("strict")
        self._add_host_to_composed_groups(self.get_option("groups"), facts, title, strict=strict)
        labels = facts["maqet_labels"]
        if isinstance(labels, dict):
            # A number is no group's name.
            facts["maqet_labels"] = {key: str(value) if isinstance(value, (int, float)) else value for key, value in labels.items()}
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), facts, title, strict=strict, fetch_hostvars=False)


def _as_data(value: Any) -> Any:
    """The same, of which nothing is ever evaluated: all that is not plain words is marked as no template, for ansible-core up to 2.18;
    plain words as harmless, since from 2.19 on ansible-inventory would show the lack of that mark."""
    if isinstance(value, dict):
        if not all(map(_is_plain, value)):
            # ansible-core up to 2.18 sees by the values alone that a dictionary is not to be evaluated.
            return {wrap_var(key): wrap_var(str(item)) for key, item in value.items()}
        return {key: _as_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_data(item) for item in value]
    if not isinstance(value, str):
        return value
    return _harmless(value) if _is_plain(value) else wrap_var(value)


def _is_plain(word: str) -> bool:
    """Whether nobody can take it for a template, however a template begins there (``#jinja2:`` says it)."""
    return re.fullmatch("[A-Za-z0-9_.:/@+-]*", word) is not None
