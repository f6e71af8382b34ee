"""The word-pattern policy of admission: what a person may not ask for.

Pure: text and `[safety]` in, verdict out. The text is read in several ways at once (as written, with look-alike
letters, digits for letters, l e t t e r s apart, censoring stars), so that a disguise does not help; words are
whole words, so that Essex and Scunthorpe pass. Every step is linear in the text's length.

Only what is asked for is checked: never the negative prompt, which names what to leave out, nor a style's text.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from decancer_py import parse as decancer

from bot.config import ConfigError, Safety
from bot.jobs import safety_words as words

RULE_CHARS_MAX = 200
re2: Any = importlib.import_module(
    "re2"
)  # operators' patterns: linear in time whatever they write; has no stubs

_LEET = {
    "0": "o",
    "3": "e",
    "4": "a",
    "5": "s",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "i",
    "€": "e",
}
_LEET_I = str.maketrans({**_LEET, "1": "i"})
_LEET_L = str.maketrans({**_LEET, "1": "l"})
_HAN = "\u3400-\u9fff\u3040-\u30ff"
_KANA_MARKS = "\u3099\u309a"  # part of the letter, as in ヌード
_DROPPED = frozenset({"Mn", "Me", "Cf", "Cs"})
_EDGES = ".,;:!?\"'`()[]{}<>*_-~/\\|。，、；：！？…“”‘’（）"
_ONES = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
_AGES = (
    rf"(?<![\d.])(?:1[0-7]|[1-9]|(?<![a-z-])(?:{_ONES}))[\s-]{{0,3}}(?:years?|yrs?|y)[\s./-]{{0,3}}(?:olds?|o)(?![a-z])"
    r"|(?<![a-z])aged?[\s:]{1,3}(?:of )?(?:1[0-7]|[1-9])(?![\d.])"
    r"|(?<![a-z])(?:girl|boy)s?(?: of| is| aged?)?[\s,:(]{1,3}1[0-7](?![\w.:%])"
    r"|(?<![\d.])\d{1,2}[\s-]{1,3}months?[\s-]{1,3}old(?![a-z])"
    r"|(?<![\d.])(?:1[0-7]|[1-9]) ?周?[岁歲]"
    r"|(?<![一二三四五六七八九十百零\d])(?:十[一二三四五六七]?|[一二三四五六七八九]) ?周?[岁歲]"
)


class Rule(Protocol):
    """A compiled pattern, of `re` or RE2."""

    def search(self, text: str, /) -> object | None: ...


@dataclass(frozen=True)
class Verdict:
    """`rule` is empty, "minors", "adult", or "blocked:N" for the operator's Nth pattern (for the audit log)."""

    rule: str = ""

    @property
    def allowed(self) -> bool:
        return not self.rule

    @property
    def message(self) -> str:
        """The id of the sentence that tells the person, which never quotes a rule."""
        return f"safety-{self.rule.partition(':')[0]}"


def check(text: str, policy: Safety) -> Verdict:
    """Whether a prompt may be run. Sexual content with minors is refused whatever the policy says."""
    views = _Views.of(text)
    if views.holds(_ALWAYS) or (
        views.holds(_MINORS) and (views.holds(_EXPLICIT) or views.holds(_SUGGESTIVE))
    ):
        return Verdict("minors")
    if policy.adult == "refuse" and views.holds(_EXPLICIT):
        return Verdict("adult")
    for number, rule in enumerate(compile_rules(policy), start=1):
        if rule.search(views.read) or rule.search(views.bare):
            return Verdict(f"blocked:{number}")
    return Verdict()


@lru_cache(maxsize=16)
def compile_rules(policy: Safety) -> tuple[Rule, ...]:
    """The operator's patterns. Raises ConfigError for one that cannot be used."""
    return tuple(_compile(f"safety.blocked[{n}]", text) for n, text in enumerate(policy.blocked, start=1))


def _compile(path: str, text: str) -> Rule:
    if len(text) > RULE_CHARS_MAX:
        raise ConfigError(f"{path} must have at most {RULE_CHARS_MAX} characters, not {len(text)}.")
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return _regex(path, text[1:-1])
    if not any(char.isalnum() for char in text):
        raise ConfigError(f"{path} must be a word, a word with *, or a /regular expression/.")
    return re.compile(_word(_fold(text).strip()))


def _regex(path: str, text: str) -> Rule:
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = False, False, 8 << 20
    try:
        rule: Rule = re2.compile(text, options)
    except re2.error as error:
        raise ConfigError(f"{path} is not a regular expression that RE2 understands.") from error
    if rule.search(""):
        raise ConfigError(f"{path} must not match an empty prompt, or nothing could be asked for.")
    return rule


