"""The shape of an instance: every key of config.toml with its default, as frozen values.

`bot.settings.load` reads the file and the environment into these; nothing else in the project reads either.
Durations are written "30s", "5m", "2h", "30d" and arrive here in seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from generators.models import Model
from generators.source import BYTES_MAX, PIXELS_MAX

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=0, extra={"unit": "seconds"})]
Span = Annotated[int, Meta(ge=1, extra={"unit": "seconds"})]  # where none at all would stop everything
Share = Annotated[float, Meta(ge=0, le=1)]


class ConfigError(Exception):
    """The configuration cannot be used: one sentence that names the key, what it takes and what is near."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: an unknown key is an error."""


class Instance(Section, frozen=True):
    """`[atelier]`: what this instance is called and where it lives."""

    name: str = "Atelier"
    home: str = "data"  # the one folder that holds database, blobs, keys, caches and backups


class DatabaseSettings(Section, frozen=True):
    """`[database]`: where accounts, jobs and money live."""

    url: str = ""  # empty: sqlite in the home folder
    pool: Positive = 10


class StorageSettings(Section, frozen=True):
    """`[storage]`: where artifacts' bytes live: a folder, or `s3://bucket/prefix?endpoint=...`."""

    blobs: str = ""  # empty: a folder in the home folder


class WebPage(Section, frozen=True):
    """`[web]`: the page and the HTTP server that webhooks share."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    public_url: str = ""
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    upload_bytes_max: Annotated[int, Meta(ge=1, le=BYTES_MAX)] = 10 * 1024 * 1024
    upload_pixels_max: Annotated[int, Meta(ge=1, le=PIXELS_MAX)] = 16_777_216
    allowances_per_network: Positive = 1  # free allowances a day for one network address
    link_seconds: Positive = 3600


class DiscordChat(Section, frozen=True):
    """`[discord]`: used when ATELIER_DISCORD_TOKEN is set. The addresses may be a proxy's."""

    api_base: str = "https://discord.com/api/v10"
    gateway_url: str = ""  # empty: what Discord says
    shards: str = ""  # "0-3/8": this process's part; empty: all, as many as Discord recommends


class TelegramChat(Section, frozen=True):
    """`[telegram]`: used when ATELIER_TELEGRAM_TOKEN is set. `api_base` may be a self-hosted Bot API server."""

    api_base: str = "https://api.telegram.org"
    webhook_url: str = ""  # empty: long polling
    vault_chat: int = 0  # a chat of the bot's own where inline pictures are kept; 0: no inline mode
    test_environment: bool = False  # the token is of Telegram's test servers, where Stars cost nothing


class PoolConfig(Section, frozen=True):
    """`[pool]`: the devices and the workers on them."""

    engine: Literal["process", "ray"] = "process"
    ray_address: str = (
        ""  # "host:port", "auto" for the cluster of this machine; empty: a local one of its own
    )
    devices: tuple[str, ...] = ()  # empty: every GPU, or the CPU
    gpu_share: Annotated[float, Meta(ge=0.05, le=1)] = 1.0  # of a card for each worker
    batch_max: Positive = 8
    texts_max: Positive = 16
    text_cache_gb: Annotated[float, Meta(ge=0)] = 0.0  # 0: a tenth of memory_gb
    memory_gb: Annotated[float, Meta(ge=0)] = 0.0  # 0: measured
    threads: Count = 0  # 0: all cores
    heartbeat: Span = 2
    silent: Span = 20
    stall: Span = 120
    load: Span = 900
    affinity: Seconds = 10
    preview_every: Count = 4


class Budget(Section, frozen=True):
    """`[budget]`: device-seconds a day that free use may cost in all and in one place (0: no limit)."""

    free_total: Count = 20000
    free_per_place: Count = 3000
    on_exhausted: Literal["relaxed", "refuse"] = "relaxed"


Prices = dict[str, Annotated[int, Meta(ge=1)]]
"""Currency in small letters -> its minor units (cents), `xtr` -> Telegram Stars."""


class Plan(Section, frozen=True):
    """`[plans.NAME]`: what an account on this plan gets and may do, and what that costs for `days`."""

    title: str = ""
    price: Prices = {}  # empty: not for sale
    days: Positive = 30  # of one paid period, where the provider lets us choose
    for_place: bool = False  # bought for a server or group, not for oneself
    discord_sku: str = ""  # the subscription's SKU in Discord's shop
    weight: Positive = 1
    credits_day: Count = 0
    credits_month: Count = 0
    rollover_days: Count = 0  # how much longer than its month a monthly allowance lasts
    relaxed_day: Count = 0  # device-seconds a day of relaxed work after the credits are spent
    member_day: Count = 0
    per_minute: Positive = 10
    running: Positive = 2
    waiting: Positive = 6
    count_max: Positive = 4
    pixels_max: Positive = 2_097_152
    steps_max: Positive = 50
    tokens_max: Positive = 1024


class Pack(Section, frozen=True):
    """`[packs.NAME]`: credits to buy at once; they last `days`."""

    credits: Positive
    title: str = ""
    price: Prices = {}  # empty: not for sale
    days: Positive = 365
    discord_sku: str = ""  # the consumable's SKU in Discord's shop


