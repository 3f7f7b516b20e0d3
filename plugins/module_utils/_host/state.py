# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state DB: one row a machine or a network, and the host ports that machines hold.

Each row is also kept as ``machine.json`` or ``network.json`` in a directory of its own, so a DB that is lost or torn is made again from
those. Rows are written before the side effects that they announce; no transaction is held across one.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .._errors import HostError, StateError
from .._plan.record import Record
from .._spec.forward import forwards
from .paths import Paths, make_private, write_private

if TYPE_CHECKING:
    from .._plan.network import NetworkRecord
    from .twins import Twins

# What each version brought.
_TABLES = (
    """
CREATE TABLE machines (name TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE ports (protocol TEXT, port INTEGER, listen TEXT, machine TEXT NOT NULL, PRIMARY KEY (protocol, port, listen))
""",
    "CREATE TABLE networks (name TEXT PRIMARY KEY, record TEXT NOT NULL)",
)
USER_VERSION = len(_TABLES)
_SELECT = """
SELECT record FROM {} WHERE ?1 = 'null' OR name IN (SELECT value FROM json_each(?1)) ORDER BY name
"""
_BUSY_SECONDS = 30
# Releases before 3.51.3 can corrupt a DB when its WAL is reset (sqlite.org, release log of 3.51.3).
_WAL_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)


