"""From a prompt to a request for a text: what the model is told to be, how long it may go on, in which language.

Pure. The instructions here are for models, not for people, so they are not among the replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from bot.chat import Locale
from bot.commands.fitting import check_chars, check_limit, refuse_foreign
from bot.commands.prompt import Prompt
from bot.config import ModelEntry, Plan
from generators.requests import Message, WriteText

TOKENS_FALLBACK = 512
TOKENS_MIN = 16
TOKENS_A_WORD: dict[Locale, float] = {"en": 1.6, "zh": 1.3}  # in Chinese a "word" is a character
WORDS: dict[str, int] = {"short": 120, "medium": 350, "long": 900}
LENGTH_OF_KIND = {"article": "medium", "post": "short", "story": "medium", "ad": "short", "lesson": "medium"}

_PICTURE_ONLY = {
    "aspect": "--ar",
    "size": "--size",
    "steps": "--steps",
    "guidance": "--cfg",
    "style": "--style",
    "count": "--count",
    "strength": "--strength",
    "scheduler": "--scheduler",
    "loras": "--lora",
}
_KINDS: dict[Locale, dict[str, str]] = {
    "en": {
        "article": "You are an experienced journalist. Write an article with a title, a short introduction, clear"
        " sections and a conclusion. Prefer facts to filler; never invent quotes or sources.",
        "post": "You write for social media. Write one post: a strong first line, short paragraphs, one clear idea,"
        " and at most three hashtags.",
        "story": "You are a storyteller. Write a complete story with a beginning, a turn and an ending, in vivid"
        " scenes with natural dialogue.",
        "ad": "You are a copywriter. Write an advertisement: a headline, the benefit in two or three sentences, and"
        " a call to act. Promise nothing that you were not told.",
        "lesson": "You are a patient teacher. Write a lesson: its goal, an explanation in small steps, one worked"
        " example, and three exercises with answers.",
        "free": "You are a helpful and truthful writer. Do exactly what is asked.",
    },
    "zh": {
        "article": "你是一位经验丰富的记者。请写一篇文章：有标题、简短的引言、清晰的小节和结论。"
        "重事实，不空谈；不编造引语或来源。",
        "post": "你为社交媒体写作。请写一条帖子：开头一句抓人，段落简短，只讲一个观点，最多三个话题标签。",
        "story": "你是一位讲故事的人。请写一个完整的故事：有开端、转折和结局，场景生动，对话自然。",
        "ad": "你是一位广告文案。请写一则广告：一个标题，用两三句话说明好处，并号召行动。不承诺没有给出的内容。",
        "lesson": "你是一位耐心的老师。请写一节课：目标、分步讲解、一个例题，以及三道附答案的练习。",
        "free": "你是一位乐于助人、实事求是的写作者。请严格按要求完成。",
    },
}
_LANGUAGE: dict[Locale, str] = {
    "en": "Write in English unless the request is in another language or asks for one. Answer with the text only.",
    "zh": "请用简体中文写作，除非请求使用或要求另一种语言。只输出正文。",
}
_TONE: dict[Locale, str] = {"en": "The tone is {tone}.", "zh": "语气：{tone}。"}
_LENGTH: dict[Locale, str] = {"en": "Use about {words} words.", "zh": "约 {words} 字。"}
_AVOID: dict[Locale, str] = {"en": "Leave out: {negative}.", "zh": "不要出现：{negative}。"}


def write(
    prompt: Prompt,
    model: ModelEntry,
    plan: Plan,
    *,
    seed: int,
    locale: Locale,
    history: Sequence[Message] = (),
) -> WriteText:
    """The request for this prompt; `history` is what was said before, oldest first. Raises PromptError."""
    refuse_foreign(prompt, _PICTURE_ONLY, "prompt-not-for-texts")
    check_chars(prompt, model)
    system = Message(role="system", content=instructions(prompt, locale))
    return WriteText(
        model=model.name,
        messages=(system, *history, Message(role="user", content=prompt.text)),
        max_tokens=_tokens(prompt, model, plan, locale),
        temperature=0.7 if prompt.temperature is None else prompt.temperature,
        seed=seed if prompt.seed is None else prompt.seed,
    )


def instructions(prompt: Prompt, locale: Locale) -> str:
    """The system message: kind, tone, length, what to leave out, language."""
    words = _words(prompt)
    parts = [
        _KINDS[locale][prompt.kind or "free"],
        _TONE[locale].format(tone=prompt.tone) if prompt.tone else "",
        _LENGTH[locale].format(words=words) if words else "",
        _AVOID[locale].format(negative=prompt.negative) if prompt.negative else "",
        _LANGUAGE[locale],
    ]
    return " ".join(part for part in parts if part)


def _words(prompt: Prompt) -> int:
    """How many words are wanted; 0 where that is left to the model."""
    if isinstance(prompt.length, int):
        return prompt.length
    return WORDS.get(prompt.length or LENGTH_OF_KIND.get(prompt.kind, ""), 0)


def _tokens(prompt: Prompt, model: ModelEntry, plan: Plan, locale: Locale) -> int:
    limit = min(model.max_tokens_max, plan.tokens_max)
    if isinstance(prompt.length, int):
        _check_words(prompt.length, model, plan, locale)
    if prompt.length is None:
        return min(model.max_tokens or TOKENS_FALLBACK, limit)
    return max(min(ceil(_words(prompt) * TOKENS_A_WORD[locale]) + TOKENS_MIN, limit), 1)


def _check_words(words: int, model: ModelEntry, plan: Plan, locale: Locale) -> None:
    each = TOKENS_A_WORD[locale]
    model_limit, plan_limit = int(model.max_tokens_max / each), int(plan.tokens_max / each)
    check_limit("--length", words, model=model, model_limit=model_limit, plan_limit=plan_limit)
