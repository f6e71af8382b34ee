"""Signed words: only ours, only for their purpose, only in their time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.signing import Signer, load_key

SIGNER = Signer(b"k" * 32)


@given(st.text(max_size=40), st.integers(1, 2**33))
def test_what_was_signed_comes_back_until_its_time_is_over(payload: str, expires: int) -> None:
    token = SIGNER.sign("button", payload, expires=expires)
    assert SIGNER.verify("button", token, now=expires - 1) == payload
    assert SIGNER.verify("button", token, now=expires) is None
    assert SIGNER.verify("cookie", token, now=0) is None
    assert Signer(b"x" * 32).verify("button", token, now=0) is None


@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_nothing_else_passes_and_nothing_is_raised(token: str) -> None:
    assert SIGNER.verify("button", token, now=0) is None


@given(st.integers(0, 60), st.characters())
def test_a_changed_token_does_not_pass(place: int, char: str) -> None:
    token = SIGNER.sign("button", "ag-123456789", expires=1_800_000_000)
    changed = token[:place] + char + token[place + 1 :]
    assert changed == token or SIGNER.verify("button", changed, now=0) is None


def test_a_button_fits_telegrams_64_bytes() -> None:
    assert len(SIGNER.sign("button", f"ag-{2**63}", expires=2**40)) <= 64


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.key"
    assert load_key(path) == load_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(b"short")
