from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.text.secrets import masked


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://me:secret@host/db", "mysql://me:***@host/db"),
        ("mysql://me:se@cret@host/db", "mysql://me:***@host/db"),
        ("mysql://me:se/c:r@et@host/db", "mysql://me:***@host/db"),
        ("(mysql+pymysql://me:x@h/db) failed", "(mysql+pymysql://me:***@h/db) failed"),
        ("https://token@host", "https://***@host"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("http://h/p?user=a&password=abc&x=1", "http://h/p?user=a&password=***&x=1"),
        ("mssql://h/db?odbc_connect=PWD%3Dabc", "mssql://h/db?odbc_connect=***"),
        ("sqlite:////home/a:b/c@d/mlflow.db", "sqlite:////home/a:b/c@d/mlflow.db"),
        ("http://host:5000/a", "http://host:5000/a"),
        ("write to me@x.org, or see http://host", "write to me@x.org, or see http://host"),
    ],
)
def test_passwords_and_tokens_are_hidden(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_known_password_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://me:s%40c%20ret@host/db"
    assert masked("no entry for 's@c ret' or s%40c%20ret", address) == "no entry for '***' or ***"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert "s@c ret" not in masked("no entry for 's@c ret'")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abcdef")
    assert masked("Bearer abcdef") == "Bearer ***"


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=4))
def test_no_password_of_a_known_address_is_shown(password: str) -> None:
    address = f"postgresql://me:§{password}@host/db"
    assert f"§{password}" not in masked(f"{address} failed: §{password}", address)
