"""Who a request comes from: the signed cookie that is the account, the token that binds a post to it.

The cookie holds nothing but a random id. A cleared cookie is a new account; what that account may have is
decided elsewhere, by the `network` that goes with it.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable

from aiohttp import web

from bot.chat import Locale, Person
from bot.platforms.web.errors import Refusal
from bot.platforms.web.guard import client_network
from bot.platforms.web.language import LANGUAGE_COOKIE, language_of
from bot.platforms.web.settings import Signer, WebSettings

TOKEN_MAX = 512  # longer than any that we sign


class Sessions:
    def __init__(self, *, settings: WebSettings, signer: Signer, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._signer = signer
        self._clock = clock
        prefix = "__Host-" if settings.secure_cookies else ""
        self._account_cookie = f"{prefix}atelier"
        self._admin_cookie = "atelier_admin"

    def account_of(self, request: web.Request) -> str | None:
        """The account's id in a cookie that we signed."""
        token = request.cookies.get(self._account_cookie, "")
        return self._verify("account", token)

    def person(self, request: web.Request) -> Person:
        """Who asks. Raises `Refusal` without a good cookie: only the page itself hands them out."""
        account = self.account_of(request)
        if account is None:
            raise Refusal(401, "web-error-reload")
        return Person(
            platform="web",
            id=account,
            locale=language_of(request),
            network=client_network(request, self._settings),
        )

    def posting_person(self, request: web.Request) -> Person:
        """Like `person`, for a request that changes something: the page's token must come with it."""
        person = self.person(request)
        token = request.headers.get("X-CSRF", "")
        bound = self._verify("csrf", token)
        if bound is None or not hmac.compare_digest(bound.encode(), person.id.encode()):
            raise Refusal(403, "web-error-csrf")
        return person

    def csrf(self, account: str) -> str:
        return self._signer.sign("csrf", account)

    def remember_account(self, response: web.StreamResponse, account: str | None) -> str:
        """Renews the cookie of an account, or begins one; returns its id."""
        account = account or uuid.uuid4().hex
        token = self._signer.sign("account", account)
        self._set(response, self._account_cookie, token, seconds=self._settings.cookie_seconds)
        return account

    def remember_language(self, response: web.StreamResponse, locale: Locale) -> None:
        self._set(response, LANGUAGE_COOKIE, locale, seconds=self._settings.cookie_seconds)

    def remember_admin(self, response: web.StreamResponse) -> None:
        seconds = self._settings.admin_seconds
        token = self._signer.sign("admin", "desk", expires=self._clock() + seconds)
        self._set(response, self._admin_cookie, token, seconds=seconds, path="/admin")

    def is_admin(self, request: web.Request) -> bool:
        token = request.cookies.get(self._admin_cookie, "")
        return self._verify("admin", token) == "desk"

    def _verify(self, purpose: str, token: str) -> str | None:
        plain = bool(token) and token.isascii() and len(token) <= TOKEN_MAX
        return self._signer.verify(purpose, token, now=self._clock()) if plain else None

    def _set(
        self, response: web.StreamResponse, name: str, value: str, *, seconds: int, path: str = "/"
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=path,
            httponly=True,
            samesite="Lax",
            secure=self._settings.secure_cookies,
        )
