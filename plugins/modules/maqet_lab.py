#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maqet_lab
short_description: A lab of QEMU machines and networks as desired state
version_added: 0.1.0
description:
  - Brings all networks and machines of a lab to what its file says, in one task and side by side, and does only what is missing.
  - A machine starts when those that it depends on are ready. One that fails stops only those that depend on it. The others go
    on, and the task fails at the end with every machine's outcome.
  - In check mode with C(--diff) it is a plan. RV(summary) says it in one line.
  - What a lab file may say is in C(docs/labs.md) of the collection, and its JSON Schema in C(docs/schema/lab.json).
  - A machine of the lab is one of M(maqet.qemu.maqet_vm), and can be worked on by it and all other modules.
options:
  src:
    description:
      - The lab file, on the controller. Several files are merged in their order. Dictionaries are merged deep, disks, cards and
        other lists by the names of their elements.
      - A relative path is looked for where Ansible looks for files, in C(files/) and beside the playbook.
      - For example V([lab.yml, lab.ci.yml]).
      - Give this or O(definition).
    type: list
    elements: path
  definition:
    description:
      - "What a lab file holds, as a dictionary. For example V({lab: shop, vms: {db: {memory: 512MiB}}})."
    type: dict
  state:
    description:
      - V(started) sees that every machine is declared, runs and is ready.
      - V(stopped) stops the machines, those that depend on others first, and leaves the networks as they are, running or not.
      - V(present) sees that the machines are declared and their disks exist, and leaves them running or not.
      - V(absent) removes all that the lab ever made, also what its file has no more. Machines with C(protect) stay, and fail the task.
    type: str
    choices: [started, stopped, present, absent]
    default: started
  prune:
    description:
      - Remove machines and networks that the lab once made and its file has no more, with all their files. Never others.
      - A machine with C(protect) stays, and fails the task.
    type: bool
    default: false
  limit:
    description:
      - Keys or names of the machines that the task is about. What they depend on is waited for and not changed.
      - With O(prune) or O(state=absent) also names of machines that the file has no more.
      - For example V([web, db]).
    type: list
    elements: str
    default: []
  parallel:
    description:
      - How many machines are worked on at once. Waiting for a guest to be ready does not count.
      - By default as many as suits the host's cores and free memory. From V(1) on. For example V(2).
    type: int
  on_restart_needed:
    description:
      - As of M(maqet.qemu.maqet_vm), for all machines. For example V(restart).
    type: str
    choices: [defer, restart, fail]
    default: defer
  shutdown_timeout:
    description:
      - Seconds that a guest may take to power down before QEMU is ended. A machine's own C(shutdown_timeout) wins. For example V(10).
    type: float
    default: 60
  timeout:
    description:
      - Seconds for all else that is done to one machine. A machine's own C(timeout) wins. Until it is ready it has its C(ready_timeout).
        For example V(120).
    type: float
    default: 60
  force:
    description:
      - Stop without asking the guests, even machines that do not answer, and give up saved memory. For example V(true).
    type: bool
    default: false
  supervisor:
    description:
      - Who runs new machines and networks, as of M(maqet.qemu.maqet_vm). For example V(process).
    type: str
    choices: [auto, systemd, process]
    default: auto
  hosts:
    description:
      - What the lab file calls the host that the module runs on. Set by the action plugin, as those below.
    type: list
    elements: str
  elsewhere:
    description:
      - What became of machines on other hosts, and of those of this one in runs before, empty for those that are ready.
    type: dict
    default: {}
  wave:
    description:
      - The machines of this host whose turn it is, when those on other hosts depend on some and others on those.
    type: list
    elements: str
  span:
    description:
      - By network whose machines are on several hosts, what was decided for all of them. The addresses of its cards, whether other switches
        are linked to that of this host, and if not, to which it is linked and whether it has a way outside.
    type: dict
  recall:
    description:
      - Only tell which addresses the lab's cards have had on this host.
    type: bool
    default: false
  progress:
    description:
      - The file that is told what is being done, while the module runs.
    type: path
extends_documentation_fragment:
  - maqet.qemu.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: maqet.qemu.maqet_vm
  - module: maqet.qemu.maqet_vm_info
  - module: maqet.qemu.maqet_snapshot
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
- name: The lab runs
  maqet.qemu.maqet_lab:
    src: lab.yml

- name: The lab is what git says, and nothing else
  maqet.qemu.maqet_lab:
    src: lab.yml
    prune: true

