# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: maqet_guest
short_description: Run tasks in a machine's guest through its agent
version_added: 0.1.0
description:
  - Runs commands in a guest, and copies files to and from it, through its QEMU guest agent. The guest needs no network, no ssh and no
    credentials; the machine has the channel for it unless it declares C(guest_agent=false).
  - Tasks run as the agent's user, C(root) in nearly all guests. C(ansible_user) is not used; C(become) leads to other users.
  - A command outlives a restart of its agent, and its result is fetched from the next one.
  - Guests with Windows are reached with C(ansible_shell_type=powershell).
options:
  vm:
    description:
      - The machine's name. For example V(web).
      - The host's name in the inventory when left out.
    type: str
    vars:
      - name: inventory_hostname
      - name: maqet_guest_vm
  hypervisor:
    description:
      - Who runs the machine. V(localhost) is this host, with the machines of the user who runs Ansible.
      - Any other host of the inventory is asked for the machine's socket once, and that is forwarded by an ssh with this host's own
        variables (address, port, user, key, ssh arguments). It needs a key or an agent of ssh, since no password is given to it. The user
        it logs in as is the machine's; C(become) does not work there.
      - For example V(hv1).
    type: str
    default: localhost
    vars:
      - name: maqet_guest_hypervisor
  agent_timeout:
    description:
      - Seconds for which the agent may say nothing, be it since it has yet to come up. How long a command may run is not limited.
      - For example V(120).
    type: float
    default: 30
    vars:
      - name: maqet_guest_timeout
    env:
      - name: MAQET_GUEST_TIMEOUT
  pipelining:
    description:
      - Hand modules to the guest's Python by its standard input, instead of copying them first. Other than by ssh nothing stands against
        it here, so it is the default.
      - For example V(false).
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
      - name: maqet_guest_pipelining
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: connection
        key: pipelining
      - section: defaults
        key: pipelining
notes:
  - The Python that runs Ansible needs the library C(qemu.qmp).
  - An agent serves one client at a time. Several tasks at once in one guest take turns, each for half a second.
  - Nothing answers a password prompt. C(root) is asked for none by C(sudo) and C(su).
seealso:
  - module: maqet.qemu.maqet_vm
  - plugin: maqet.qemu.maqet
    plugin_type: inventory
author:
  - The maqet.qemu authors (@maqet)
"""

EXAMPLES = r"""
# hosts.yml: machines on this host, and one on another
machines:
  hosts:
    web:
    database:
      maqet_guest_vm: shop-db
    far:
      maqet_guest_hypervisor: hv1
      maqet_guest_timeout: 120
  vars:
    ansible_connection: maqet.qemu.maqet_guest
hypervisors:
  hosts:
    hv1: {ansible_host: 192.168.1.5, ansible_user: vm}

---
# A machine that is started, and what goes into its guest
- hosts: localhost
  connection: local
  tasks:
    - maqet.qemu.maqet_vm:
        name: web
        disks: [{name: root, image: debian-12, size: 8GiB}]
    - maqet.qemu.maqet_wait:
        name: web
        conditions: [{agent: true}]

- hosts: web
  connection: maqet.qemu.maqet_guest
  tasks:
    - ansible.builtin.package:
        name: nginx
    - ansible.builtin.copy:
        src: site/
        dest: /var/www/html/

---
# Windows
windows:
  hosts:
    desktop:
  vars:
    ansible_connection: maqet.qemu.maqet_guest
    ansible_shell_type: powershell
"""

import os
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from ansible_collections.maqet.qemu.plugins.module_utils._errors import MaqetError
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest import Guest
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_session import Session
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_tunnel import There
from ansible_collections.maqet.qemu.plugins.plugin_utils._guest_way import Here

display = Display()
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Connection(ConnectionBase):  # type: ignore[misc]
    transport = "maqet.qemu.maqet_guest"
    has_pipelining = True
    has_tty = False
    default_user = "root"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connected: bool = False
        self._session: Session | None = None
        self._hostvars: Any = {}
        # Of this run: the process that starts the tasks, which resets connections itself.
        self._run_of = int(kwargs.get("ansible_playbook_pid") or os.getpid())
        self._is_windows = bool(getattr(self._shell, "_IS_WINDOWS", False))
        if self._is_windows:
            self.has_native_async = self.always_pipeline_modules = True
            self.module_implementation_preferences = (".ps1", ".exe", "")
            self.allow_executable = False

    def _resolve_option_variables(self, variables: Any, templar: Any) -> Any:
        """A connection keeps its own host's options alone; here all that the task has goes by, and the hypervisor's variables with it."""
        self._hostvars = variables.get("hostvars", {})
        return super()._resolve_option_variables(variables, templar)

    def _connect(self) -> Connection:
        if not self._connected:
            way = self._way()
            try:
                way.prepare()
            except MaqetError as exc:
                raise AnsibleConnectionFailure(str(exc)) from exc
            self._session = Session(way, self.get_option("agent_timeout"))
            self._connected = True
        return self

    def _way(self) -> Here | There:
        hypervisor = str(self.get_option("hypervisor"))
        return Here(self._vm()) if hypervisor in _LOCAL else There(self._vm(), hypervisor, self._run_of, self._hostvars)

    def _vm(self) -> str:
        return str(self.get_option("vm") or self._play_context.remote_addr)

    def exec_command(self, cmd: Any, in_data: Any = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        text = cmd.decode() if isinstance(cmd, bytes) else str(cmd)
        data = in_data.encode() if isinstance(in_data, str) else in_data
        display.vvv(f"EXEC {text}", host=self._vm())
        return self._run_windows(text, data) if self._is_windows else tuple(self._run(lambda guest: guest.run_shell(text, data)))

    def _run_windows(self, command: str, data: bytes | None) -> tuple[int, bytes, bytes]:
        from ansible.plugins.shell.powershell import _parse_clixml

        is_whole = " -EncodedCommand " in command
        argv = command.split() if is_whole else self._shell._encode_script(command, as_list=True, strict_mode=False, preserve_rc=False)
        code, out, err = self._run(lambda guest: guest.run([str(word) for word in argv], data))
        return code, out, _parse_clixml(err) if err.startswith(b"#< CLIXML") else err

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._vm())
        if not os.path.exists(in_path):
            raise AnsibleFileNotFound(f"there is no file {in_path}")
        with open(in_path, "rb") as file:
            self._run(lambda guest: guest.put(file, self._path(out_path)))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._vm())
        with open(out_path, "wb") as file:
            self._run(lambda guest: guest.fetch(self._path(in_path), file))

    def _path(self, path: str) -> str:
        return str(self._shell._unquote(path)) if self._is_windows else path

    def _run(self, work: Any) -> Any:
        if self._session is None:
            raise AnsibleConnectionFailure("the connection is closed")
        try:
            return self._session.run(work(Guest(self._session)))
        except MaqetError as exc:
            raise AnsibleConnectionFailure(str(self._way().explain(exc))) from exc

    def reset(self) -> None:
        """Let go of all that is kept for the machine."""
        self.close()
        self._way().close()

    def close(self) -> None:
        if self._session:
            self._session.close()
            self._session = None
        self._connected = False
