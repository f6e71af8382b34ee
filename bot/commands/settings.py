"""`settings`: a person's own defaults, written as the options that they stand for.

Kept as option text, so that whatever the prompt language knows can be a default and old rows stay readable.
"""

from __future__ import annotations

import msgspec

from bot.chat import Reply
from bot.commands import fitting, making, prompt
from bot.commands.context import Asking, Context
from bot.commands.prompt import Prompt
from bot.commands.refused import PromptError
from bot.config import Config
from generators.requests import Kind
from storage import accounts
from storage.accounts import Account

NAME = "settings"
RESET = frozenset({"reset", "clear", "重置", "清除"})
_ANCHOR = "-"  # options alone are no prompt: the parser wants something to make
_ONLY: dict[Kind, dict[str, object]] = {
    "image": {"kind": "", "length": None, "tone": "", "temperature": None},
    "text": {
        "size": None, "aspect": None, "steps": None, "guidance": None, "style": "", "count": None,
        "strength": None, "scheduler": "", "loras": (), "negative": "",
    },
}  # fmt: skip


async def run(context: Context, asking: Asking) -> Reply:
    """Shows, adds to, or clears the defaults. Raises PromptError for an option that is wrong."""
    account = await making.account_of(context, asking)
    text = asking.invocation.text.strip()
    if text.lower() in RESET:
        await context.database.run(accounts.set_settings, account.id, {})
        return Reply(text=asking.say("settings-reset"))
    if text:
        return await _change(context, asking, account, text)
    options = _options(account)
    return Reply(text=asking.say("settings-show", options=options or "—"))


def defaults_of(account: Account, kind: Kind, config: Config) -> Prompt:
    """The person's defaults for one kind of request. What is of another kind, or no longer here, counts as none."""
    kept = _kept(account)
    model = config.models.get(kept.model)
    known = {
        "model": kept.model if model and model.kind == kind else "",
        "style": kept.style if kept.style in config.styles else "",
    }
    return msgspec.structs.replace(kept, text="", **(known | _ONLY[kind]))


async def _change(context: Context, asking: Asking, account: Account, text: str) -> Reply:
    wanted = prompt.parse(f"{_ANCHOR} {text}")
    if wanted.text != _ANCHOR:
        return Reply(
            text=asking.say("settings-options-only", text=wanted.text[1:].strip()[:80]), refused=True
        )
    _check_known(context.config, wanted)
    options = prompt.format(making.defaulted(wanted, _kept(account))).removeprefix(_ANCHOR).strip()
    await context.database.run(accounts.set_settings, account.id, {"options": options})
    return Reply(text=asking.say("settings-show", options=options))


def _check_known(config: Config, wanted: Prompt) -> None:
    """Raises PromptError for a model or a style that is not here: as a default it would do nothing."""
    if wanted.model and wanted.model not in config.models:
        raise fitting.unknown("prompt-unknown-model", "model", wanted.model, config.models)
    if wanted.style and wanted.style not in config.styles:
        raise fitting.unknown("prompt-unknown-style", "style", wanted.style, config.styles)


def _kept(account: Account) -> Prompt:
    try:
        return prompt.parse(f"{_ANCHOR} {_options(account)}")
    except PromptError:  # an option that an older version knew
        return Prompt(text=_ANCHOR)


def _options(account: Account) -> str:
    kept = account.settings.get("options", "")
    return kept if isinstance(kept, str) else ""