class Payments(Section, frozen=True):
    """`[payments]`: what all providers share. Which of them are there, the secrets and SKUs decide."""

    currency: str = "usd"  # shown first, and used where none fits better
    order: Span = 3600  # how long an offer's price is kept
    grace: Seconds = 3 * 86400  # a renewing plan goes on so long after an unpaid period's end
    support: str = ""  # where people write who need help with a payment; in /paysupport
    terms_url: str = ""


class StripeShop(Section, frozen=True):
    """`[stripe]`: used when ATELIER_STRIPE_KEY is set. The address may be a proxy's."""

    api_base: str = "https://api.stripe.com"


class Referral(Section, frozen=True):
    """`[referral]`: what both get once a newcomer who was invited buys something. 0: no such programme."""

    credits: Count = 0
    newcomer_days: Count = 7  # an account may name who invited it for so long
    month_max: Count = 10  # rewards a month for one who invites


class Abuse(Section, frozen=True):
    """`[abuse]`: new accounts of free-to-make identities get a part of the allowance."""

    new_account_days: Count = 7
    new_account_factor: Share = 0.5
    links_month: Count = 3  # accounts that one account may join to itself in a month


class Timeouts(Section, frozen=True):
    """`[timeouts]`: how long a job may run or wait, a delivery may be tried, a button works."""

    image: Span = 300
    text: Span = 300
    queue_free: Span = 1800
    queue_paid: Span = 7200
    delivery: Span = 86400
    buttons: Span = 30 * 86400
    lease: Annotated[int, Meta(ge=3, extra={"unit": "seconds"})] = 30
    drain: Seconds = 20

    def running(self, kind: str) -> int:
        """Seconds that a job of this kind may run, loading not counted."""
        return self.text if kind == "text" else self.image

    def queue(self, tier: str) -> int:
        """Seconds that a job of this tier may wait."""
        return self.queue_free if tier == "free" else self.queue_paid


class Retention(Section, frozen=True):
    """`[retention]`: how long media is kept, by kind of plan."""

    free: Span = 30 * 86400
    paid: Span = 365 * 86400


class Retry(Section, frozen=True):
    """`[retry]`: how often a job that failed by our fault is tried."""

    attempts: Positive = 3
    base: Seconds = 2


class Safety(Section, frozen=True):
    """`[safety]`: word patterns refused at admission. Sexual content with minors is always refused."""

    blocked: tuple[str, ...] = ()
    adult: Literal["refuse", "allow"] = "refuse"


class Style(Section, frozen=True):
    """`[styles.NAME]`: words put around a prompt; `{prompt}` is where it goes."""

    prompt: str
    negative: str = ""
    title_en: str = ""
    title_zh: str = ""


class ModelEntry(Model, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME]`: a generator's model with what people and operators need to know of it.

    `credits` is the price of one picture at the model's own size and steps, or of 100 tokens; `seconds` the
    first guess of what that takes on this machine, replaced by what jobs took.
    """

    name: str = ""
    title: str = ""
    note_en: str = ""
    note_zh: str = ""
    licence: str = ""
    commercial: bool = False
    commercial_acknowledged: bool = False
    credits: Positive = 1
    seconds: Annotated[float, Meta(gt=0)] = 1.0
    scale: Annotated[int, Meta(ge=1, le=8)] = 1  # how much the page enlarges its pictures
    plans: tuple[str, ...] = ()  # empty: all


class Defaults(Section, frozen=True):
    """`[defaults]`: the models that a prompt without `--model` uses."""

    image: str = "tiny"
    text: str = "smol"


class Admins(Section, frozen=True):
    """`[admins]`: people who may use admin commands, as "platform:id"."""

    owner: tuple[str, ...] = ()
    billing: tuple[str, ...] = ()
    support: tuple[str, ...] = ()
    moderator: tuple[str, ...] = ()


class Secrets(Section, frozen=True):
    """From the environment only: ATELIER_DISCORD_TOKEN and so on. Never in config.toml, never logged."""

    discord_token: str = ""
    telegram_token: str = ""
    telegram_webhook_secret: str = ""  # proves that an update is Telegram's; needed with a webhook_url
    stripe_key: str = ""
    stripe_webhook_secret: str = ""  # proves that an event is Stripe's; needed with a stripe_key
    signing_key: str = ""  # 64 hexadecimal digits; needed only where several machines serve one instance

    def __repr__(self) -> str:
        return "Secrets(...)"


class Config(Section, frozen=True):
    """One instance."""

    atelier: Instance = Instance()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    web: WebPage = WebPage()
    discord: DiscordChat = DiscordChat()
    telegram: TelegramChat = TelegramChat()
    pool: PoolConfig = PoolConfig()
    budget: Budget = Budget()
    plans: dict[str, Plan] = {}
    packs: dict[str, Pack] = {}
    payments: Payments = Payments()
    stripe: StripeShop = StripeShop()
    referral: Referral = Referral()
    abuse: Abuse = Abuse()
    timeouts: Timeouts = Timeouts()
    retention: Retention = Retention()
    retry: Retry = Retry()
    safety: Safety = Safety()
    styles: dict[str, Style] = {}
    models: dict[str, ModelEntry] = {}
    defaults: Defaults = Defaults()
    admins: Admins = Admins()
    secrets: Secrets = Secrets()