- name: A lab without a file
  maqet.qemu.maqet_lab:
    definition:
      lab: shop
      defaults: {memory: 256MiB}
      vms:
        db:
          ready: [{status: running}]
        web:
          count: 3
          depends_on: [db]

- name: What would be done
  maqet.qemu.maqet_lab:
    src: lab.yml
    prune: true
  check_mode: true
  diff: true
  register: plan

- name: In one line
  ansible.builtin.debug:
    var: plan.summary

- name: Two of its machines, with settings for CI laid over the file
  maqet.qemu.maqet_lab:
    src: [lab.yml, lab.ci.yml]
    limit: [db, web-1]

- name: The lab is gone
  maqet.qemu.maqet_lab:
    src: lab.yml
    state: absent
"""

RETURN = r"""
lab:
  description: The lab's name.
  returned: always
  type: str
  sample: shop
summary:
  description:
    - How many machines were, or in check mode would be, created, started, changed, restarted, stopped, removed or left as they are.
    - Then the same of networks, but for those that were left as they are.
  returned: always
  type: str
  sample: 3 to create, 1 to change, 1 pending restart, 12 unchanged, 1 network to create
planned:
  description: Whether all this would be done, and was not, since the task ran in check mode.
  returned: always
  type: bool
  sample: false
vms:
  description: Each machine by its name.
  returned: always
  type: dict
  contains:
    result:
      description:
        - V(created), V(started), V(changed) (while it ran), V(restarted), V(stopped), V(removed), V(unchanged), V(failed) or V(skipped).
      type: str
    actions:
      description: What was done, as M(maqet.qemu.maqet_vm) returns it.
      type: list
      elements: dict
    pending_restart:
      description: What waits for its next start.
      type: list
      elements: str
    vm:
      description: The machine as it is now, as M(maqet.qemu.maqet_vm) returns it.
      type: dict
    ready:
      description: Seconds from its start until it was ready. Null for one without conditions.
      type: float
    host:
      description: The hypervisor that it is on, where the lab names any. Null for the host where the task runs.
      type: str
    addresses:
      description: Those that it has on networks of the lab, and that its cards were given.
      type: list
      elements: str
    skipped:
      description: Why it was left alone, such as the name of the machine that it depends on and that failed. Null otherwise.
      type: str
    error:
      description: What went wrong (C(msg), C(error), C(hint), and more such as C(log), the end of QEMU's log). Null otherwise.
      type: dict
  sample:
    shop-db:
      result: unchanged
      actions: []
      pending_restart: []
      vm: {name: shop-db, status: running}
      ready: 4.2
      host: null
      addresses: [10.10.0.10]
      skipped: null
      error: null
networks:
  description:
    - Each network of the lab that has a switch on this host, by its name. The same keys, without C(ready), C(skipped) and C(addresses). One that
      is on several hosts is there once more for each further one, as C(<name>@<host>).
    - C(vm.links) says of each link to another host whether it is V(up) or V(down).
  returned: always
  type: dict
  sample:
    shop-lan:
      result: created
      actions:
        - {action: start_switch, summary: start the switch}
      error: null
"""

from ansible_collections.maqet.qemu.plugins.module_utils._engine import Engine
from ansible_collections.maqet.qemu.plugins.module_utils._errors import SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._host.progress import Teller
from ansible_collections.maqet.qemu.plugins.module_utils._host.room import affordable
from ansible_collections.maqet.qemu.plugins.module_utils._lab import LabOutcome, LabTask, recall, run_lab
from ansible_collections.maqet.qemu.plugins.module_utils._module import Module, diff, run, warned
from ansible_collections.maqet.qemu.plugins.module_utils._outcome import Outcome
from ansible_collections.maqet.qemu.plugins.module_utils._plan.lab import failure, summary

ARGUMENTS = {
    "src": {"type": "list", "elements": "path"},
    "definition": {"type": "dict"},
    "state": {"type": "str", "choices": ["started", "stopped", "present", "absent"], "default": "started"},
    "prune": {"type": "bool", "default": False},
    "limit": {"type": "list", "elements": "str", "default": []},
    "parallel": {"type": "int"},
    "on_restart_needed": {"type": "str", "choices": ["defer", "restart", "fail"], "default": "defer"},
    "shutdown_timeout": {"type": "float", "default": 60},
    "timeout": {"type": "float", "default": 60},
    "force": {"type": "bool", "default": False},
    "supervisor": {"type": "str", "choices": ["auto", "systemd", "process"], "default": "auto"},
    "hosts": {"type": "list", "elements": "str"},
    "elsewhere": {"type": "dict", "default": {}},
    "wave": {"type": "list", "elements": "str"},
    "span": {"type": "dict"},
    "recall": {"type": "bool", "default": False},
    "progress": {"type": "path"},
}


def work(module: Module, check: bool) -> dict:
    params = module.params
    hide_secrets(module)
    if params["recall"]:
        return {"addresses": recall(params["definition"], Engine().host)}
    task = LabTask(
        state=params["state"],
        prune=params["prune"],
        limit=tuple(params["limit"]),
        hosts=None if params["hosts"] is None else tuple(params["hosts"]),
        elsewhere=params["elsewhere"],
        wave=None if params["wave"] is None else tuple(params["wave"]),
        span=params["span"],
        on_restart_needed=params["on_restart_needed"],
        timeout=params["timeout"],
        shutdown_timeout=params["shutdown_timeout"],
        force=params["force"],
        supervisor=params["supervisor"],
    )
    teller = Teller(params["progress"]) if params["progress"] else None
    try:
        done = run_lab(params["definition"], task, engine=engine(params, teller), check=check)
    finally:
        if teller:
            teller.end()
    result = {**shown(module, done, check), **({"told": teller.told} if teller else {}), **({} if task.hosts is None else {"ends": done.ends})}
    if done.failed:
        module.fail_json(msg=failure(done.name, result["vms"], result["networks"]), **warned(module, result))
    return result


def engine(params: dict, teller: Teller | None) -> Engine:
    parallel = params["parallel"]
    if parallel is not None and parallel < 1:
        raise SpecError("parallel", f"{parallel} is not allowed", hint="Use how many machines are worked on at once, from 1, or leave it out")
    made = Engine(parallel=parallel or 0, tell=teller)
    made.parallel = parallel or affordable(made.parallel)
    return made


def shown(module: Module, done: LabOutcome, check: bool) -> dict:
    """The task's result."""
    members = {
        name: described(member.outcome, member.kind, ready=member.ready, skipped=member.skipped or None, addresses=done.addresses.get(name, []))
        for name, member in done.members.items()
    }
    networks = {name: described(network.outcome, network.kind) for name, network in done.networks.items()}
    said = summary(members, check=check, networks=networks)
    # A network may be called as a machine is.
    outcomes = [(f"network {name}", network.outcome) for name, network in done.networks.items()]
    outcomes += [(name, member.outcome) for name, member in done.members.items()]
    diffs = [part for name, outcome in outcomes for part in diff(module, name, outcome)]
    return {
        "changed": done.changed,
        "lab": done.name,
        "summary": said,
        "planned": check,
        "vms": members,
        "networks": networks,
        "warnings": [*done.warnings, *warnings_of(outcomes)],
        "diff": [*diffs, {"prepared": f"{done.name}: {said}\n"}] if diffs else [],
    }


def warnings_of(outcomes: list) -> list:
    """Each warning once, with whom it is about."""
    about: dict[str, list] = {}
    for name, outcome in outcomes:
        for words in dict.fromkeys(outcome.warnings):
            about.setdefault(words, []).append(name)
    return [f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {words}" for words, names in about.items()]


def described(outcome: Outcome, kind: str, **more: object) -> dict:
    error = outcome.error
    said = {"msg": error.message, "error": type(error).__name__, "hint": error.hint, **error.data} if error else None
    facts = {"result": kind, "actions": outcome.actions, "pending_restart": outcome.pending_restart, "vm": outcome.vm}
    return {**facts, "host": None, **more, "error": said}


def hide_secrets(module: Module) -> None:
    """As of maqet_vm: QEMU's own property dicts may hold secrets, which no result shows."""
    definition = module.params["definition"] or {}
    named = [place for key in ("profiles", "vms") if isinstance(definition.get(key), dict) for place in definition[key].values()]
    places = [place for place in (definition.get("defaults"), *named) if isinstance(place, dict)]
    escapes = [place[option] for place in places for option in ("objects", "devices") if place.get(option)]
    if escapes:
        from ansible_collections.maqet.qemu.plugins.module_utils._spec.qmp_schema import secrets

        module.no_log_values.update(secrets(escapes))


def main() -> None:
    run(work, ARGUMENTS, mutually_exclusive=[("src", "definition")], required_one_of=[("src", "definition")])


if __name__ == "__main__":
    main()
