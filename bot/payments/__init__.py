"""Selling plans and packs: products, the till that credits exactly once, and the providers that bring money.

    events    what providers tell us, in one vocabulary        products   what is for sale, at which price
    till      any event -> ledger, entitlements, receipts      provider   the protocol that one file each speaks
    cashier   errands and reconciliation, on a schedule

A provider turns its own messages into events and gives them to the till; it never touches the ledger.
"""
