"""Where trials are kept: an SQLite file by default, a database server by URL, a journal file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from densedistill.distill.errors import RequestError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "journal:"
"""What the name of a journal file begins with."""
SQLITE_PATIENCE_SECONDS = 120
"""How long a process waits for others to let go of the file."""


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
        options = {"connect_args": {"timeout": SQLITE_PATIENCE_SECONDS}} if url.startswith("sqlite") else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=options))
    except (ImportError, ArgumentError) as error:
        raise RequestError(
            f"storage '{hidden(url)}' cannot be used ({_first_line(error)}): give a URL of SQLAlchemy with its driver "
            "installed (sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, mysql+pymysql://...), or journal:FILE."
        ) from None
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        raise RequestError(
            f"storage '{hidden(url)}' cannot be reached ({_first_line(error)}): start the server, mend the address, or "
            "leave --storage out for a file in the study's folder."
        ) from None


def hidden(url: str) -> str:
    """`url` without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _journal(path: Path) -> BaseStorage:
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def _make_folder_of(url: str) -> None:
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
