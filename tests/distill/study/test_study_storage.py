"""Storage that cannot be used is named, with its password hidden and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from densedistill.distill.errors import RequestError
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


def test_only_the_password_is_hidden() -> None:
    assert hidden("postgresql://me:a:b@host:5432/name") == "postgresql://me:***@host:5432/name"
    assert hidden("sqlite:///a/b.db") == "sqlite:///a/b.db"
