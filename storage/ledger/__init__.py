"""Credits: lots that are granted, held for a job, captured or returned, and lapse; debts after refunds.

    books       every movement is one entry with a unique key, so doing a thing twice does it once
    grants      what an account may spend: the sum of its live lots
    holds       what a job sets aside, and what becomes of it at the job's end
    reversals   refunds and disputes: taken back, owed, restored
    merging     of two accounts

Entries are never summed on a person's path, so cost does not grow with history. What an account owes, after a
refund of credits that were spent, is its debt: every grant and every give-back repays that first. Callers lock
the account first (`accounts.lock`) and use the id that the lock returned.

    LedgerError
    └── Insufficient    the account cannot afford it; nothing was held
"""

from storage.ledger.books import Drift, balance_of_books, check, post
from storage.ledger.grants import (
    RANKS,
    Grant,
    Insufficient,
    LedgerError,
    Lot,
    LotKind,
    expire,
    grant,
    granted,
    lots,
    owed,
    split,
    take,
    was_granted,
)
from storage.ledger.holds import hold, settle
from storage.ledger.merging import absorb
from storage.ledger.reversals import Reversed, forgive, restore, reverse

__all__ = [
    "RANKS", "Drift", "Grant", "Insufficient", "LedgerError", "Lot", "LotKind", "Reversed", "absorb",
    "balance_of_books", "check", "expire", "forgive", "grant", "granted", "hold", "lots", "owed", "post", "restore",
    "reverse", "settle", "split", "take", "was_granted",
]  # fmt: skip
