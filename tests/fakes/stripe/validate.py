"""Whether one request of ours is what Stripe takes: its parameters against the types that the official SDK ships.

Those are generated from Stripe's OpenAPI description. On the wire all values are words; here they are read back.
"""

from __future__ import annotations

import importlib
import re
import types
import typing
from functools import cache
from typing import Any, Literal, NotRequired, Union, get_args, get_origin

import stripe
import stripe.params.billing_portal
import stripe.params.checkout
import typing_extensions

OPERATIONS: dict[tuple[str, str], str] = {
    ("POST", r"/v1/checkout/sessions"): "checkout.SessionCreateParams",
    ("GET", r"/v1/checkout/sessions/\w+"): "checkout.SessionRetrieveParams",
    ("POST", r"/v1/products"): "ProductCreateParams",
    ("POST", r"/v1/products/\w+"): "ProductUpdateParams",
    ("GET", r"/v1/prices"): "PriceListParams",
    ("POST", r"/v1/prices"): "PriceCreateParams",
    ("GET", r"/v1/billing_portal/configurations"): "billing_portal.ConfigurationListParams",
    ("POST", r"/v1/billing_portal/configurations"): "billing_portal.ConfigurationCreateParams",
    ("POST", r"/v1/billing_portal/sessions"): "billing_portal.SessionCreateParams",
    ("GET", r"/v1/invoices"): "InvoiceListParams",
    ("GET", r"/v1/invoices/\w+"): "InvoiceRetrieveParams",
    ("GET", r"/v1/subscriptions"): "SubscriptionListParams",
    ("GET", r"/v1/subscriptions/\w+"): "SubscriptionRetrieveParams",
    ("POST", r"/v1/subscriptions/\w+"): "SubscriptionUpdateParams",
    ("GET", r"/v1/charges"): "ChargeListParams",
    ("GET", r"/v1/charges/\w+"): "ChargeRetrieveParams",
    ("GET", r"/v1/disputes"): "DisputeListParams",
    ("GET", r"/v1/disputes/\w+"): "DisputeRetrieveParams",
    ("GET", r"/v1/refunds"): "RefundListParams",
    ("GET", r"/v1/refunds/\w+"): "RefundRetrieveParams",
    ("POST", r"/v1/refunds"): "RefundCreateParams",
    ("GET", r"/v1/events"): "EventListParams",
    ("GET", r"/v1/products"): "ProductListParams",
    ("GET", r"/v1/payment_intents"): "PaymentIntentListParams",
    ("GET", r"/v1/checkout/sessions"): "checkout.SessionListParams",
    ("GET", r"/v1/webhook_endpoints"): "WebhookEndpointListParams",
}
checked = 0  # requests, for the summary
NAMES = {"StripeContext": Any, "HTTPClient": Any, "UploadFile": Any}


def problems(method: str, path: str, params: dict[str, Any]) -> list[str]:
    """What is wrong with a request; empty when nothing is."""
    global checked
    checked += 1
    for (verb, shape), name in OPERATIONS.items():
        if verb == method and re.fullmatch(shape, path):
            return _table(_typed(name), params, "")
    return [f"{method} {path}: not an operation that is known"]


def nested(pairs: typing.Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0][c]=d` as tables and lists."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name)
        inner, key = found, first
        for part in rest:
            inner, key = inner.setdefault(key, {}), part
        inner[key] = value
    return typing.cast("dict[str, Any]", _lists(found))


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def _typed(name: str) -> Any:
    place: Any = stripe.params
    for part in name.split("."):
        place = getattr(place, part)
    return place


@cache
def _hints(table: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(
        table, include_extras=True, localns={**vars(stripe), **vars(typing), **NAMES},
        globalns=vars(importlib.import_module(table.__module__)),
    )  # fmt: skip


def _table(table: Any, given: dict[str, Any], path: str) -> list[str]:
    hints = _hints(table)
    found = [f"{path}{key}: unknown" for key in given if key not in hints]
    for key, hint in hints.items():
        if key in given:
            found += _value(hint, given[key], f"{path}{key}")
        elif get_origin(hint) not in (NotRequired, typing_extensions.NotRequired):
            found.append(f"{path}{key}: required")
    return found


def _value(hint: Any, given: Any, path: str) -> list[str]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (NotRequired, typing_extensions.NotRequired):
        return _value(inner[0], given, path)
    if origin in (Union, types.UnionType):
        closed = any(get_origin(each) is Literal for each in inner)
        tried = [_value(each, given, path) for each in inner if not (closed and each is str)]
        return min(tried, key=len)
    if origin is Literal:
        return [] if given in inner else [f"{path}: {given!r} is not one of {inner}"]
    if origin is list:
        if not isinstance(given, list):
            return [f"{path}: not a list"]
        return [each for at, one in enumerate(given) for each in _value(inner[0], one, f"{path}[{at}]")]
    if origin is dict:
        return [] if isinstance(given, dict) else [f"{path}: not a table"]
    if hasattr(hint, "__required_keys__"):
        return _table(hint, given, f"{path}.") if isinstance(given, dict) else [f"{path}: not a table"]
    return [] if _is(hint, given) else [f"{path}: {given!r} is not {hint}"]


def _is(hint: Any, given: Any) -> bool:
    if hint is int:
        return isinstance(given, str) and re.fullmatch(r"-?\d+", given) is not None
    if hint is bool:
        return given in ("true", "false")
    return isinstance(given, str) if hint is str else isinstance(hint, typing.TypeVar) or hint is Any
