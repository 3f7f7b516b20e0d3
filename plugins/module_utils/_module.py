# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge: Ansible's parameters in, the engine's answer out. Nothing below knows of ``AnsibleModule``."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ._errors import HostError, MaqetError

if TYPE_CHECKING:
    from ._outcome import Outcome


# Options that have URLs.
_SOURCES = ("images", "url", "checksum")
# A whole lab: whatever its machines may hold.
_DEFINITION = "definition"
# What replaces those of a module's parameters that nobody shall see.
Hide = Callable[[dict[str, Any]], dict[str, Any]]


class Module(AnsibleModule):  # type: ignore[misc]
    """Ansible's own, which also says what an unknown option was probably meant to be, and keeps what a guest is handed out of
    the host's log and of what -vvv shows."""

    params: dict[str, Any]

    def __init__(self, hide: Hide | None = None, **known: Any) -> None:
        # Ansible's own may end the module, and shows then what it was given.
        self._hide = hide
        super().__init__(**known)

    def _shown(self) -> dict[str, Any]:
        params = getattr(self, "params", {})
        return {**veiled(params), **(self._hide(params) if self._hide else {})}

    def _log_invocation(self) -> None:
        params, self.params = self.params, self._shown()
        super()._log_invocation()
        self.params = params

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        kwargs.setdefault("invocation", {"module_args": self._shown()})
        super()._return_formatted(kwargs)
        gc.freeze()  # looking for cycles at the end takes 17 ms of the processor, which may have guests that begin

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:  # type: ignore[misc]
        checked = getattr(self, "validation_result", None)
        unknown = sorted(getattr(checked, "unsupported_parameters", ()) or (), key=str)
        if unknown and not kwargs:
            msg = "; ".join(_unknown(name, self.argument_spec) for name in unknown)
        if checked and not kwargs:
            msg = _named(self, msg)
        super().fail_json(msg=msg, **kwargs)


def _named(module: Module, message: str) -> str:
    """With the machine, the image or the lab that the task is about."""
    name = module.params.get("name", module.params.get("image", (module.params.get(_DEFINITION) or {}).get("lab")))
    return f"{name}: {message}" if isinstance(name, str) else message


def veiled(params: dict[str, Any]) -> dict[str, Any]:
    """The same without what may hold a guest's passwords."""
    from ._spec.arguments import VEILED

    shown = {name: "********" if value and name in (*VEILED, _DEFINITION) else value for name, value in params.items()}
    if any(params.get(name) for name in _SOURCES):
        from ._spec.image import concealed

        shown.update({name: concealed(params[name]) for name in _SOURCES if name in params})
    return shown


def _unknown(name: Any, argument_spec: dict[str, Any]) -> str:
    from ._spec.validate import nearest

    words = name.split(".") if isinstance(name, str) else list(name)
    known = argument_spec
    for word in words[:-1]:
        known = known.get(word, {}).get("options") or {}
    return f"{'.'.join(words)}: is no option here. {nearest(words[-1], list(known))}"


def run(work: Callable[[Module, bool], dict[str, Any]], argument_spec: dict[str, Any], hide: Hide | None = None, **rules: Any) -> None:
    """Do a module's work, or only look, in check mode: what it returns is the result, what it raises the failure.

    :param hide: of the parameters, what is shown in place of those that are secret.
    """
    module = Module(hide, argument_spec=argument_spec, supports_check_mode=True, **rules)
    try:
        result = work(module, module.check_mode)
    except MaqetError as exc:
        fail(module, exc)
    except OSError as exc:
        fail(module, HostError(f"{exc.filename or 'this host'}: {exc.strerror or exc}", hint="Check its owner, its mode and the free space"))
    module.exit_json(**warned(module, result))


def warned(module: Module, result: dict[str, Any]) -> dict[str, Any]:
    """The result without its warnings, which are said."""
    for words in dict.fromkeys(result.get("warnings", ())):
        module.warn(words)
    return {key: value for key, value in result.items() if key != "warnings"}


def fail(module: Module, error: MaqetError, **result: Any) -> NoReturn:
    """End with an error that names the machine or the image, says what to do, and carries its data."""
    module.fail_json(msg=_named(module, str(error)), error=type(error).__name__, hint=error.hint, **{**error.data, **result})


def diff(module: Module, name: str, outcome: Outcome) -> list[dict[str, Any]]:
    """Ansible's diff, where it is asked for: the declaration before and after, the actions in order, and what waits."""
    if not outcome.actions or not module._diff:
        return []
    lines = [line for number, action in enumerate(outcome.actions, 1) for line in _action_lines(number, action)]
    if outcome.pending_restart:
        lines.append(f"waits for the next start: {', '.join(outcome.pending_restart)}")
    texts = {"before": _yaml(outcome.before), "after": _yaml(outcome.after), "before_header": name, "after_header": name}
    return [texts, {"prepared": "\n".join(["actions:", *lines, ""])}]


def _action_lines(number: int, action: dict[str, Any]) -> list[str]:
    """The action, and beneath it what exactly is said to QEMU, changes in its command line, is made of files."""
    import json

    more = [json.dumps(command) for command in action.get("commands", ())] + action.get("argv_changes", [])
    more += [action[key] for key in ("file", "directory") if key in action]
    return [f"  {number}. {action['summary']}", *(f"       {line}" for line in more)]


def _yaml(data: dict[str, Any]) -> str:
    if not data:
        return ""
    try:
        import yaml
    except ImportError:
        import json

        return json.dumps(data, indent=2, sort_keys=True) + "\n"
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C where libyaml is there: ten times quicker
    text: str = yaml.dump(data, Dumper=dumper, default_flow_style=False, sort_keys=True, allow_unicode=True)
    return text
