"""What must agree between the keys of a configuration. Each rule raises ConfigError with one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from ipaddress import ip_network
from urllib.parse import urlsplit

from bot.config import Config, ConfigError, ModelEntry, PoolConfig, Prices
from bot.jobs.safety import compile_rules
from bot.jobs.submit import RELAXED
from bot.payments.products import STARS
from bot.payments.telegram_stars import STARS_MAX, SUBSCRIPTION_STARS_MAX
from bot.settings.keys import NAME, nearest
from generators import scheduler_names

FREE = "free"
_SKU = re.compile(r"[0-9]{15,20}")
THOUSANDTHS = frozenset({"bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"})
_CURRENCY = re.compile(r"[a-z]{3}")
_ADMIN = re.compile(r"[a-z]+:\S+")
_DEVICE = re.compile(r"cpu|mps|(cuda|xpu):[0-9]+")
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")  # https://core.telegram.org/bots/api#setwebhook


def check(config: Config) -> None:
    """Raises ConfigError at the first rule that is broken."""
    _plans(config)
    for name, model in config.models.items():
        _model(f"models.{name}", model)
        _licence(f"models.{name}", model, config)
    _default("image", config)
    _default("text", config)
    _styles(config)
    _admins(config)
    _addresses(config)
    _names(config)
    _signing_key(config.secrets.signing_key)
    _webhook(config)
    _pool(config.pool)
    _watchdog(config)
    _discord_shop(config)
    _prices(config)
    _stripe(config)
    compile_rules(config.safety)


def _plans(config: Config) -> None:
    if FREE not in config.plans:
        raise ConfigError("plans.free is missing: it is the plan of everybody who has no other.")
    if RELAXED in config.plans:
        raise ConfigError(
            f"plans.{RELAXED} cannot be a plan: relaxed work goes by that name. Call it otherwise."
        )
    for key in ("price", "discord_sku"):
        if getattr(config.plans[FREE], key):
            raise ConfigError(
                f"plans.{FREE}.{key} must be empty: everybody has that plan, so nobody can buy it."
            )
    if both := config.plans.keys() & config.packs.keys():
        name = min(both)
        raise ConfigError(f"packs.{name} has the name of plans.{name}: `buy {name}` must mean one of them.")


def _model(path: str, model: ModelEntry) -> None:
    for side in ("width", "height"):
        if getattr(model, side) % model.multiple:
            raise ConfigError(
                f"{path}.{side} must be a multiple of {model.multiple}, as {path}.multiple says."
            )
    for lora in model.loras:
        if not NAME.fullmatch(lora):
            raise ConfigError(
                f"{path}.loras must name each with small letters, digits, - and _ only, not {lora!r}."
            )
    if model.compile and (model.loras or model.kind != "image"):
        raise ConfigError(f"{path}.compile is for models of pictures without LoRAs.")
    _at_most(path, "steps", model.steps, model.steps_max)
    _at_most(path, "max_tokens", model.max_tokens, model.max_tokens_max)
    if model.scheduler and model.scheduler not in scheduler_names.NAMES:
        raise ConfigError(_unknown(f"{path}.scheduler", model.scheduler, "scheduler", scheduler_names.NAMES))
    if model.width * model.height > model.pixels_max:
        raise ConfigError(
            f"{path}.pixels_max must be at least {model.width * model.height}, its width by height."
        )


def _pool(pool: PoolConfig) -> None:
    if pool.silent <= pool.heartbeat:
        raise ConfigError("pool.silent must be longer than pool.heartbeat: several beats, as by default.")
    if pool.engine == "process":
        for name in pool.devices:
            if not _DEVICE.fullmatch(name):
                raise ConfigError(f'pool.devices names devices such as "cuda:0" or "cpu", not "{name}".')
        return
    if find_spec("ray") is None:
        raise ConfigError('pool.engine = "ray" needs Ray: pip install ".[cluster]".')
    if pool.ray_address.startswith("ray://"):
        raise ConfigError("pool.ray_address is the head's host:port; run `ray start` on this machine too.")
    if unknown := [name for name in pool.devices if name not in ("cpu", "cuda")]:
        raise ConfigError(f'pool.devices with Ray names kinds, "cpu" or "cuda", not {unknown[0]!r}.')


def _watchdog(config: Config) -> None:
    """A step that hangs is found before its job's time is over: the job is stopped between two steps only."""
    stall, timeouts = config.pool.stall, config.timeouts
    for kind, limit in (("image", timeouts.image), ("text", timeouts.text)):
        if stall >= limit:
            raise ConfigError(
                f"pool.stall must be shorter than timeouts.{kind}, which is {limit}s, not {stall}s."
            )


