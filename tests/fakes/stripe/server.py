"""The API that the real SDK speaks to: what Stripe keeps, and the pages that people see of it.

`books` is what happened to money, `Till` of the bot must come to the same. Webhooks wait in `unsent` until a test
delivers them, in whatever order and however often it likes.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import stripe
from aiohttp import web

from tests.fakes.stripe import validate
from tests.fakes.stripe.books import Books, Missing, NotAllowed

KEY, SECRET = "sk_test_atelier", "whsec_atelier"
LISTS = {
    "charges": "charge", "invoices": "invoice", "refunds": "refund", "disputes": "dispute", "prices": "price",
    "subscriptions": "subscription", "events": "event", "products": "product", "payment_intents": "payment_intent",
    "checkout/sessions": "checkout.session", "webhook_endpoints": "webhook_endpoint",
    "billing_portal/configurations": "configuration",
}  # fmt: skip


class FakeStripe:
    """`complaints` are requests that Stripe would not take; `down` answers them all with this status;
    the key has no permission for paths that are `forbidden`."""

    def __init__(self) -> None:
        self.books = Books()
        self.complaints: list[str] = []
        self.down = 0
        self.forbidden: set[str] = set()
        self.requests: list[str] = []
        self._answered: dict[str, tuple[str, dict[str, Any]]] = {}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    # --- webhooks -----------------------------------------------------------------------------------------

    @property
    def unsent(self) -> list[dict[str, Any]]:
        """Events that nobody took from here so far."""
        found, self.books.unsent = self.books.unsent, []
        return found

    async def post(
        self, url: str, event: dict[str, Any], *, secret: str = SECRET, age_seconds: int = 0
    ) -> int:
        body = json.dumps(event)
        return await self.post_raw(url, body, signed(body, secret=secret, age_seconds=age_seconds))

    async def post_raw(self, url: str, body: str, signature: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body.encode(), headers={"Stripe-Signature": signature}) as response,
        ):
            return response.status

    # --- the API ------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.requests.append(f"{request.method} {request.path}")
        if self.down:
            return _error(self.down, "api_error", "down", headers={"Retry-After": "7"})
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "invalid_request_error", "api_key_invalid")
        if request.path in self.forbidden:
            return _error(403, "invalid_request_error", "more_permissions_required")
        params = validate.nested(parse_qsl(body or request.query_string, keep_blank_values=True))
        problems = validate.problems(request.method, request.path, params)
        self.complaints += problems
        if problems:
            return _error(400, "invalid_request_error", "parameter_unknown")
        return self._once(request, body, params)

    def _once(self, request: web.Request, body: str, params: dict[str, Any]) -> web.Response:
        """The same key gives the same answer, and takes no other request."""
        key = request.headers.get("Idempotency-Key", "")
        if request.method == "POST" and key in self._answered:
            asked, answer = self._answered[key]
            return web.json_response(answer) if asked == body else _error(400, "idempotency_error", "used")
        try:
            answer = self._do(request.method, request.path.removeprefix("/v1/"), params)
        except Missing:
            return _error(404, "invalid_request_error", "resource_missing")
        except NotAllowed as refused:
            return _error(400, "invalid_request_error", str(refused))
        if request.method == "POST":
            self._answered[key] = body, answer
        return web.json_response(answer)

    def _do(self, method: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        books = self.books
        expand = params.pop("expand", [])
        if method == "GET" and path in LISTS:
            return books.listed(LISTS[path], params, [each.removeprefix("data.") for each in expand])
        match method, path.split("/"):
            case "POST", ["checkout", "sessions"]:
                return books.checkout(params)
            case "POST", ["billing_portal", "sessions"]:
                return books.portal(params)
            case "POST", ["billing_portal", "configurations"]:
                return books.add("configuration", "bpc", active=True, **params)
            case "POST", ["products"]:
                return books.define(params)
            case "POST", ["prices"]:
                return books.add_price(params)
            case "POST", ["refunds"]:
                refund = books.refund(
                    params.get("payment_intent", ""), int(params.get("amount", 0)), params.get("metadata", {})
                )
                return books.expanded(refund, expand)
            case "POST", ["products", product]:
                return books.change(product, **params)
            case "POST", ["subscriptions", subscription]:
                return books.expanded(books.update(subscription, params), expand)
            case "GET", [*_, named]:
                return books.expanded(books.get(named), expand)
            case _:
                raise Missing(path)


def signed(body: str, *, secret: str = SECRET, age_seconds: int = 0) -> str:
    return stripe.WebhookSignature.generate_signature_header(
        body, secret, timestamp=int(time.time()) - age_seconds
    )


def _error(status: int, kind: str, code: str, *, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"type": kind, "code": code, "message": code}}
    return web.json_response(body, status=status, headers={"stripe-should-retry": "false", **(headers or {})})
