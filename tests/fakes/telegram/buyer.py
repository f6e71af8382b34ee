"""A person with Stars: pays bills, renews, cancels, and is told by Telegram what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.fakes.telegram.messages import Json
from tests.fakes.telegram.person import Person, until
from tests.fakes.telegram.stars import PERIOD, Bill, Subscription, paid

LATE_SECONDS = 10.0
"""How long Telegram waits for an answer before the charge."""


class Refused(Exception):
    """The bot said no before the charge; the text is what the person reads."""


@dataclass
class Buyer(Person):
    async def bill(self, *wanted: str) -> Bill:
        """Waits for an invoice with these words."""
        message = await self.finds(
            lambda each: "invoice" in each and all(part in str(each["invoice"]) for part in wanted),
            f"a bill {wanted}",
        )
        return self.server.stars.bills[f"message:{message['chat']['id']}:{message['message_id']}"]

    async def link(self, *wanted: str) -> Bill:
        """Waits for a button that leads to an invoice."""
        message = await self.finds(lambda each: _link(each) is not None, "a link to pay")
        bill = self.server.stars.bills[str(_link(message))]
        assert all(part in bill.title + bill.description for part in wanted), bill
        return bill

    async def pay(self, bill: Bill, *, told: bool = True, ago: int = 0) -> str:
        """The charge's id. `told`: whether the message about it is sent; `ago`: seconds. Raises Refused."""
        await self.asks(bill)
        at = int(time.time()) - ago
        charge = self.server.charge(bill, self.json(), at)
        if bill.period:
            until_ = at + bill.period
            self.server.stars.subscriptions.append(Subscription(bill, self.json(), charge, until_))
        if told:
            await self.tells(bill, charge, date=at)
        return charge

    async def asks(self, bill: Bill, **changed: object) -> None:
        """The query before the charge. Raises Refused."""
        asked = {"currency": "XTR", "total_amount": bill.stars, "invoice_payload": bill.payload} | changed
        answer = await self.server.query(
            "pre_checkout_query", seconds=LATE_SECONDS, **{"from": self.json(), **asked}
        )
        if str(answer["ok"]).lower() != "true":
            raise Refused(answer["error_message"])

    async def tells(self, bill: Bill, charge: str, *, date: int | None = None, **more: object) -> Json:
        """The message about a charge."""
        if bill.period and not more:
            found = next(each for each in self.server.stars.subscriptions if each.charge == charge)
            more = {
                "subscription_expiration_date": found.until,
                "is_recurring": True,
                "is_first_recurring": True,
            }
        return await self.serves(successful_payment=paid(bill, charge, **more), date=date or int(time.time()))

    async def pay_unasked(self, bill: Bill) -> str:
        """Charged though nobody asked the bot."""
        charge = self.server.charge(bill, self.json())
        await self.tells(bill, charge)
        return charge

    async def renews(self, bill: Bill, *, told: bool = True) -> str:
        """The next month is charged, nobody is asked."""
        found = self.subscription(bill)
        assert found.state == "active"
        charge = self.server.charge(bill, self.json())
        found.until += PERIOD
        if told:
            await self.tells(
                bill,
                charge,
                subscription_expiration_date=found.until,
                is_recurring=True,
                is_first_recurring=False,
            )
        return charge

    async def changes(self, bill: Bill, state: str) -> Json:
        """Cancels, re-enables, or has too few Stars: the update of Bot API 10.2."""
        found = self.subscription(bill)
        assert not (state == "active" and found.by_bot)
        found.state = state
        told = {"user": self.json(), "invoice_payload": bill.payload, "state": state}
        return await self.server.push(subscription=told)

    async def is_refunded(self, charge: str, *, told: bool = True) -> None:
        """By Telegram itself."""
        back = self.server.refund(charge, user=self.id)
        if told:
            bill = Bill(back["source"]["invoice_payload"], back["amount"], "", "")
            await self.serves(refunded_payment=paid(bill, charge))

    def subscription(self, bill: Bill) -> Subscription:
        return next(each for each in self.server.stars.subscriptions if each.bill is bill)

    async def is_heard(self) -> None:
        """Everything that was sent so far has been handled."""
        await until(lambda: not self.server.updates, "all updates are confirmed")


def _link(message: Json) -> str | None:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return next((key["url"] for row in rows for key in row if "$bill" in key.get("url", "")), None)
