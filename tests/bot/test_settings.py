"""The configuration: what config.toml and the environment mean, and how what is wrong with them is said."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import onboarding
from bot.bootstrap import pool_settings
from bot.config import Config, ModelEntry, Plan, Style
from bot.settings import ConfigError, blobs_url, database_url, home, keys, load
from bot.settings.keys import SECTIONS, keys_of
from generators.settings import PoolSettings

SHIPPED = Path(__file__).parents[2] / "config.toml"
REAL_MODELS = ("sd15", "sdxl", "sd35", "flux", "flux-dev", "sana", "pixart", "qwen-image", "qwen", "llama")
SKU = "discord_sku = '123456789012345678'"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder without a config.toml."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as raised:
        load(path, environ or {})
    said = str(raised.value)
    assert "\n" not in said
    assert said[-1] in ".?"
    return said


# The shipped file


def test_the_shipped_file_says_the_built_in_defaults() -> None:
    assert load(SHIPPED, {}) == load(None, {})


def test_the_shipped_file_mentions_every_key() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    for section in SECTIONS:
        assert re.search(rf"^\[{section}[\].]", text, re.MULTILINE), section
        for key in keys_of(section):
            assert re.search(rf"\b{key}\b", text), f"{section}.{key}"


def test_the_defaults_it_documents_for_named_tables_are_those_of_the_structs() -> None:
    comments = "\n".join(line for line in SHIPPED.read_text("utf-8").splitlines() if line.startswith("#"))
    for struct in (Plan, ModelEntry, Style):
        for field in msgspec.structs.fields(struct):
            if not field.required and field.name != "name":
                assert re.search(rf"\b{field.name} = {re.escape(_toml(field))}(?!\w|\.\d)", comments), (
                    field.name
                )


def _toml(field: Any) -> str:
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    match default:
        case bool():
            return str(default).lower()
        case str():
            return f'"{default}"'
        case dict():
            return "{}"
        case tuple():
            return "[]"
        case _:
            return str(default)


def test_plain_sections_of_the_file_are_complete() -> None:
    document = tomllib.loads(SHIPPED.read_text("utf-8"))
    for section, kind in SECTIONS.items():
        if isinstance(kind, msgspec.inspect.StructType):
            assert list(document[section]) == list(keys_of(section)), section


@pytest.mark.parametrize("name", REAL_MODELS)
def test_the_commented_models_work_once_uncommented(name: str, elsewhere: Path) -> None:
    block = re.search(
        rf"^# \[models\.{name}\].*?(?=\n\n)", SHIPPED.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert block
    enabled = re.sub(r"^# ?", "", block[0], flags=re.MULTILINE)
    config = load(written(elsewhere, SHIPPED.read_text("utf-8") + "\n" + enabled), {})
    assert config.models[name].licence
    assert config.models[name].name == name


# Built-in defaults


def test_an_empty_file_means_the_defaults(elsewhere: Path) -> None:
    assert load(written(elsewhere, ""), {}) == load(None, {})


def test_plans_are_those_of_the_product() -> None:
    plans = load(None, {}).plans
    assert list(plans) == ["free", "basic", "pro", "server"]
    assert (plans["free"].credits_day, plans["free"].per_minute, plans["free"].count_max) == (40, 4, 2)
    assert (plans["basic"].weight, plans["basic"].credits_month) == (4, 1500)
    assert (plans["pro"].weight, plans["pro"].relaxed_day) == (8, 3600)


def test_a_table_with_a_built_in_name_may_leave_keys_out(elsewhere: Path) -> None:
    plans = load(written(elsewhere, "[plans.free]\ncredits_day = 7"), {}).plans
    assert list(plans) == ["free"]
    assert (plans["free"].credits_day, plans["free"].per_minute) == (7, 4)


# Where the file is


def test_the_file_of_the_current_folder_is_read(elsewhere: Path) -> None:
    written(elsewhere, "[web]\nport = 1234")
    assert load(None, {}).web.port == 1234


def test_another_file_can_be_named(elsewhere: Path) -> None:
    other = elsewhere / "other.toml"
    other.write_text("[web]\nport = 4321", encoding="utf-8")
    assert load(None, {"ATELIER_CONFIG": str(other)}).web.port == 4321


@pytest.mark.parametrize("content", [b"[web", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_named(elsewhere: Path, content: bytes | None) -> None:
    path = elsewhere / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    assert "broken.toml" in refusal(path)


# The environment


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("ATELIER_WEB_PORT", "9000", "web.port", 9000),
        ("ATELIER_WEB_ENABLED", "no", "web.enabled", False),
        ("ATELIER_WEB_HOSTS", "a.example, b.example", "web.hosts", ("a.example", "b.example")),
        ("ATELIER_WEB_HOSTS", '["a.example"]', "web.hosts", ("a.example",)),
        ("ATELIER_WEB_HOSTS", "", "web.hosts", ()),
        ("ATELIER_POOL_MEMORY_GB", "7.5", "pool.memory_gb", 7.5),
        ("ATELIER_POOL_MEMORY_GB", "8", "pool.memory_gb", 8.0),
        ("ATELIER_TIMEOUTS_IMAGE", "3m", "timeouts.image", 180),
        ("ATELIER_TIMEOUTS_LEASE", "5", "timeouts.lease", 5),
        ("ATELIER_DATABASE_URL", "postgresql://me@db/atelier", "database.url", "postgresql://me@db/atelier"),
        ("ATELIER_STORAGE_BLOBS", "s3://bucket/x", "storage.blobs", "s3://bucket/x"),
        ("ATELIER_HOME", "/srv/atelier", "atelier.home", "/srv/atelier"),
        ("ATELIER_ATELIER_HOME", "/srv/atelier", "atelier.home", "/srv/atelier"),
        ("ATELIER_BUDGET_ON_EXHAUSTED", "refuse", "budget.on_exhausted", "refuse"),
        ("ATELIER_PLANS_FREE_CREDITS_DAY", "5", "plans.free.credits_day", 5),
        ("ATELIER_MODELS_TINY_LORAS", '{"a": "hub/a"}', "models.tiny.loras", {"a": "hub/a"}),
        ("ATELIER_STYLES_3D_NEGATIVE", "flat", "styles.3d.negative", "flat"),
        ("ATELIER_ADMINS_OWNER", "discord:1,telegram:2", "admins.owner", ("discord:1", "telegram:2")),
        ("ATELIER_DISCORD_TOKEN", "abc", "secrets.discord_token", "abc"),
    ],
)
def test_a_variable_overrides_a_key(variable: str, text: str, path: str, value: object) -> None:
    found: Any = load(SHIPPED, {variable: text})
    for part in path.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_names_with_dashes_are_underscores_in_variables(elsewhere: Path) -> None:
    path = written(
        elsewhere, '[models]\ntiny = {}\nsmol = {}\nmy-sd = {kind="image", source="x/y", commercial=true}'
    )
    assert load(path, {"ATELIER_MODELS_MY_SD_CREDITS": "3"}).models["my-sd"].credits == 3


def test_variables_of_tests_and_of_others_are_left_alone() -> None:
    assert load(None, {"ATELIER_TEST_X": "1", "ATELIERS": "2", "PATH": "3"}) == load(None, {})


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("ATELIER_WEB_PROT", "1", ("ATELIER_WEB_PROT", "did you mean ATELIER_WEB_PORT?")),
        ("ATELIER_PLANS_FRE_CREDITS_DAY", "1", ("ATELIER_PLANS_FREE_CREDITS_DAY",)),
        ("ATELIER_DISCORD_TOKNE", "secret!", ("ATELIER_DISCORD_TOKEN",)),
        ("ATELIER_ZZZZZZZZZZZZ", "1", ("ATELIER_ZZZZZZZZZZZZ", "ATELIER_<SECTION>_<KEY>")),
        ("ATELIER_WEB_PORT", "http", ("ATELIER_WEB_PORT", "whole number from 0 to 65535", '"http"')),
        ("ATELIER_WEB_PORT", "", ("ATELIER_WEB_PORT", "whole number")),
        ("ATELIER_WEB_ENABLED", "maybe", ("true or false",)),
        ("ATELIER_TIMEOUTS_IMAGE", "5 parsecs", ("ATELIER_TIMEOUTS_IMAGE", '"5m"')),
        ("ATELIER_BUDGET_ON_EXHAUSTED", "refusal", ('did you mean "refuse"?',)),
    ],
)
def test_a_wrong_variable_is_named_with_the_nearest_right_one(
    variable: str, text: str, words: tuple[str, ...]
) -> None:
    said = refusal(None, {variable: text})
    assert all(word in said for word in words)
    assert "secret!" not in said


@pytest.mark.parametrize("key", ["secret", "ab" * 31, "zz" * 32])
def test_a_signing_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    said = refusal(None, {"ATELIER_SIGNING_KEY": key})
    assert "64 hexadecimal digits" in said
    assert key not in said


def test_two_homes_are_refused() -> None:
    assert "ATELIER_HOME" in refusal(None, {"ATELIER_HOME": "a", "ATELIER_ATELIER_HOME": "b"})


# What is wrong in the file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plans.free]\ncredit_day = 1", ("plans.free.credit_day", "did you mean plans.free.credits_day?")),
        ("[plans.free]\ncredits_day = -1", ("plans.free.credits_day", "of at least 0", "-1")),
        ("[plans.free]\ncredits_day = true", ("plans.free.credits_day", "whole number", "true")),
        ("[wbe]\nport = 1", ("wbe", "did you mean web?")),
        ("[zzzz]\nport = 1", ("zzzz", "the sections are", "atelier")),
        ("[web]\nzzzz = 1", ("web.zzzz", "the keys are", "port")),
        ("[web]\nport = 70000", ("web.port", "from 0 to 65535")),
        ("web = 1", ("web", "[web]")),
        ("plans.free = 1", ("plans.free", "[plans.NAME]")),
        ("[timeouts]\nimage = '5 minutes'", ("timeouts.image", '"30s"')),
        ("[timeouts]\nlease = '2s'", ("timeouts.lease", 'at least "3s"')),
        ("[timeouts]\nimage = '0s'", ("timeouts.image", 'at least "1s"')),
        ("[pool]\nheartbeat = '20s'", ("pool.silent", "longer than pool.heartbeat")),
        ("[pool]\ndevices = ['gpu0']", ("pool.devices", '"cuda:0"', '"gpu0"')),
        ("[[plans]]\nname = 'x'", ("plans must be a section", "[plans.NAME]")),
        ("[packs.small]\nprice = {usd = -5}", ("packs.small.price", "whole numbers of at least 1", "-5")),
        ("[payments]\ncurrency = 'USD'", ("payments.currency", "three small letters", '"USD"')),
        ("[budget]\non_exhausted = 'refused'", ('; did you mean "refuse"?',)),
        ("[atelier]\nhome = ''", ("atelier.home must name a folder",)),
        ("[web]\nhosts = ['https://art.example']", ("web.hosts", '"art.example"')),
        ("[web]\ntrusted_proxies = ['proxy']", ("web.trusted_proxies", '"10.0.0.0/8"', '"proxy"')),
        ("[web]\npublic_url = 'https://art.example/bot'", ("web.public_url", "after the host")),
        ("[timeouts]\nimage = '90s'", ("pool.stall must be shorter than timeouts.image", "90s", "120s")),
        ("[pool]\nstall = '5m'", ("pool.stall must be shorter than timeouts.image", "300s")),
        ("[timeouts]\ntext = '10s'", ("pool.stall must be shorter than timeouts.text",)),
        ("[abuse]\nnew_account_factor = 2.0", ("abuse.new_account_factor", "from 0 to 1")),
        ("[models.x]\nkind = 'image'", ("models.x.source is missing",)),
        ("[models.x]\nkind = 'imgae'\nsource = 'a/b'", ("models.x.kind", 'did you mean "image"?')),
        ("[models.x]\nname = 'y'\nkind = 'image'\nsource = 'a/b'", ("models.x.name",)),
        ("[models.'Ä b']\nkind = 'image'\nsource = 'a/b'", ("models.Ä b", "small letters")),
        ("[safety]\nblocked = ['/(/']", ("safety.blocked[1]",)),
        ("[plans.gold]\nweight = 2", ("plans.free is missing",)),
        ("[defaults]\nimage = 'tinny'", ("defaults.image", '"tinny"', 'did you mean "tiny"?')),
        ("[defaults]\nimage = 'smol'", ("defaults.image", "image model")),
        ("[defaults]\ntext = 'tiny'", ("defaults.text", "text model")),
        ("[models.tiny]\nplans = ['pro']\n[models.smol]", ("defaults.image", "every plan")),
        ("[models.tiny]\nplans = ['prro']\n[models.smol]", ("models.tiny.plans", 'did you mean "pro"?')),
        ("[models.tiny]\nwidth = 100\n[models.smol]", ("models.tiny.width", "multiple of 32")),
        ("[models.tiny]\nwidth = 1024\n[models.smol]", ("models.tiny.pixels_max", "131072")),
        ("[models.tiny]\nsteps = 60\n[models.smol]", ("models.tiny.steps", "at most 50")),
        ("[models.tiny]\nloras = {Ink = 'x/y'}\n[models.smol]", ("models.tiny.loras", "'Ink'")),
        (
            "[models.tiny]\nscheduler = 'eulr'\n[models.smol]",
            ("models.tiny.scheduler", 'did you mean "euler"?'),
        ),
        ("[styles.x]\nprompt = 'nice'", ("styles.x.prompt", "{prompt}")),
        (
            "[packs.small]\ncredits = 1\ndiscord_sku = 'small'",
            ("packs.small.discord_sku", "the portal shows"),
        ),
        (
            f"[plans.free]\n[plans.basic]\nprice = {{eur = 499}}\n{SKU}",
            ("plans.basic.discord_sku", "usd in plans.basic.price"),
        ),
        (
            f"[plans.free]\n[plans.basic]\n{SKU}\n[plans.pro]\n{SKU}",
            ("plans.pro.discord_sku", "plans.basic"),
        ),
        ("[admins]\nowner = ['bob']", ("admins.owner", '"bob"', "platform:id")),
        ("[database]\nurl = 'mysql://me:hunter2@db'", ("database.url", "postgresql://")),
        ("[storage]\nblobs = 'ftp://x'", ("storage.blobs", "s3://")),
        ("[storage]\nblobs = 's3://'", ("storage.blobs must name a bucket",)),
        ("[storage]\nblobs = 's3:///prefix?endpoint=http://x'", ("storage.blobs must name a bucket",)),
        ("[atelier]\nname = ' '", ("atelier.name must not be empty",)),
        ("[plans.free]\nprice = {usd = 1}", ("plans.free.price must be empty",)),
        (f"[plans.free]\n{SKU}", ("plans.free.discord_sku must be empty",)),
        ("[plans.free]\n[plans.a]\nprice = {xtr = 10001}", ("plans.a.price", "at most 10000 xtr", "10001")),
        ("[packs.a]\ncredits = 1\nprice = {xtr = 25001}", ("packs.a.price", "at most 25000 xtr", "25001")),
        ("[packs.pro]\ncredits = 1", ("packs.pro has the name of plans.pro",)),
        ("[web]\nupload_pixels_max = 40000001", ("web.upload_pixels_max", "from 1 to 40000000")),
        ("[web]\nupload_bytes_max = 33554433", ("web.upload_bytes_max", "from 1 to 33554432")),
        ("[web]\npublic_url = 'example.org'", ("web.public_url", "https://")),
        ("[plans]\nfree={}\na-b={}\na_b={}", ("plans.a_b", "plans.a-b")),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected(
    elsewhere: Path, text: str, words: tuple[str, ...]
) -> None:
    said = refusal(written(elsewhere, text))
    assert all(word in said for word in words), said
    assert "hunter2" not in said
    assert not said.endswith("?.")


@pytest.mark.parametrize(
    "text", ["discord_token = 'hush'", "[discord]\ntoken = 'hush'", "[secrets]\ndiscord_token = 'hush'",
             "[web]\ndiscord_token = 'hush'"]
)  # fmt: skip
def test_a_secret_in_the_file_is_refused_and_not_repeated(elsewhere: Path, text: str) -> None:
    said = refusal(written(elsewhere, text))
    assert "ATELIER_DISCORD_TOKEN" in said
    assert "hush" not in said


def test_secrets_are_never_shown() -> None:
    assert "hush" not in repr(load(None, {"ATELIER_DISCORD_TOKEN": "hush"}))


def test_secrets_are_read_from_the_home_folder_where_the_environment_has_none(elsewhere: Path) -> None:
    file = elsewhere / "data" / "secrets.env"
    assert load(None, {}, kept=True) == load(None, {})
    onboarding.keep({"ATELIER_DISCORD_TOKEN": "kept", "ATELIER_TELEGRAM_TOKEN": "1:kept"}, file)
    found = load(None, {"ATELIER_TELEGRAM_TOKEN": "2:given"}, kept=True).secrets
    assert (found.discord_token, found.telegram_token) == ("kept", "2:given")
    file.write_text('# mine\n\nATELIER_DISCORD_TOKEN = "quoted"\n')
    assert load(None, {}, kept=True).secrets.discord_token == "quoted"
    file.write_text("ATELIER_DISCORD_TOKNE=hush")
    with pytest.raises(ConfigError, match="did you mean ATELIER_DISCORD_TOKEN") as wrong:
        load(None, {}, kept=True)
    assert "hush" not in str(wrong.value)


NON_COMMERCIAL = "[models]\nsmol = {}\n[models.tiny]\nlicence = 'NC'\ncommercial = false\n"


def test_non_commercial_weights_are_not_sold_unless_acknowledged(elsewhere: Path) -> None:
    assert "models.tiny has no licence for commercial use" in refusal(written(elsewhere, NON_COMMERCIAL))
    assert load(written(elsewhere, NON_COMMERCIAL + "plans = ['free']"), {})
    assert load(written(elsewhere, NON_COMMERCIAL + "commercial_acknowledged = true"), {})


def test_a_cluster_is_named_as_ray_names_it(elsewhere: Path) -> None:
    ray = "[pool]\nengine = 'ray'\n"
    assert load(written(elsewhere, ray + "ray_address = 'head:6379'\ndevices = ['cuda']"), {})
    assert "ray start" in refusal(written(elsewhere, ray + "ray_address = 'ray://head:10001'"))
    assert "not 'cuda:0'" in refusal(written(elsewhere, ray + "devices = ['cuda:0']"))
    assert "0.05" in refusal(written(elsewhere, "[pool]\ngpu_share = 0"))


# Derived values


def test_everything_lives_in_the_home_folder_by_default(elsewhere: Path) -> None:
    config = load(None, {})
    assert home(config) == elsewhere / "data"
    assert database_url(config) == f"sqlite:///{elsewhere}/data/atelier.db"
    assert blobs_url(config) == str(elsewhere / "data" / "blobs")


def test_database_and_blobs_can_be_moved(elsewhere: Path) -> None:
    moved = {"ATELIER_DATABASE_URL": "sqlite:///folder/a.db", "ATELIER_STORAGE_BLOBS": "media"}
    config = load(None, moved)
    assert database_url(config) == "sqlite:///folder/a.db"
    assert blobs_url(config) == str(elsewhere / "media")
    assert blobs_url(load(None, {"ATELIER_STORAGE_BLOBS": "s3://b/c"})) == "s3://b/c"


@contextmanager
def refused_by_a_sentence() -> Iterator[None]:
    """Lets a ConfigError of one line pass, and nothing else."""
    try:
        yield
    except ConfigError as error:
        if "\n" in str(error):
            raise


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["free", "kind", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from(sorted(SECTIONS)), values)
def test_a_key_of_any_value_is_taken_or_refused_with_a_sentence(section: str, value: object) -> None:
    with refused_by_a_sentence():
        keys.checked({section: value})


@given(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["WEB_PORT", "WEB_HOSTS", "TIMEOUTS_IMAGE", "MODELS_TINY_LORAS"]),
)
def test_a_variable_of_any_text_is_taken_or_refused_with_a_sentence(text: str, name: str) -> None:
    with refused_by_a_sentence():
        assert isinstance(load(None, {f"ATELIER_{name}": text}), Config)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"ATELIER_TELEGRAM_WEBHOOK_URL": "https://x.example/hooks/telegram"}, "WEBHOOK_SECRET"),
        (
            {
                "ATELIER_TELEGRAM_WEBHOOK_URL": "https://x.example/hooks/telegram",
                "ATELIER_TELEGRAM_WEBHOOK_SECRET": "two words",
            },
            "letters, digits, _ and - only",
        ),
        (
            {
                "ATELIER_TELEGRAM_WEBHOOK_URL": "https://x.example/hooks/telegram",
                "ATELIER_TELEGRAM_WEBHOOK_SECRET": "s" * 20,
                "ATELIER_WEB_ENABLED": "false",
            },
            "web.enabled",
        ),
    ],
)
def test_a_webhook_needs_its_secret_and_the_server(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load(None, environ)


def test_no_plan_takes_the_name_of_relaxed_work(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[plans.free]\n[plans.relaxed]\n")
    with pytest.raises(ConfigError, match="relaxed"):
        load(path, {})


# Stripe


STRIPE = {"ATELIER_STRIPE_KEY": "sk_test_1", "ATELIER_STRIPE_WEBHOOK_SECRET": "whsec_1"}


def test_stripe_s_two_secrets_come_together() -> None:
    assert load(None, STRIPE).secrets.stripe_key == "sk_test_1"
    for name in STRIPE:
        said = refusal(None, {name: STRIPE[name]})
        assert all(each in said for each in STRIPE)


def test_stripe_needs_the_page_and_live_money_an_address_that_people_reach() -> None:
    assert "web.enabled = true" in refusal(None, {**STRIPE, "ATELIER_WEB_ENABLED": "false"})
    live = {**STRIPE, "ATELIER_STRIPE_KEY": "rk_live_1"}
    assert "web.public_url" in refusal(None, live)
    assert load(None, {**live, "ATELIER_WEB_PUBLIC_URL": "https://art.example"})


def test_currencies_are_three_letters_and_have_two_decimals_or_none(tmp_path: Path) -> None:
    for currency, said in (("dollar", "three small letters"), ("kwd", "three decimals")):
        path = written(tmp_path, f"[packs.small]\nprice = {{ {currency} = 100 }}")
        assert said in refusal(path)


def test_the_highest_prices_that_telegram_takes_are_taken(tmp_path: Path) -> None:
    plan, pack = "[plans.a]\nprice = {xtr = 10000}", "[packs.b]\ncredits = 1\nprice = {xtr = 25000}"
    assert load(written(tmp_path, f"[plans.free]\n{plan}\n{pack}"), {})


def test_the_pool_has_no_defaults_of_its_own() -> None:
    bare = PoolSettings()
    assert msgspec.structs.replace(pool_settings(Config()), cache=bare.cache) == bare
