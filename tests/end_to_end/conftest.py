"""Homes for real instances, a text model that is converted already, and visitors over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from generators import embedded
from tests.bot.platforms.web.conftest import Visitor, browser, chromium
from tests.conftest import missing
from tests.end_to_end.process import Instance
from tests.generators.conftest import CACHE, folder

__all__ = ["browser", "chromium", "folder"]
MakeInstance = Callable[..., Instance]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A soak takes as long as one likes, so it runs only when it is asked for: `-m soak`."""
    if "soak" in (config.option.markexpr or ""):
        return
    soaks = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=soaks)
    items[:] = [item for item in items if item not in soaks]


@pytest.fixture(scope="session")
def converted() -> Path:
    """The folder where the starter text model lies unpacked: the first run of all takes a minute for it."""
    try:
        embedded.locate(embedded.SMOLLM2, CACHE)
    except embedded.NotEmbedded as error:
        missing(str(error))
    return CACHE


def new_home(folder: Path, cache: Path) -> Path:
    home = folder / "home"
    home.mkdir()
    (home / "cache").symlink_to(cache)
    return home


@pytest.fixture
def make_instance(tmp_path: Path, converted: Path) -> Iterator[MakeInstance]:
    """Makes instances on one home; ended afterwards, and none may have complained of a bug of ours."""
    home = new_home(tmp_path, converted)
    made: list[Instance] = []

    def make(**options: Any) -> Instance:
        made.append(Instance(home, name=f"bot-{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        each.end()
    assert [line for each in made for line in each.complaints()] == []


@asynccontextmanager
async def visiting(instance: Instance) -> AsyncIterator[Visitor]:
    """A person with a cookie of their own, who speaks as the page does."""
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(total=60)
    ) as session:
        visitor = Visitor(site=instance, session=session)  # type: ignore[arg-type]  # all it needs is `url`
        await visitor.open()
        yield visitor


@pytest.fixture
async def visit() -> AsyncIterator[Callable[[Instance], Any]]:
    async with AsyncExitStack() as stack:

        async def made(instance: Instance) -> Visitor:
            return await stack.enter_async_context(visiting(instance))

        yield made
