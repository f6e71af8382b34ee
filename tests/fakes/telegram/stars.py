"""Stars on the fake server: bills, charges, renewals, refunds and the list of all of them, as Telegram keeps it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.telegram.messages import ApiError, Files, Json, Messages

PERIOD = 2592000


@dataclass
class Bill:
    payload: str
    stars: int
    title: str
    description: str
    period: int = 0


@dataclass
class Subscription:
    """`charge` is its first payment."""

    bill: Bill
    user: Json
    charge: str
    until: int
    state: str = "active"
    by_bot: bool = False  # the bot cancelled it: only the bot lets it be renewed again


@dataclass
class Stars:
    """What the bot earned and gave back, oldest first."""

    transactions: list[Json] = field(default_factory=list)
    bills: dict[str, Bill] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)
    refunded: set[str] = field(default_factory=set)


class Sales(Messages):
    def __init__(self) -> None:
        super().__init__()
        self.stars = Stars()

    async def on_send_invoice(self, fields: Json, files: Files) -> Json:
        bill = _bill(fields, most=25_000)
        invoice = {"title": bill.title, "description": bill.description, "currency": "XTR",
                   "start_parameter": fields.get("start_parameter", ""), "total_amount": bill.stars}  # fmt: skip
        sent = self._send(fields, invoice=invoice)
        self.stars.bills[f"message:{sent['chat']['id']}:{sent['message_id']}"] = bill
        return sent

    async def on_create_invoice_link(self, fields: Json, files: Files) -> str:
        period = int(fields.get("subscription_period") or 0)
        if period not in (0, PERIOD):
            raise ApiError(400, "Bad Request: SUBSCRIPTION_PERIOD_INVALID")
        bill = _bill(fields, most=10_000 if period else 25_000)
        bill.period = period
        link = f"https://t.me/$bill{next(self.numbers)}"
        self.stars.bills[link] = bill
        return link

    async def on_refund_star_payment(self, fields: Json, files: Files) -> bool:
        self.refund(str(fields["telegram_payment_charge_id"]), user=int(fields["user_id"]))
        return True

    async def on_edit_user_star_subscription(self, fields: Json, files: Files) -> bool:
        charge, user = str(fields["telegram_payment_charge_id"]), int(fields["user_id"])
        for each in self.stars.subscriptions:
            if each.charge == charge and each.user["id"] == user:
                cancelled = str(fields["is_canceled"]).lower() == "true"
                each.state = "canceled" if cancelled else each.state
                each.by_bot = cancelled
                return True
        raise ApiError(400, "Bad Request: CHARGE_ID_INVALID")

    async def on_get_star_transactions(self, fields: Json, files: Files) -> Json:
        offset, limit = int(fields.get("offset") or 0), int(fields.get("limit") or 100)
        return {"transactions": self.stars.transactions[offset : offset + limit]}

    async def on_send_paid_media(self, fields: Json, files: Files) -> Json:
        if not 1 <= len(fields["media"]) <= 10:
            raise ApiError(400, "Bad Request: wrong number of media")
        shown = [{"type": "photo", "photo": self._photo(each["media"], files)} for each in fields["media"]]
        media = {"star_count": int(fields["star_count"]), "paid_media": shown}
        return self._send(fields, paid_media=media, caption=fields.get("caption", ""))

    def charge(self, bill: Bill, user: Json, at: int | None = None) -> str:
        """Takes the Stars; the id of the payment."""
        charge = f"stars_{next(self.numbers)}_{user['id']}"
        period = {"subscription_period": bill.period} if bill.period else {}
        partner = {"type": "user", "transaction_type": "invoice_payment", "user": user,
                   "invoice_payload": bill.payload, **period}  # fmt: skip
        self.stars.transactions.append(
            {"id": charge, "amount": bill.stars, "date": at or int(time.time()), "source": partner}
        )
        return charge

    def refund(self, charge: str, *, user: int) -> Json:
        """Raises ApiError, as the API does."""
        paid = next((each for each in self.stars.transactions if each["id"] == charge), None)
        if paid is None or paid["source"]["user"]["id"] != user:
            raise ApiError(400, "Bad Request: CHARGE_NOT_FOUND")
        if charge in self.stars.refunded:
            raise ApiError(400, "Bad Request: CHARGE_ALREADY_REFUNDED")
        self.stars.refunded.add(charge)
        back = {"id": charge, "amount": paid["amount"], "date": int(time.time()), "receiver": paid["source"]}
        self.stars.transactions.append(back)
        return paid


def paid(bill: Bill, charge: str, **more: Any) -> Json:
    """What a message says of a payment."""
    return {"currency": "XTR", "total_amount": bill.stars, "invoice_payload": bill.payload,
            "telegram_payment_charge_id": charge, "provider_payment_charge_id": "", **more}  # fmt: skip


def _bill(fields: Json, *, most: int) -> Bill:
    prices = fields["prices"]
    if fields["currency"] != "XTR" or fields.get("provider_token"):
        raise ApiError(400, "Bad Request: PAYMENT_PROVIDER_INVALID")
    if len(prices) != 1 or not 1 <= int(prices[0]["amount"]) <= most:
        raise ApiError(400, "Bad Request: STARS_INVOICE_INVALID")
    return Bill(str(fields["payload"]), int(prices[0]["amount"]), fields["title"], fields["description"])
