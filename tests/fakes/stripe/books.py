"""What Stripe keeps, and how it changes: as people pay on its pages, as time goes on, as banks decide."""

from __future__ import annotations

import copy
import itertools
import json
import time
from typing import Any

Object = dict[str, Any]
PAGE = 10
DAY = 86400


class Missing(Exception):
    """Stripe has no such object."""


class NotAllowed(Exception):
    """Stripe refuses; the text is its code."""


class Books:
    """`now` is Stripe's clock. Each change makes an event, kept in `objects` and put into `unsent`."""

    def __init__(self) -> None:
        self.now = int(time.time())
        self.objects: dict[str, Object] = {}
        self.unsent: list[Object] = []
        self._numbers = itertools.count(1)

    # --- reading ------------------------------------------------------------------------------------------

    def get(self, named: str) -> Object:
        if named not in self.objects:
            raise Missing(named)
        return self.objects[named]

    def all(self, kind: str) -> list[Object]:
        """Newest first."""
        return [each for each in reversed(self.objects.values()) if each["object"] == kind]

    def listed(self, kind: str, params: Object, expand: list[str]) -> Object:
        found = [each for each in self.all(kind) if _fits(each, params)]
        if after := params.get("starting_after"):
            ids = [each["id"] for each in found]
            found = found[ids.index(after) + 1 :]
        limit = int(params.get("limit", PAGE))
        data = [self.expanded(each, expand) for each in found[:limit]]
        return {"object": "list", "data": data, "has_more": len(found) > limit, "url": f"/v1/{kind}s"}

    def expanded(self, found: Object, paths: list[str]) -> Object:
        """A copy with ids replaced by their objects along the paths; what has to be asked for is left out else."""
        shown = copy.deepcopy(found)
        if found.get("object") == "invoice" and "payments" not in paths:
            shown.pop("payments")
        for path in paths:
            place, _, rest = path.partition(".")
            inner = shown.get(place)
            if isinstance(inner, dict) and rest:
                shown[place] = self.expanded(inner, [rest])
            elif isinstance(inner, str):
                shown[place] = self.expanded(self.get(inner), [rest] if rest else [])
        return shown

    # --- what our requests make ---------------------------------------------------------------------------

    def add(self, kind: str, prefix: str, **values: Any) -> Object:
        named = values.pop("id", None) or f"{prefix}_{next(self._numbers):06d}"
        if named in self.objects:
            raise NotAllowed("resource_already_exists")
        made = {"id": named, "object": kind, "created": self.now, "livemode": False, "metadata": {}, **values}
        self.objects[named] = made
        return made

    def change(self, named: str, **values: Any) -> Object:
        found = self.get(named)
        found.update(values)
        return found

    def define(self, params: Object) -> Object:
        return self.add("product", "prod", active=True, **params)

    def add_price(self, params: Object) -> Object:
        self.get(params["product"])
        keys = [each.get("lookup_key") for each in self.all("price")]
        if params.get("lookup_key") in keys:
            raise NotAllowed("lookup_key_taken")
        return self.add(
            "price", "price", active=True, **{**params, "unit_amount": int(params["unit_amount"])}
        )

    def checkout(self, params: Object) -> Object:
        opened = int(params["expires_at"]) - int(time.time())
        if not 30 * 60 <= opened <= DAY:
            raise NotAllowed("expires_at")
        (line,) = params["line_items"]
        if params["mode"] == "payment":
            cost = line["price_data"]
            self.get(cost["product"])
        else:
            cost = self.get(line["price"])
        made = self.add(
            "checkout.session", "cs_test", **{**params, "expires_at": int(params["expires_at"])}, cost=cost,
            amount_total=int(cost["unit_amount"]), currency=cost["currency"], payment_status="unpaid",
            status="open", payment_intent=None, subscription=None,
        )  # fmt: skip
        made["url"] = f"https://checkout.example/{made['id']}"
        return made

    def portal(self, params: Object) -> Object:
        self.get(params["customer"])
        configuration = self.get(params["configuration"])
        for item in self._flow(params).get("items", []):
            offered = configuration["features"]["subscription_update"]["products"]
            if not any(item["price"] in each["prices"] for each in offered):
                raise NotAllowed("price_not_in_configuration")
        made = self.add("billing_portal.session", "bps", **params)
        made["url"] = f"https://portal.example/{made['id']}"
        return made

    @staticmethod
    def _flow(params: Object) -> Object:
        return params.get("flow_data", {}).get("subscription_update_confirm", {})

    def update(self, named: str, params: Object) -> Object:
        """Of a subscription, by us: only whether it goes on."""
        found = self.get(named)
        if found["status"] == "canceled":
            raise NotAllowed("resource_missing")
        found["cancel_at_period_end"] = params["cancel_at_period_end"] == "true"
        self._tell("customer.subscription.updated", found)
        return found

    # --- what people do on its pages ----------------------------------------------------------------------

    def pay(self, url: str, *, delayed: bool = False) -> Object:
        """Completes a Checkout by card, or by a method whose money comes days later, or does not."""
        session = self.get(url.rpartition("/")[2])
        if session["status"] != "open":
            raise NotAllowed("session_complete")
        session["status"] = "complete"
        if session["mode"] == "subscription":
            self._subscribe(session)
        else:
            marks = session["payment_intent_data"]["metadata"]
            intent = self._intent(session["amount_total"], session["currency"], marks)
            session["payment_intent"] = intent["id"]
            if not delayed:
                self._charge(intent)
                session["payment_status"] = "paid"
        self._tell("checkout.session.completed", session)
        return session

    def clear(self, session: Object, *, succeeds: bool) -> None:
        """The delayed money came, or did not."""
        if succeeds:
            self._charge(self.get(session["payment_intent"]))
            session["payment_status"] = "paid"
        outcome = "succeeded" if succeeds else "failed"
        self._tell(f"checkout.session.async_payment_{outcome}", session)

    def confirm(self, url: str) -> None:
        """The portal's page of a change of plan: upwards at once, downwards with the next period."""
        flow = self._flow(self.get(url.rpartition("/")[2]))
        subscription, (item,) = self.get(flow["subscription"]), flow["items"]
        before, after = self._item(subscription)["price"], self.get(item["price"])
        if after["unit_amount"] < before["unit_amount"]:
            subscription["scheduled"] = after
            return
        self._item(subscription)["price"] = after
        share = (self._item(subscription)["current_period_end"] - self.now) / (
            int(after["recurring"]["interval_count"]) * DAY
        )
        span = {"start": self.now, "end": self._item(subscription)["current_period_end"]}
        lines = [
            _line(-round(before["unit_amount"] * share), before, span, proration=True),
            _line(round(after["unit_amount"] * share), after, span, proration=True),
        ]
        self._tell("customer.subscription.updated", subscription)
        self._bill(subscription, "subscription_update", lines)

    def stop(self, subscription: Object, *, at_once: bool = False) -> None:
        if at_once:
            return self._end(subscription)
        subscription["cancel_at_period_end"] = True
        return self._tell("customer.subscription.updated", subscription)

    # --- time and banks -----------------------------------------------------------------------------------

    def renew(self, subscription: Object, *, pays: bool = True) -> Object | None:
        """The period is over: the next one begins, and its invoice is paid or not. Returns the invoice."""
        item = self._item(subscription)
        self.now = item["current_period_end"]
        if subscription["cancel_at_period_end"]:
            self._end(subscription)
            return None
        item["price"] = subscription.pop("scheduled", item["price"])
        self._move(item)
        span = {"start": item["current_period_start"], "end": item["current_period_end"]}
        lines = [_line(item["price"]["unit_amount"], item["price"], span)]
        subscription["status"] = "active" if pays else "past_due"
        self._tell("customer.subscription.updated", subscription)
        return self._bill(subscription, "subscription_cycle", lines, pays=pays)

    def refund(self, intent: str, amount: int = 0, metadata: Object | None = None) -> Object:
        charge = self.get(self.get(intent)["latest_charge"])
        left = charge["amount"] - charge["amount_refunded"]
        if not left:
            raise NotAllowed("charge_already_refunded")
        if amount > left:
            raise NotAllowed("amount_too_large")
        charge["amount_refunded"] += amount or left
        refund = self.add(
            "refund", "re", payment_intent=intent, charge=charge["id"], amount=amount or left,
            status="succeeded", metadata=metadata or {},
        )  # fmt: skip
        self._tell("charge.refunded", charge)
        return refund

    def bounce(self, refund: Object) -> None:
        """The payer's bank does not take the money: days later it is ours again."""
        refund["status"] = "failed"
        self.get(refund["charge"])["amount_refunded"] -= refund["amount"]
        self._tell("charge.refund.updated", refund)
        self._tell("refund.failed", refund)

    def dispute(self, intent: str, status: str = "needs_response") -> Object:
        charge = self.get(intent)["latest_charge"]
        made = self.add("dispute", "dp", payment_intent=intent, charge=charge, status=status)
        self._tell("charge.dispute.created", made)
        return made

    def decide(self, dispute: Object, status: str) -> None:
        dispute["status"] = status
        self._tell("charge.dispute.closed", dispute)

    def charge(self, amount: int, currency: str, metadata: Object) -> Object:
        """A payment made by hand; returns its intent."""
        intent = self._intent(amount, currency, metadata)
        self._charge(intent)
        self._tell("payment_intent.succeeded", intent)
        return intent

    # --- the same from within -----------------------------------------------------------------------------

    def _subscribe(self, session: Object) -> None:
        customer = self.add("customer", "cus")
        item = {"id": f"si_{next(self._numbers)}", "price": session["cost"], "current_period_end": self.now}
        self._move(item)
        subscription = self.add(
            "subscription", "sub", customer=customer["id"], status="active", cancel_at_period_end=False,
            cancel_at=None, ended_at=None, items={"object": "list", "data": [item]}, latest_invoice=None,
            metadata=session["subscription_data"]["metadata"],
        )  # fmt: skip
        session.update(subscription=subscription["id"], customer=customer["id"], payment_status="paid")
        span = {"start": item["current_period_start"], "end": item["current_period_end"]}
        self._tell("customer.subscription.created", subscription)
        self._bill(
            subscription, "subscription_create", [_line(session["amount_total"], session["cost"], span)]
        )

    def _move(self, item: Object) -> None:
        days = int(item["price"]["recurring"]["interval_count"])
        item["current_period_start"] = item["current_period_end"]
        item["current_period_end"] += days * DAY

    def _item(self, subscription: Object) -> Object:
        (item,) = subscription["items"]["data"]
        return item

    def _bill(self, subscription: Object, reason: str, lines: list[Object], *, pays: bool = True) -> Object:
        total, currency = sum(line["amount"] for line in lines), self._item(subscription)["price"]["currency"]
        details = {"subscription": subscription["id"], "metadata": subscription["metadata"]}
        invoice = self.add(
            "invoice", "in", billing_reason=reason, currency=currency, status="open", amount_paid=0,
            lines={"object": "list", "data": lines}, payments={"object": "list", "data": []},
            parent={"type": "subscription_details", "subscription_details": details, "quote_details": None},
            status_transitions={"paid_at": None}, total=total,
        )  # fmt: skip
        subscription["latest_invoice"] = invoice["id"]
        if pays:
            self.settle(invoice)
        else:
            self._tell("invoice.payment_failed", invoice)
        return invoice

    def settle(self, invoice: Object) -> None:
        """An invoice's money came."""
        intent = self._intent(invoice["total"], invoice["currency"], {})
        self._charge(intent)
        paid_with = {"type": "payment_intent", "payment_intent": intent["id"]}
        invoice["payments"]["data"] = [{"object": "invoice_payment", "status": "paid", "payment": paid_with}]
        invoice.update(status="paid", amount_paid=invoice["total"], status_transitions={"paid_at": self.now})
        self._tell("invoice.paid", invoice)

    def _end(self, subscription: Object) -> None:
        subscription.update(status="canceled", ended_at=self.now)
        self._tell("customer.subscription.deleted", subscription)

    def _intent(self, amount: int, currency: str, metadata: Object) -> Object:
        return self.add(
            "payment_intent", "pi", amount=amount, currency=currency, latest_charge=None, metadata=metadata
        )

    def _charge(self, intent: Object) -> None:
        charge = self.add(
            "charge", "ch", amount=intent["amount"], currency=intent["currency"], amount_refunded=0, paid=True,
            payment_intent=intent["id"], metadata=intent["metadata"],
        )  # fmt: skip
        intent["latest_charge"] = charge["id"]

    def _tell(self, kind: str, about: Object) -> None:
        snapshot = json.loads(json.dumps(about))
        self.unsent.append(self.add("event", "evt", type=kind, data={"object": snapshot}))


def _line(amount: int, price: Object, span: Object, *, proration: bool = False) -> Object:
    return {
        "object": "line_item", "amount": amount, "currency": price["currency"], "period": dict(span),
        "pricing": {"type": "price_details", "price_details": {"price": price["id"], "product": price["product"]}},
        "parent": {
            "type": "subscription_item_details", "invoice_item_details": None,
            "subscription_item_details": {"proration": proration, "subscription_item": "si"},
        },
    }  # fmt: skip


def _fits(found: Object, params: Object) -> bool:
    since = int(params.get("created", {}).get("gte", 0))
    if found["created"] < since or (
        "lookup_keys" in params and found.get("lookup_key") not in params["lookup_keys"]
    ):
        return False
    if found["object"] == "subscription" and "status" not in params:
        return found["status"] != "canceled"
    return all(
        found.get(key) == params[key]
        for key in ("status", "type", "payment_intent", "charge")
        if key in params
    )
