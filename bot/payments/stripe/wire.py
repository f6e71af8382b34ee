"""The SDK at its edge: asynchronous calls with a time limit, answers as our shapes, refusals as our exceptions.

Refused    Stripe will not do this, whoever asks how often; `code` is its word for why
ProviderAway (of the protocol)    no answer, too many requests, a broken server, or a key that it does not take
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import msgspec
import stripe
import structlog

from bot.payments.provider import Forged, ProviderAway
from bot.payments.stripe.shapes import Event

if TYPE_CHECKING:
    from stripe import ListObject, StripeObject

SECONDS_MAX = 20
"""Of one request. Stripe itself gives up after 30 to 80."""
RETRIES = 1
TOLERANCE_SECONDS = 300
"""How old a signature may be: Stripe's own advice, https://docs.stripe.com/webhooks#verify."""
KEY_SECONDS = 600.0
T = TypeVar("T")

_SIGNATURES: Any = stripe.WebhookSignature  # its types have a hole
log = structlog.get_logger(__name__)


class Refused(Exception):
    """`code` is Stripe's, such as `resource_missing`; the text is for operators."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Wire:
    """`client` makes the calls; give what it returns to `call` or `every`."""

    def __init__(self, key: str, api_base: str) -> None:
        stripe.enable_telemetry = False
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=SECONDS_MAX))
        self.client = stripe.StripeClient(
            key,
            base_addresses={"api": api_base.rstrip("/")},
            http_client=self._http,
            max_network_retries=RETRIES,
        ).v1

    async def close(self) -> None:
        await self._http.close_async()

    async def call(self, asked: Awaitable[StripeObject], kind: type[T]) -> T:
        """Raises ProviderAway and Refused."""
        with _said_plainly():
            return msgspec.convert((await asked).to_dict(), kind)

    async def every(self, asked: Awaitable[ListObject[Any]], kind: type[T]) -> AsyncIterator[T]:
        """All pages of a list. Raises ProviderAway and Refused."""
        with _said_plainly():
            async for each in (await asked).auto_paging_iter():
                yield msgspec.convert(each.to_dict(), kind)


def verified(body: bytes, signature: str, secret: str) -> Event:
    """Raises Forged before anything of the body is looked at. What is signed but is no event raises it too."""
    try:
        _SIGNATURES.verify_header(body, signature, secret, TOLERANCE_SECONDS)
        return msgspec.json.decode(body, type=Event)
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        raise Forged from None


@contextmanager
def _said_plainly() -> Generator[None]:
    """The SDK's exceptions as ours; their texts may quote what was sent, so codes alone go on."""
    try:
        yield
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("stripe.key_refused", code=error.code or "", status=error.http_status)
        raise ProviderAway("Stripe does not take our key for this.", seconds=KEY_SECONDS) from None
    except (stripe.InvalidRequestError, stripe.CardError, stripe.IdempotencyError) as error:
        raise Refused(error.code or "", f"Stripe refuses: {error.code or error.user_message}"[:200]) from None
    except stripe.StripeError as error:
        raise ProviderAway(
            f"Stripe answers {error.http_status or 'nothing'}.", seconds=_wait(error)
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ProviderAway(f"Stripe's answer broke off ({type(error).__name__}).") from None
    except msgspec.ValidationError as error:
        raise ProviderAway(f"Stripe speaks in another shape: {error}", seconds=KEY_SECONDS) from None


def _wait(error: stripe.StripeError) -> float:
    found = (error.headers or {}).get("Retry-After", "")
    return float(found) if found.isascii() and found.isdigit() else 60.0
