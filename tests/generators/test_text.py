"""The text engine: streamed, seeded, bounded by the model's context; no piece of a character ever leaves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from generators import embedded
from generators.messages import Cancelled, Failed, Result, Token
from generators.models import Model
from generators.requests import Message, WriteText
from generators.text import TextRunner, Writer
from tests.generators import tiny
from tests.generators.conftest import Bench

Folder = Callable[[str], Path]


def request(*said: str, **changes: Any) -> WriteText:
    messages = tuple(Message(role="user", content=words) for words in said or ("hello",))
    return WriteText(**({"model": "m", "messages": messages, "max_tokens": 24, "seed": 3} | changes))


@pytest.fixture
def llama(bench: Bench, folder: Folder) -> Any:
    return bench.load(Model(name="m", kind="text", source=str(folder("llama"))))


def written(bench: Bench, name: str) -> str:
    ending = bench.ending(name)
    assert isinstance(ending, Result), ending
    return ending.artifacts[0].data.decode()


def test_what_is_streamed_is_what_is_delivered(bench: Bench, llama: TextRunner) -> None:
    llama.run([bench.job("a", request())])
    streamed = "".join(event.text for event in bench.heard if isinstance(event, Token))
    assert streamed == written(bench, "a")


def test_a_seed_gives_the_same_text_and_another_one_another(bench: Bench, llama: TextRunner) -> None:
    for name, seed in (("a", 1), ("same", 1), ("other", 2)):
        llama.run([bench.job(name, request(seed=seed, temperature=1.5))])
    assert written(bench, "a") == written(bench, "same") != written(bench, "other")


def test_temperature_zero_is_greedy(bench: Bench, llama: TextRunner) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        llama.run([bench.job(name, request(seed=seed, temperature=0.0))])
    assert written(bench, "a") == written(bench, "b")


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界! 👩‍🚀🎨", "日本語だけの文章", "a\n\nb  c", "é" * 30])
def test_no_piece_of_a_character_is_ever_sent(text: str, bench: Bench) -> None:
    tokenizer = tiny.byte_tokenizer()
    writer = Writer(bench.job("a", request()), 100, tokenizer, bench.host)
    writer.put(torch.tensor([[1, 2, 3]]))  # the prompt, which is not to be repeated
    for token in tokenizer(text)["input_ids"]:
        writer.put(torch.tensor([token]))
    writer.end()
    pieces = [event.text for event in bench.heard if isinstance(event, Token)]
    assert "".join(pieces) == writer.text == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_text_cut_inside_a_character_ends_before_it(bench: Bench) -> None:
    tokenizer = tiny.byte_tokenizer()
    writer = Writer(bench.job("a", request()), 100, tokenizer, bench.host)
    writer.put(torch.tensor([[1]]))
    for token in tokenizer("ok 🎨")["input_ids"][:-1]:
        writer.put(torch.tensor([token]))
    writer.end()
    assert writer.text == "ok "


def test_cancel_stops_at_the_next_token(bench: Bench, llama: TextRunner) -> None:
    job = bench.job("a", request(max_tokens=60, temperature=1.0))
    send = job.send

    def cancel_at_first_token(event: Any) -> None:
        send(event)
        job.cancelled |= isinstance(event, Token)

    job.send = cancel_at_first_token
    llama.run([job])
    ending = bench.ending("a")
    assert isinstance(ending, Cancelled)
    assert 0 < ending.share < 0.5


def test_old_messages_give_way_to_the_context(bench: Bench, llama: TextRunner) -> None:
    llama.run([bench.job("a", request(*["x" * 40] * 9))])
    assert isinstance(bench.ending("a"), Result)


def test_a_message_longer_than_the_context_is_refused_with_the_limit(bench: Bench, llama: TextRunner) -> None:
    llama.run([bench.job("a", request("x" * 500))])
    ending = bench.ending("a")
    assert isinstance(ending, Failed)
    assert ending.code == "bad_input"
    assert "128" in ending.message
    assert "xxx" not in ending.message


def test_an_empty_answer_is_a_failure(bench: Bench, llama: Any) -> None:
    bias = torch.zeros(300)
    bias[llama._tokenizer.eos_token_id] = 1e6
    llama._causal.lm_head.bias = torch.nn.Parameter(bias)
    llama.run([bench.job("a", request())])
    ending = bench.ending("a")
    assert isinstance(ending, Failed)
    assert ending.code == "bad_output"


def test_the_embedded_model_answers_in_words(bench: Bench) -> None:
    runner = bench.load(Model(name="m", kind="text", source=embedded.SMOLLM2))
    runner.run([bench.job("a", request("What is the capital of France?", temperature=0.0, max_tokens=16))])
    assert "Paris" in written(bench, "a")