def _word(text: str) -> str:
    """One whole word or phrase as a regular expression; where it ends in Chinese there is no word's edge."""
    before = "" if _is_han(text[0]) else r"(?<!\w)"
    return before + _letters(text) + ("" if _is_han(text[-1]) else r"(?!\w)")


def _letters(text: str) -> str:
    return "".join(
        r"\w{0,40}" if char == "*" else r"[\s-]{1,3}" if char in " _" else re.escape(char) for char in text
    )


def _is_han(char: str) -> bool:
    return re.match(f"[{_HAN}]", char) is not None


@dataclass(frozen=True)
class _Term:
    """A list of words: `whole` for words in a text, `run` for words among l e t t e r s put together."""

    whole: re.Pattern[str]
    run: re.Pattern[str]


def _term(english: str, more: str = "") -> _Term:
    entries = english.split()
    long = [entry.strip("*") for entry in entries if len(entry.strip("*")) >= 4 and "_" not in entry]
    whole = rf"(?<!\w)(?:{'|'.join(map(_letters, entries))})(?!\w)"
    return _Term(re.compile(f"{whole}|{more}" if more else whole), re.compile("|".join(long)))


_ALWAYS = _term(words.ALWAYS_EN)
_MINORS = _term(words.MINORS_EN, f"{words.MINORS_ZH}|{_AGES}")
_EXPLICIT = _term(words.EXPLICIT_EN, words.EXPLICIT_ZH)
_SUGGESTIVE = _term(words.SUGGESTIVE_EN, words.SUGGESTIVE_ZH)
_HARMLESS = _term(words.HARMLESS_EN, words.HARMLESS_ZH).whole
_LETTERS_APART = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,80}")
_HAN_GAPS = re.compile(rf"(?<=[{_HAN}])[\s.·*_-]{{1,3}}(?=[{_HAN}])")
_STARRED = re.compile(r"[a-z]{1,20}\*[a-z]{1,20}")


@dataclass(frozen=True)
class _Views:
    """`bare`: folded only; `read`: all that it can be read as, less harmless phrases; `runs`: letters apart, joined."""

    bare: str
    read: str
    runs: str

    @classmethod
    def of(cls, text: str) -> _Views:
        bare = _fold(text)
        tokens = [_latin(token) for token in bare.split()]
        forms = [bare, _HAN_GAPS.sub("", bare), " ".join(tokens), *_disguises(tokens)]
        runs = " ".join(_runs(" ".join(map(_leet, tokens))))
        return cls(bare, "\n".join(_HARMLESS.sub(" ", form) for form in [*forms, runs]), runs)

    def holds(self, term: _Term) -> bool:
        return bool(term.whole.search(self.read) or term.run.search(self.runs))


def _fold(text: str) -> str:
    """Lower case, compatibility forms undone, marks and invisible characters dropped, spaces single."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(
        char for char in decomposed if char in _KANA_MARKS or unicodedata.category(char) not in _DROPPED
    )
    return " ".join(unicodedata.normalize("NFC", kept).replace("_", " ").split())


def _latin(token: str) -> str:
    """Look-alike letters of other alphabets as Latin ones; Chinese stays, decancer would spoil it."""
    if token.isascii() or re.search(f"[{_HAN}]", token):
        return token
    return str(decancer(token))


def _disguises(tokens: list[str]) -> list[str]:
    cores = [token.strip(_EDGES) for token in tokens]
    return [
        " ".join(map(_leet, cores)),
        " ".join(core.translate(_LEET_L) for core in cores if _is_mixed(core)),
        " ".join(_squeezed(_leet(core)) for core in cores),
        " ".join(form for core in cores if _STARRED.fullmatch(core) for form in _unstarred(core)),
    ]


def _leet(token: str) -> str:
    return token.translate(_LEET_I) if _is_mixed(token) else token


def _is_mixed(token: str) -> bool:
    """Letters among digits or signs, as in n4ked; not 4k or 1984."""
    return any(char.isalpha() for char in token) and any(char in "013457@$!89€" for char in token)


def _squeezed(token: str) -> str:
    """Signs inside a word and letters three times in a row are dropped: na.ked, nuuude."""
    return re.sub(r"(.)\1{2,}", r"\1", re.sub(r"[\W_]", "", token))


def _unstarred(token: str) -> list[str]:
    return [token.replace("*", vowel) for vowel in "aeiou"]


def _runs(text: str) -> list[str]:
    return [re.sub(r"[\W_]", "", found[0]) for found in _LETTERS_APART.finditer(text)]