class Store:
    """
    :param paths: where the DB and the machines are.
    :param warnings: what was repaired on the way, for the user.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._connection: sqlite3.Connection | None = None
        self.warnings: list[str] = []
        # A save runs in a thread of its own while other machines go on.
        self._lock = threading.RLock()

    def load(self, names: list[str] | None = None) -> dict[str, Record]:
        """The records by name; without a usable DB, those in the machines' directories. Writes nothing."""
        with self._lock:
            return self._load(names)

    def _load(self, names: list[str] | None) -> dict[str, Record]:
        try:
            connection = self._open() if os.path.exists(self._paths.db) else None
            if connection is None:
                return self._twins.machines(names)
            rows = connection.execute(_SELECT.format("machines"), (json.dumps(names),)).fetchall()
            records = {record.name: record for record in (self._record(row[0]) for row in rows)}
            for name in names or ():
                if name not in records:  # its directory may have come from a backup
                    records.update(self._twins.machines([name]))
            return records
        except sqlite3.DatabaseError as exc:
            if not _is_torn(exc):
                raise self._explain(exc) from exc
            self.close()
            return self._twins.machines(names)

    def _record(self, text: str) -> Record:
        try:
            return Record.load(json.loads(text))
        except (ValueError, TypeError, AttributeError) as exc:
            raise StateError(f"a row of {self._paths.db} cannot be read", hint="Remove that file: it is made again from the machines' directories") from exc

    def of_lab(self, lab: str) -> list[str]:
        """The names of the machines that the lab made."""
        return [name for name, record in self.load().items() if record.lab == lab]

    def save(self, records: list[Record]) -> None:
        """Store the records, their host ports with them: all or none.

        :raises HostError: when another machine holds one of the ports.
        """
        # Before the DB: where one cannot be made, no empty DB is left either.
        with _directories([record.directory for record in records]), self._transaction() as connection:
            for record in records:
                text = json.dumps(record.dump())
                self._hold_ports(connection, record)
                connection.execute("INSERT OR REPLACE INTO machines VALUES (?, ?)", (record.name, text))
                # The row's twin is written inside the transaction: neither is there without the other.
                write_private(f"{record.directory}/machine.json", text)

    def forget(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM ports WHERE machine = ?", (name,))
            connection.execute("DELETE FROM machines WHERE name = ?", (name,))

    def networks(self, names: list[str] | None = None) -> dict[str, NetworkRecord]:
        """The networks' records by name, as :meth:`load` has the machines'."""
        with self._lock:
            try:
                connection = self._open() if os.path.exists(self._paths.db) else None
                if connection is None or connection.execute("PRAGMA user_version").fetchone()[0] < USER_VERSION:
                    return self._twins.networks(names)
                rows = connection.execute(_SELECT.format("networks"), (json.dumps(names),)).fetchall()
                records = {record.name: record for record in (_network(json.loads(row[0])) for row in rows)}
                lost = [name for name in names or () if name not in records]
                return {**records, **(self._twins.networks(lost) if lost else {})}
            except sqlite3.DatabaseError as exc:
                if not _is_torn(exc):
                    raise self._explain(exc) from exc
                self.close()
                return self._twins.networks(names)

    def save_network(self, record: NetworkRecord) -> None:
        with _directories([record.directory]), self._transaction() as connection:
            text = json.dumps(record.dump())
            connection.execute("INSERT OR REPLACE INTO networks VALUES (?, ?)", (record.name, text))
            write_private(f"{record.directory}/network.json", text)

    def forget_network(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM networks WHERE name = ?", (name,))

    def ports(self) -> dict[tuple[str, int], str]:
        """Who holds which ``(protocol, port)``."""
        with self._lock:
            try:
                if os.path.exists(self._paths.db):
                    rows = self._open().execute("SELECT protocol, port, machine FROM ports").fetchall()
                    return {(protocol, port): machine for protocol, port, machine in rows}
            except sqlite3.DatabaseError as exc:
                if not _is_torn(exc):
                    raise self._explain(exc) from exc
            taken: dict[tuple[str, int], str] = {}
            for record in self._twins.machines().values():
                taken.update({(item.protocol, item.host): record.name for item in forwards(record.declared, record.identity) if item.host})
            return taken

    @property
    def _twins(self) -> Twins:
        from .twins import Twins

        return Twins(self._paths, self.warnings)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            connection = self._ready()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self._explain(exc) from exc

    def _hold_ports(self, connection: sqlite3.Connection, record: Record) -> None:
        connection.execute("DELETE FROM ports WHERE machine = ?", (record.name,))
        for item in forwards(record.declared, record.identity):
            try:
                connection.execute("INSERT INTO ports VALUES (?, ?, ?, ?)", (item.protocol, item.host, item.listen, record.name))
            except sqlite3.IntegrityError as exc:
                raise HostError(
                    f"host port {item.host}/{item.protocol} is held by another machine", hint="Use another port, or host: auto", port=item.host
                ) from exc

    def _ready(self) -> sqlite3.Connection:
        """The DB for writing: made when absent, made again when torn."""
        make_private(self._paths.state)
        try:
            connection = self._open()
            if connection.execute("PRAGMA user_version").fetchone()[0] == USER_VERSION:
                return connection
            self._make(connection)
            return connection
        except sqlite3.DatabaseError as exc:
            if not _is_torn(exc):
                raise
        self._set_aside()
        connection = self._open()
        self._make(connection)
        return connection

    def _make(self, connection: sqlite3.Connection) -> None:
        """Tables, those of older releases brought up to date, and what the directories know; whoever comes second finds it done."""
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statement in ";".join(_TABLES[version:]).split(";"):
            connection.execute(statement)
        if version == 0:
            for record in self._twins.machines().values():
                connection.execute("INSERT INTO machines VALUES (?, ?)", (record.name, json.dumps(record.dump())))
                self._hold_ports(connection, record)
        if version < USER_VERSION:
            for network in self._twins.networks().values():
                connection.execute("INSERT INTO networks VALUES (?, ?)", (network.name, json.dumps(network.dump())))
            connection.execute(f"PRAGMA user_version = {USER_VERSION}")
        connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            previous = os.umask(0o077)
            try:
                self._connection = sqlite3.connect(self._paths.db, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            finally:
                os.umask(previous)
            self._connection.execute("PRAGMA synchronous = FULL")
            if _WAL_IS_SAFE:
                self._connection.execute("PRAGMA journal_mode = WAL")
            self._check_version(self._connection)
        return self._connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > USER_VERSION:
            raise StateError(
                f"{self._paths.db} was written by a newer maqet.qemu (version {version}, here {USER_VERSION})",
                hint="Update the collection on this host",
            )

    def _set_aside(self) -> None:
        self.close()
        aside = f"{self._paths.db}.torn-{int(time.time())}"
        os.replace(self._paths.db, aside)
        self.warnings.append(f"the state DB was damaged: it was made again from the machines' directories, and kept as {aside}")

    def _explain(self, exc: sqlite3.Error) -> StateError:
        return StateError(f"the state DB {self._paths.db} cannot be used: {exc}", hint="Check its owner, its mode and the free space")


@contextmanager
def _directories(paths: list[str]) -> Iterator[None]:
    """They are there; where what follows comes to nothing, no empty one stays that was not there before."""
    fresh = [path for path in paths if not os.path.isdir(path)]
    try:
        for path in paths:
            make_private(path)
        yield
    except BaseException:
        for path in fresh:
            with suppress(OSError):
                os.rmdir(path)
        raise


def _network(data: dict[str, Any]) -> NetworkRecord:
    from .._plan.network import NetworkRecord

    return NetworkRecord.load(data)


def _is_torn(exc: sqlite3.DatabaseError) -> bool:
    return any(words in str(exc) for words in ("not a database", "malformed", "no such table"))
