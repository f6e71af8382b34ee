"""What the models of this instance can do with a picture, as their files tell: known before anything is queued.

Of a model whose files are not here, or whose family nobody knows, nothing is said: it is asked, and the worker refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from generators import shelf
from generators.models import Model
from generators.requests import TextToImage


class Abilities:
    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = {name: model for name, model in models.items() if model.kind == "image"}
        self._families = {name: shelf.family(model) for name, model in self._models.items()}

    async def look(self, model: str) -> None:
        """Again at the files of one of which nothing was known: a hub id's come with its first job."""
        if model in self._models and self._families[model] is None:
            self._families[model] = await asyncio.to_thread(shelf.family, self._models[model])

    def lacks(self, model: str, kind: type[TextToImage]) -> bool:
        """Whether the model is known to take no request of this kind."""
        family = self._families.get(model)
        return family is not None and kind in family.lacks

    def has(self, model: str, kind: type[TextToImage]) -> bool:
        """Whether the model is known to take them."""
        family = self._families.get(model)
        return family is not None and kind not in family.lacks
