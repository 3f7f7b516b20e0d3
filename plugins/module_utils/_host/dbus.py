# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's systemd over D-Bus, by the library ``jeepney``: typed values, and no program started for a call.

``systemd-run`` and ``systemctl`` would cost a third of what starting a machine costs.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from .._errors import HostError

_NAME = "org.freedesktop.systemd1"
_MANAGER = ("/org/freedesktop/systemd1", f"{_NAME}.Manager")
_SECONDS = 30
_MISSING = "Install python3-jeepney, or pip install 'jeepney>=0.8' for that Python, or apply the role maqet.qemu.host"


class SystemdError(HostError):
    """systemd refused a call.

    :param error_name: D-Bus's name of the error, such as ``org.freedesktop.systemd1.UnitExists``.
    """

    def __init__(self, method: str, error_name: str, words: str) -> None:
        super().__init__(f"systemd refused {method}: {words}", error_name=error_name)
        self.error_name = error_name


def bus_socket(runtime: str) -> str:
    """The user's message bus."""
    return f"{runtime}/bus"


class Manager:
    """One connection to the user's systemd for all machines of a task, opened by the first call."""

    def __init__(self, runtime: str) -> None:
        self._runtime = runtime
        self._router: Any = None
        self._opening = asyncio.Lock()
        self._open = AsyncExitStack()

    async def call(self, method: str, signature: str = "", *body: Any) -> tuple[Any, ...]:
        """A method of the manager; its answer.

        :raises SystemdError: it was refused. :raises HostError: systemd does not answer.
        """
        return await self._call(*_MANAGER, method, signature, body)

    async def properties(self, path: str, interface: str) -> dict[str, Any]:
        """All properties of an object, by name, without their types."""
        found = (await self._call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", (f"{_NAME}.{interface}",)))[0]
        return {name: value for name, (_type, value) in found.items()}

    async def close(self) -> None:
        await self._open.aclose()
        self._router = None

    async def _call(self, path: str, interface: str, method: str, signature: str, body: tuple[Any, ...]) -> tuple[Any, ...]:
        router = await self._connected()
        from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call

        message = new_method_call(DBusAddress(path, bus_name=_NAME, interface=interface), method, signature, body)
        try:
            reply = await asyncio.wait_for(router.send_and_get_reply(message), _SECONDS)
        except (asyncio.TimeoutError, OSError, EOFError) as exc:
            raise HostError(f"the user's systemd did not answer {method}: {exc!r}", hint="Look at systemctl --user status") from exc
        if reply.header.message_type is MessageType.error:
            words = reply.body[0] if reply.body else ""
            raise SystemdError(method, reply.header.fields.get(HeaderFields.error_name, ""), str(words))
        answer: tuple[Any, ...] = reply.body
        return answer

    async def _connected(self) -> Any:
        async with self._opening:
            if self._router is None:
                try:
                    from jeepney.io.asyncio import open_dbus_router
                except ImportError as exc:
                    raise HostError("the Python library jeepney is missing where the module runs", hint=_MISSING) from exc
                address = f"unix:path={bus_socket(self._runtime)}"
                try:
                    self._router = await self._open.enter_async_context(open_dbus_router(bus=address))
                except (OSError, EOFError) as exc:
                    raise HostError(f"the user's systemd does not answer at {address}: {exc}", hint="Look at systemctl --user status") from exc
            return self._router
