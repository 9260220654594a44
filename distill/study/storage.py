"""Where trials are kept: an SQLite file by default, a database server by URL, a journal file."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densedistill.distill.errors import RequestError, first_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from sqlalchemy import Connection, Engine

JOURNAL = "journal:"
"""What the name of a journal file begins with."""
SQLITE_PATIENCE_SECONDS = 120
"""How long a process waits for others to let go of the file."""
OPENINGS = 6
"""How often a new database is opened before others' making of its tables counts as a fault."""


def open_storage(name: str | None, folder: Path) -> BaseStorage:
    """The storage `name`: a database URL, `journal:FILE`, or None for `optuna.db` in `folder`.

    Raises:
        RequestError: the database cannot be reached, its driver is not installed, or the file cannot be written.
    """
    import optuna
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = name or f"sqlite:///{(folder / 'optuna.db').absolute()}"
    try:
        if url.startswith(JOURNAL):
            return _journal(Path(url.removeprefix(JOURNAL)))
        _make_folder_of(url)
        return _database(url)
    except (ImportError, ArgumentError) as error:
        raise RequestError(
            f"storage '{hidden(url)}' cannot be used ({first_line(error)}): give a URL of SQLAlchemy with its driver "
            "installed (sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, mysql+pymysql://...), or journal:FILE."
        ) from None
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        raise RequestError(
            f"storage '{hidden(url)}' cannot be reached ({first_line(error)}): start the server, mend the address, or "
            "leave --storage out for a file in the study's folder."
        ) from None


def hidden(url: str) -> str:
    """`url` without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _database(url: str) -> BaseStorage:
    """Open it, and make its tables where they are not there: of two processes that begin at once, one makes them."""
    import optuna
    from sqlalchemy.exc import IntegrityError, OperationalError
    from sqlalchemy.pool import NullPool

    options: dict[str, object] = {}
    if url.startswith("sqlite"):
        # No pool: one would keep a connection open for each thread that ever asked, and nothing would close them.
        options = {"connect_args": {"timeout": SQLITE_PATIENCE_SECONDS}, "poolclass": NullPool}
    for left in reversed(range(OPENINGS)):
        try:
            opened = optuna.storages.RDBStorage(url, engine_kwargs=options)
            if options:
                _one_at_a_time(opened.engine)
            return optuna.storages.get_storage(opened)
        except (IntegrityError, OperationalError) as error:
            made_meanwhile = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not (made_meanwhile and left):
                raise
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("the last turn returns or raises")


def _one_at_a_time(engine: Engine) -> None:
    """Let every transaction on SQLite begin as a writer's.

    Optuna reads a trial's state and then sets it, with a row lock that SQLite does not have: two processes could both
    find a trial WAITING and both take it.
    """
    from sqlalchemy import event

    def connected(connection: Any, _record: object) -> None:
        # Python's driver would begin transactions itself, and only before the first change.
        connection.isolation_level = None

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    engine.dispose()


def _journal(path: Path) -> BaseStorage:
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def _make_folder_of(url: str) -> None:
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
