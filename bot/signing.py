"""Signed words: cookies, links and button ids that only we can have made. Keys are made once and kept.

A token is `payload.expiry.mac` with the expiry in base 36 and a MAC of 96 bits over purpose, payload and
expiry (RFC 2104 with SHA-256, truncated as its section 5 allows), so that a button fits Telegram's 64 bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

_MAC_BYTES = 12
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Signer:
    """Signs with one secret key; each purpose has its own sub-key, so a cookie never passes for a link."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("a signing key has at least 32 bytes")
        self._key = key

    def sign(self, purpose: str, payload: str, *, expires: int | None = None) -> str:
        """`expires` is a Unix time in seconds; None never expires. The payload may not be secret."""
        until = _base36(expires) if expires is not None else ""
        return f"{payload}.{until}.{self._mac(purpose, payload, until)}"

    def verify(self, purpose: str, token: str, *, now: int) -> str | None:
        """The payload, or None for a token that is forged, of another purpose, or past its time."""
        payload, _, rest = token.rpartition(".")[0].rpartition(".")
        mac = token.rpartition(".")[2]
        if not hmac.compare_digest(_bytes(mac), self._mac(purpose, payload, rest).encode()):
            return None
        return None if rest and int(rest, 36) <= now else payload

    def digest(self, purpose: str, text: str) -> str:
        """A pseudonym for `text`: the same text gives the same one, and nobody without the key can go back."""
        return self._mac(purpose, text, "")

    def _mac(self, purpose: str, payload: str, until: str) -> str:
        subkey = hmac.digest(self._key, purpose.encode(), hashlib.sha256)
        mac = hmac.digest(subkey, _bytes(f"{payload}.{until}"), hashlib.sha256)
        return base64.urlsafe_b64encode(mac[:_MAC_BYTES]).decode()


def load_key(path: Path) -> bytes:
    """The instance's signing key: read from `path`, or made there (mode 600) by whoever comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        return bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        pass
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was first: its key is the key
    finally:
        fresh.unlink()
    return bytes.fromhex(path.read_text().strip())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a hostile token may hold lone surrogates


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"
