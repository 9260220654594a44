"""Storage that cannot be used is named, with its password hidden and a way out."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from densedistill.distill.errors import RequestError
from densedistill.distill.study.queue import Job, Queue
from densedistill.distill.study.storage import hidden, open_storage


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql+nodriver://me:secret@host/name", ("cannot be used", "me:***@host")),
        ("no url at all", ("cannot be used", "journal:FILE")),
        ("sqlite:////proc/no/such/place.db", ("cannot be reached", "--storage")),
    ],
)
def test_what_cannot_be_opened_is_said(url: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        open_storage(url, tmp_path)
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_default_lies_in_the_study(tmp_path: Path) -> None:
    open_storage(None, tmp_path / "study")
    assert (tmp_path / "study" / "optuna.db").is_file()


def test_no_connection_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody closes a storage: what it left open would be a ResourceWarning of Python 3.13, and an error here."""
    open_: set[int] = set()

    class Watched(sqlite3.Connection):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            open_.add(id(self))

        def close(self) -> None:
            open_.discard(id(self))
            super().close()

    connect = sqlite3.dbapi2.connect
    monkeypatch.setattr(sqlite3.dbapi2, "connect", lambda *given, **named: connect(*given, **named, factory=Watched))

    def work(folder: Path) -> None:
        queue = Queue(open_storage(None, folder), "q", higher_is_better=True, jobs=[Job("a", {})], retries=0)
        claimed = queue.claim(lambda _key: True)
        assert claimed is not None
        with claimed:
            claimed.done(1.0, {})

    work(tmp_path / "here")
    thread = threading.Thread(target=work, args=(tmp_path / "in a thread",))
    thread.start()
    thread.join()
    assert open_ == set()


def test_only_the_password_is_hidden() -> None:
    assert hidden("postgresql://me:a:b@host:5432/name") == "postgresql://me:***@host:5432/name"
    assert hidden("sqlite:///a/b.db") == "sqlite:///a/b.db"