def _webhook(config: Config) -> None:
    if not config.telegram.webhook_url:
        return
    if not config.secrets.telegram_webhook_secret:
        raise ConfigError("telegram.webhook_url needs ATELIER_TELEGRAM_WEBHOOK_SECRET, any long random word.")
    if not _WEBHOOK_SECRET.fullmatch(config.secrets.telegram_webhook_secret):
        raise ConfigError(
            "ATELIER_TELEGRAM_WEBHOOK_SECRET must be letters, digits, _ and - only, at most 256 of them."
        )
    if not config.web.enabled:
        raise ConfigError("telegram.webhook_url needs web.enabled = true: Telegram calls the page's server.")


def _discord_shop(config: Config) -> None:
    """Discord names no amounts: a payment there counts with our price."""
    sold: dict[str, str] = {}
    tables = {"plans": config.plans, "packs": config.packs}
    for path, product in ((f"{kind}.{name}", each) for kind in tables for name, each in tables[kind].items()):
        sku = product.discord_sku
        if sku and not _SKU.fullmatch(sku):
            raise ConfigError(f'{path}.discord_sku must be the number that the portal shows, not "{sku}".')
        if sku and "usd" not in product.price:
            raise ConfigError(
                f"{path}.discord_sku needs usd in {path}.price: what you ask for it there, in cents."
            )
        if sku in sold:
            raise ConfigError(f"{path}.discord_sku is that of {sold[sku]} too: each SKU sells one thing.")
        if sku:
            sold[sku] = path


def _prices(config: Config) -> None:
    if not _CURRENCY.fullmatch(config.payments.currency):
        raise ConfigError(
            f'payments.currency must be three small letters, like usd, not "{config.payments.currency}".'
        )
    for name, plan in config.plans.items():
        _price(f"plans.{name}.price", plan.price, stars_max=SUBSCRIPTION_STARS_MAX)
    for name, pack in config.packs.items():
        _price(f"packs.{name}.price", pack.price, stars_max=STARS_MAX)


def _price(path: str, price: Prices, *, stars_max: int) -> None:
    for currency, amount in price.items():
        if not _CURRENCY.fullmatch(currency):
            raise ConfigError(
                f"{path} names {currency!r}: currencies are three small letters, like usd or jpy;"
                " xtr stands for Telegram Stars."
            )
        if currency in THOUSANDTHS:
            raise ConfigError(f"{path} cannot be in {currency}: it has three decimals, we count two.")
        if currency == STARS and amount > stars_max:
            raise ConfigError(
                f"{path} must be at most {stars_max} {STARS}: Telegram takes no more, not {amount}."
            )


def _stripe(config: Config) -> None:
    """Stripe calls our server, and its Checkout sends people back to the page."""
    key, secret = config.secrets.stripe_key, config.secrets.stripe_webhook_secret
    if not key and not secret:
        return
    if not (key and secret):
        missing, there = ("KEY", "WEBHOOK_SECRET") if secret else ("WEBHOOK_SECRET", "KEY")
        raise ConfigError(
            f"ATELIER_STRIPE_{there} needs ATELIER_STRIPE_{missing} beside it: see README.md, Stripe."
        )
    if not config.web.enabled:
        raise ConfigError("ATELIER_STRIPE_KEY needs web.enabled = true: Stripe calls the page's server.")
    if "_live_" in key and not config.web.public_url.startswith("https://"):
        raise ConfigError(
            "ATELIER_STRIPE_KEY is a live one: set web.public_url to the https:// address of the page, where Stripe"
            " sends people back and calls us."
        )


