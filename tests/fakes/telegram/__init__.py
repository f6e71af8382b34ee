"""Telegram's side of the wire, for tests: a Bot API server, people who use it, and the specification's word on
each request."""

from tests.fakes.telegram import entities, validate
from tests.fakes.telegram.buyer import Buyer, Refused
from tests.fakes.telegram.person import Person, data_of, keys, until, words
from tests.fakes.telegram.server import TOKEN, FakeTelegram

__all__ = [
    "TOKEN", "Buyer", "FakeTelegram", "Person", "Refused", "data_of", "entities", "keys", "until", "validate", "words",
]  # fmt: skip
