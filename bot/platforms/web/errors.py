"""What the web platform refuses, and how it says so.

    Refusal(Exception)    a request that is not served: a status and the id of a sentence

Everything that goes wrong while serving leaves here as a sentence in the person's language: JSON for the page's
own calls, a small page for everything else. Logs name the route and the kind of error, never what was sent.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from bot.chat import Locale
from bot.platforms.web.drawing import notice_page
from bot.platforms.web.language import language_of
from bot.platforms.web.settings import NAME
from bot.replies import say

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STATUS_SENTENCES = {
    400: "web-error-body",
    404: "web-error-missing",
    405: "web-error-method",
    413: "web-error-large",
    415: "web-error-body",
}
log = structlog.stdlib.get_logger(__name__)


class Refusal(Exception):
    """Not served: `sentence` is a message id, `arguments` fill it."""

    def __init__(self, status: int, sentence: str, **arguments: str | int) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.arguments = arguments


def route_of(request: web.Request) -> str:
    """The route's pattern, which holds no token and no prompt."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"


def say_error(request: web.Request, *, status: int, sentence: str) -> web.Response:
    if request.path.startswith("/api/"):
        return web.json_response({"error": sentence}, status=status)
    locale = language_of(request)
    return web.Response(
        text=notice_page(request.app[NAME], locale, sentence), status=status, content_type="text/html"
    )


def frames(error: BaseException) -> list[str]:
    """Where it happened, without the message: that may quote a prompt."""
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]


def sentence_of(locale: Locale, status: int) -> str:
    return say(locale, STATUS_SENTENCES.get(status, "web-error-body" if status < 500 else "web-error-inside"))


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    locale = language_of(request)
    try:
        return await handler(request)
    except Refusal as refusal:
        log.info("web.refused", route=route_of(request), status=refusal.status, reason=refusal.sentence)
        sentence = say(locale, refusal.sentence, **refusal.arguments)
        return say_error(request, status=refusal.status, sentence=sentence)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        log.info("web.refused", route=route_of(request), status=error.status)
        response = say_error(request, status=error.status, sentence=sentence_of(locale, error.status))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError:
        raise  # the client is gone: nobody is left to answer
    except Exception as error:
        log.error("web.failed", route=route_of(request), error=type(error).__name__, frames=frames(error))
        return say_error(request, status=500, sentence=say(locale, "web-error-inside"))