def _at_most(path: str, key: str, value: int, limit: int) -> None:
    if value > limit:
        raise ConfigError(f"{path}.{key} must be at most {limit}, as {path}.{key}_max says, not {value}.")


def _licence(path: str, model: ModelEntry, config: Config) -> None:
    for plan in model.plans:
        if plan not in config.plans:
            raise ConfigError(_unknown(f"{path}.plans", plan, "plan", config.plans))
    paid = [plan for plan in model.plans or config.plans if plan != FREE]
    if paid and not (model.commercial or model.commercial_acknowledged):
        raise ConfigError(
            f'{path} has no licence for commercial use and would be sold on plans.{paid[0]}: set plans = ["free"],'
            " or commercial = true if its licence allows it, or commercial_acknowledged = true if you hold one."
        )


def _default(kind: str, config: Config) -> None:
    name = str(getattr(config.defaults, kind))
    fitting = [other for other, model in config.models.items() if model.kind == kind]
    if name not in fitting:
        raise ConfigError(_unknown(f"defaults.{kind}", name, f"{kind} model", fitting))
    if config.models[name].plans and FREE not in config.models[name].plans:
        raise ConfigError(
            f"defaults.{kind} must name a model that every plan may use, but models.{name}.plans has no free."
        )


def _unknown(path: str, name: str, what: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    hint = f'did you mean "{near}"?' if near else f"there are: {', '.join(known) or 'none'}."
    return f'{path} names "{name}", but there is no such {what}; {hint}'


def _styles(config: Config) -> None:
    for name, style in config.styles.items():
        if style.prompt.count("{prompt}") != 1:
            raise ConfigError(
                f"styles.{name}.prompt must say once, with {{prompt}}, where the person's words go."
            )


def _admins(config: Config) -> None:
    for role in ("owner", "billing", "support", "moderator"):
        for identity in getattr(config.admins, role):
            if not _ADMIN.fullmatch(identity):
                raise ConfigError(
                    f'admins.{role} must list people as "platform:id", like "discord:1234", not "{identity}".'
                )


def _addresses(config: Config) -> None:
    if config.database.url and not config.database.url.startswith(("sqlite:///", "postgresql://")):
        raise ConfigError("database.url must begin with sqlite:/// or postgresql://.")
    if "://" in config.storage.blobs and not config.storage.blobs.startswith("s3://"):
        raise ConfigError("storage.blobs must be a folder, or begin with s3://.")
    if config.storage.blobs.startswith("s3://") and not urlsplit(config.storage.blobs).netloc:
        raise ConfigError(
            'storage.blobs must name a bucket: "s3://bucket" or "s3://bucket/prefix?endpoint=…".'
        )
    public = urlsplit(config.web.public_url)
    if config.web.public_url and not (public.scheme in ("http", "https") and public.netloc):
        raise ConfigError("web.public_url must begin with http:// or https://.")
    if public.path.strip("/") or public.query:
        raise ConfigError(
            "web.public_url must end after the host: the page cannot live in a folder of a site."
        )


def _names(config: Config) -> None:
    """Names that would be taken and then quietly never fit."""
    if not config.atelier.name.strip():
        raise ConfigError('atelier.name must not be empty: it is what people see, "Atelier" by default.')
    if not config.atelier.home.strip():
        raise ConfigError('atelier.home must name a folder: "data" is the default.')
    for host in config.web.hosts:
        if "/" in host:
            raise ConfigError(f'web.hosts must list bare names such as "art.example", not "{host}".')
    for network in config.web.trusted_proxies:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise ConfigError(
                f'web.trusted_proxies must list addresses or networks such as "10.0.0.0/8", not "{network}".'
            ) from None


def _signing_key(key: str) -> None:
    if key and not _KEY.fullmatch(key):
        raise ConfigError(
            "ATELIER_SIGNING_KEY must be 64 hexadecimal digits: `openssl rand -hex 32` makes some."
        )
