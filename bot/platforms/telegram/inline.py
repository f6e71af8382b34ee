"""Inline mode: `@bot prompt` in any chat puts a placeholder there, which turns into the picture.

New files can't be uploaded into a message that was sent inline, so that the picture goes to the vault chat
first and is named by its id there: https://core.telegram.org/bots/api#editmessagemedia
BotFather: /setinline, and /setinlinefeedback at 100%, or nobody tells us which result was taken.
"""

from __future__ import annotations

from telegram import (
    ChosenInlineResult,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InlineQueryResultsButton,
    InputMediaPhoto,
    InputTextMessageContent,
)
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.chat import Address, Card, Invocation, Locale, Reply, Undeliverable
from bot.platforms.telegram import drawing, markup, translate
from bot.platforms.telegram.results import Piece, Results, Spot
from bot.platforms.telegram.translate import Me
from bot.platforms.telegram.wire import Refused, Wire
from bot.replies import say

PLACE = "inline"
QUERY_UNITS_MAX = 256  # what Telegram lets people type
BUTTON_UNITS_MAX = 64


class Inline:
    def __init__(self, me: Me, wire: Wire, results: Results, *, vault: int) -> None:
        self._me, self._wire, self._results, self._vault = me, wire, results, vault

    async def offer(self, query: InlineQuery) -> None:
        """Offers to make what was typed; without a vault, a way into the private chat."""
        person = translate.person_of(query.from_user)
        words = markup.whole(query.query).strip()
        offers = [self._article(words, person.locale)] if words and self._vault else []
        hint = "telegram-inline-type" if self._vault else "telegram-inline-private"
        button = InlineQueryResultsButton(
            markup.shortened(say(person.locale, hint), BUTTON_UNITS_MAX), start_parameter=PLACE
        )
        try:
            await self._wire.bot.answer_inline_query(
                query.id, offers, cache_time=0, is_personal=True, button=None if offers else button
            )
        except TelegramError:
            return  # typed on: this query is over

    def chosen(self, chosen: ChosenInlineResult) -> Invocation | None:
        """The prompt of an offer that was taken; None where its message can't be changed later."""
        if not chosen.inline_message_id:
            return None
        person = translate.person_of(chosen.from_user)
        address = Address(
            platform=translate.NAME,
            place=PLACE,
            kind="group",
            locale=person.locale,
            person=person.id,
            route={"inline": chosen.inline_message_id},
        )
        return Invocation(
            event=f"i{chosen.inline_message_id}",
            command="imagine",
            text=markup.whole(chosen.query),
            person=person,
            address=address,
        )

    async def say(self, address: Address, reply: Reply) -> None:
        """A refusal takes the placeholder's place."""
        if reply.text:
            await self._words(address, markup.rendered(markup.shortened(reply.text, 1000)), "")

    async def deliver(self, address: Address, card: Card) -> str:
        """Raises Undeliverable and TryLater."""
        message = address.route["inline"]
        try:
            pieces = await self._results.pieces(address, card)
            if card.private:
                await self._privately(address, pieces)
            elif pieces[0].photo:
                await self._photo(address, card, pieces[0])
            else:
                await self._words(address, drawing.status(card), card.prompt)
        except Refused:
            raise Undeliverable from None
        return f"{PLACE}.{message}"

    async def _photo(self, address: Address, card: Card, piece: Piece) -> None:
        kept = await self._results.send(
            Piece(words=drawing.footer(card), photo=piece.photo), Spot(chat=self._vault)
        )
        if kept is None or not kept.photo:
            raise Undeliverable
        photo = InputMediaPhoto(kept.photo[-1].file_id, caption=piece.words, parse_mode=ParseMode.HTML)
        keyboard = self._keyboard(address.locale, card.prompt)
        await self._wire.result(
            int(address.person),
            lambda _: self._wire.bot.edit_message_media(
                photo, inline_message_id=address.route["inline"], reply_markup=keyboard
            ),
        )

    async def _privately(self, address: Address, pieces: list[Piece]) -> None:
        for piece in pieces:
            await self._results.send(piece, Spot(chat=int(address.person)))
        await self._words(address, markup.escape(say(address.locale, "telegram-inline-kept")), "")

    async def _words(self, address: Address, words: str, prompt: str) -> None:
        keyboard = self._keyboard(address.locale, prompt)
        await self._wire.result(
            int(address.person),
            lambda _: self._wire.bot.edit_message_text(
                words, inline_message_id=address.route["inline"], parse_mode=ParseMode.HTML,
                reply_markup=keyboard,
            ),
        )  # fmt: skip

    def _article(self, words: str, locale: Locale) -> InlineQueryResultArticle:
        prompt = markup.shortened(words, QUERY_UNITS_MAX)
        waiting = markup.escape(say(locale, "telegram-inline-waiting"))
        return InlineQueryResultArticle(
            id="make",
            title=say(locale, "telegram-inline-make"),
            description=prompt,
            input_message_content=InputTextMessageContent(
                f"<b>{markup.escape(prompt)}</b>\n{waiting}", parse_mode=ParseMode.HTML
            ),
            reply_markup=self._keyboard(locale, prompt),
        )

    def _keyboard(self, locale: Locale, prompt: str) -> InlineKeyboardMarkup:
        """No callbacks: nobody but the sender can be answered in that chat."""
        edit = InlineKeyboardButton(
            say(locale, "button-edit"),
            switch_inline_query_current_chat=markup.shortened(prompt, QUERY_UNITS_MAX - 6),
        )
        opens = InlineKeyboardButton(say(locale, "telegram-open"), url=self._me.link(PLACE))
        return InlineKeyboardMarkup([[edit, opens]])
