"""The text engine: each job's text is what plain `generate()` writes for it alone, whoever joins, leaves, is
cancelled or fails beside it; streamed, bounded by the model's context; no piece of a character ever leaves it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, TopPLogitsWarper

from generators import embedded, prompts, sampling
from generators.detokenizing import Detokenizer
from generators.engine import Host
from generators.messages import Cancelled, Failed, Result, Token
from generators.models import Model
from generators.requests import Message, TextToImage, WriteText
from generators.text import TextRunner
from generators.text_batch import token_bytes
from tests.generators import tiny
from tests.generators.conftest import Bench, run, worker_settings

Folder = Callable[[str], Path]
CONTEXT = 128
COMMON = "You are a helpful assistant of few words."  # more than two pages of the cache


def request(*said: str, **changes: Any) -> WriteText:
    messages = tuple(Message(role="user", content=words) for words in said or ("hello",))
    return WriteText(**({"model": "m", "messages": messages, "max_tokens": 24, "seed": 3} | changes))


def runner_of(folder: Folder, bench: Bench, name: str = "llama") -> Any:
    return bench.load(Model(name="m", kind="text", source=str(folder(name))))


@pytest.fixture
def llama(bench: Bench, folder: Folder) -> Any:
    return runner_of(folder, bench)


def written(bench: Bench, name: str) -> str:
    ending = bench.ending(name)
    assert isinstance(ending, Result), ending
    return ending.artifacts[0].data.decode()


def streamed(bench: Bench, name: str) -> str:
    return "".join(event.text for event in bench.heard if isinstance(event, Token) and event.job == name)


def alone(causal: Any, said: WriteText, context: int = CONTEXT) -> str:
    """What `generate()` writes."""
    tokenizer = tiny.byte_tokenizer()
    ids = prompts.encode(tokenizer, said, context).ids
    configured = sampling.configuration(said, causal, tokenizer, min(said.max_tokens, context - len(ids)))
    torch.manual_seed(said.seed)
    prompt = torch.tensor([ids])
    found = causal.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=configured
    )
    stream = Detokenizer(tokenizer)
    return "".join(stream.add(token) for token in found[0, len(ids) :].tolist()) + stream.end()


def plain(folder: Folder, name: str = "llama") -> Any:
    """The model as transformers loads it, apart from any engine."""
    return AutoModelForCausalLM.from_pretrained(folder(name)).eval()


def free_pages(runner: Any) -> int:
    """With nothing running and nothing kept for prompts to come."""
    cache = runner._decoder._cache
    runner._decoder._processor.prepare_next_batch()  # what left since the last step
    cache.evict_cached_blocks()
    cache.pool.try_to_free_sectors()
    return cache.compute_free_capacity(relative=False) // cache.bytes_per_sector


def all_steps(runner: Any) -> None:
    while runner.jobs():
        runner.step()


class TestOneText:
    def test_what_is_streamed_is_what_is_delivered(self, bench: Bench, llama: TextRunner) -> None:
        run(llama, [bench.job("a", request())])
        assert streamed(bench, "a") == written(bench, "a") != ""

    def test_a_seed_gives_the_same_text_and_another_one_another(
        self, bench: Bench, llama: TextRunner
    ) -> None:
        for name, seed in (("a", 1), ("same", 1), ("other", 2)):
            run(llama, [bench.job(name, request(seed=seed, temperature=1.5))])
        assert written(bench, "a") == written(bench, "same") != written(bench, "other")

    def test_temperature_zero_is_greedy(self, bench: Bench, llama: TextRunner) -> None:
        for name, seed in (("a", 1), ("b", 2)):
            run(llama, [bench.job(name, request(seed=seed, temperature=0.0))])
        assert written(bench, "a") == written(bench, "b")

    def test_old_messages_give_way_to_the_context(self, bench: Bench, llama: TextRunner) -> None:
        run(llama, [bench.job("a", request("first", *["x" * 40] * 8)), bench.job("b", request("short"))])
        long, short = bench.ending("a"), bench.ending("b")
        assert isinstance(long, Result)
        assert isinstance(short, Result)
        assert (long.unread[:12], short.unread) == ("first … xxxx", "")

    def test_a_message_longer_than_the_context_is_refused_with_the_limit(
        self, bench: Bench, llama: TextRunner
    ) -> None:
        run(llama, [bench.job("a", request("x" * 500))])
        ending = bench.ending("a")
        assert isinstance(ending, Failed)
        assert ending.code == "prompt_too_long"
        assert "128" in ending.message
        assert "xxx" not in ending.message

    def test_an_empty_answer_is_a_failure(self, bench: Bench, llama: Any) -> None:
        bias = torch.zeros(300)
        bias[llama._tokenizer.eos_token_id] = 1e6
        llama._causal.lm_head.bias = torch.nn.Parameter(bias)
        run(llama, [bench.job("a", request())])
        ending = bench.ending("a")
        assert isinstance(ending, Failed)
        assert ending.code == "bad_output"

    def test_a_picture_is_not_for_this_engine(self, bench: Bench, llama: TextRunner) -> None:
        picture = TextToImage(model="m", prompt="x", width=8, height=8, steps=1, guidance=1.0, seed=1)
        run(llama, [bench.job("a", picture)])
        ending = bench.ending("a")
        assert isinstance(ending, Failed)
        assert ending.code == "model_unavailable"

    def test_the_embedded_model_answers_in_words(self, bench: Bench) -> None:
        runner = bench.load(Model(name="m", kind="text", source=embedded.SMOLLM2))
        said = request("What is the capital of France?", temperature=0.0, max_tokens=16)
        run(runner, [bench.job("a", said), bench.job("b", said)])
        assert "Paris" in written(bench, "a")
        assert written(bench, "a") == written(bench, "b")


class TestStreaming:
    TEXTS = ("plain", "Grüße, 世界! 👩‍🚀🎨", "日本語だけの文章", "a\n\nb  c", "é" * 30)

    @pytest.mark.parametrize("text", TEXTS)
    def test_no_piece_of_a_character_is_ever_sent(self, text: str) -> None:
        tokenizer = tiny.byte_tokenizer()
        stream = Detokenizer(tokenizer)
        pieces = [stream.add(token) for token in tokenizer(text)["input_ids"]] + [stream.end()]
        assert "".join(pieces) == text
        assert not any("\ufffd" in piece for piece in pieces)
        assert any(pieces[:4])  # not all at the end

    def test_a_text_cut_inside_a_character_ends_before_it(self) -> None:
        tokenizer = tiny.byte_tokenizer()
        stream = Detokenizer(tokenizer)
        pieces = [stream.add(token) for token in tokenizer("ok 🎨")["input_ids"][:-1]]
        assert "".join([*pieces, stream.end()]) == "ok "

    @settings(max_examples=30, deadline=None)
    @given(text=st.text(st.characters(exclude_characters="\ufffd", exclude_categories=("Cs",)), max_size=40))
    def test_the_pieces_are_the_whole(self, text: str) -> None:
        tokenizer = tiny.byte_tokenizer()
        stream = Detokenizer(tokenizer)
        pieces = [stream.add(token) for token in tokenizer(text)["input_ids"]]
        assert "".join([*pieces, stream.end()]) == text


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 5.0])  # flat: more than what is looked at first
@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.95, 0.999])
def test_the_nucleus_is_the_librarys(sharpness: float, top_p: float) -> None:
    scores = sharpness * torch.randn(1, 5000, generator=torch.Generator().manual_seed(1))
    whole = TopPLogitsWarper(top_p)
    ids: Any = torch.zeros(1, 1, dtype=torch.long)
    differing = sampling.Nucleus(whole)(ids, scores) != whole(ids, scores)
    assert scores.softmax(dim=-1)[differing].sum() < 1e-5  # what rounding decides at the very edge


wishes = st.builds(
    request,
    st.sampled_from(("a", "hello", "tell me more of it", "x" * 50)),
    st.sampled_from(("why", COMMON + " Go on.")),
    temperature=st.sampled_from((0.0, 0.7, 1.5)),
    top_p=st.sampled_from((0.5, 0.95, 1.0)),
    top_k=st.sampled_from((0, 5)),
    repetition_penalty=st.sampled_from((1.0, 1.3)),
    seed=st.integers(0, 5),
    max_tokens=st.integers(1, 14),
)
arrivals = st.lists(
    st.tuples(wishes, st.integers(0, 12), st.none() | st.integers(0, 25)), min_size=1, max_size=7
)


@pytest.fixture(scope="module")
def small(folder: Folder) -> tuple[Any, Any]:
    """An engine for three abreast with a cache for two and a half contexts, and the same model by itself; both end
    their texts with any of many tokens."""
    causal = plain(folder)
    settings = worker_settings(texts_max=3, text_cache_bytes=320 * token_bytes(causal))
    runner = runner_of(folder, Bench(Host(settings)))
    ends = [257, *range(32, 48), *range(100, 120)]
    causal.generation_config.eos_token_id = runner._causal.generation_config.eos_token_id = ends
    return runner, causal


class TestSideBySide:
    @settings(max_examples=40, deadline=None)
    @given(arrivals=arrivals)
    def test_each_text_is_the_one_written_alone(
        self, small: tuple[Any, Any], arrivals: list[tuple[WriteText, int, int | None]]
    ) -> None:
        (runner, causal), bench = small, Bench(Host(worker_settings()))
        runner.abandon()
        empty = free_pages(runner)
        jobs = [bench.job(str(number), said) for number, (said, _, _) in enumerate(arrivals)]
        begun: set[str] = set()
        for step in itertools.count():
            for job, (_, joins, cancelled) in zip(jobs, arrivals, strict=True):
                if job.id not in begun and joins <= step and runner.room(job):
                    runner.begin(job)
                    begun.add(job.id)
                job.cancelled |= cancelled is not None and cancelled <= step
            assert len(runner.jobs()) <= 3
            runner.step()
            if len(begun) == len(jobs) and not runner.jobs():
                break
        for job, (said, _, _) in zip(jobs, arrivals, strict=True):
            expected = alone(causal, said)
            match bench.ending(job.id):
                case Cancelled(share=share):
                    assert expected.startswith(streamed(bench, job.id))
                    assert share < 1
                case Failed(code=code):
                    assert (code, expected.strip()) == ("bad_output", "")
                case Result(artifacts=(artifact,)):
                    assert artifact.data.decode() == expected == streamed(bench, job.id)
                case other:
                    raise AssertionError(other)
        assert free_pages(runner) == empty

    @pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "mamba"])
    def test_so_for_every_family(
        self, family: str, bench: Bench, folder: Folder, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Mamba, which has no attention, writes one after the other and says so to the operator."""
        runner, causal = runner_of(folder, bench, family), plain(folder, family)
        assert ("one after the other" in capfd.readouterr().err) == (family == "mamba")
        said = [
            request("a", temperature=0.0, repetition_penalty=1.0),
            request("hello you", temperature=1.0, max_tokens=9),
            request("x" * 30, temperature=0.7, top_k=7),
        ]
        run(runner, [bench.job(str(number), each) for number, each in enumerate(said)])
        for number, each in enumerate(said):
            assert written(bench, str(number)) == alone(causal, each, runner._context)

    def test_a_text_joins_at_the_next_step(self, bench: Bench, llama: TextRunner) -> None:
        first, second = bench.job("a", request(max_tokens=40)), bench.job("b", request(max_tokens=4))
        llama.begin(first)
        llama.step()
        llama.begin(second)
        for _ in range(4):
            llama.step()
        assert isinstance(bench.ending("b"), Result)
        assert llama.jobs() == [first]

    def test_cancel_takes_effect_at_the_next_step(self, bench: Bench, llama: Any) -> None:
        first, second = bench.job("a", request(max_tokens=60)), bench.job("b", request())
        for job in (first, second):
            llama.begin(job)
        llama.step()
        first.cancelled = True
        llama.step()
        ending = bench.ending("a")
        assert isinstance(ending, Cancelled)
        assert 0 < ending.share < 0.1
        assert ending.device_seconds > 0
        assert llama.jobs() == [second]

    def test_what_a_step_took_is_shared_among_its_texts(self, bench: Bench, llama: TextRunner) -> None:
        jobs = [bench.job(str(number), request(max_tokens=8)) for number in range(4)]
        began = time.monotonic()
        run(llama, jobs)
        assert 0 < sum(job.device_seconds for job in jobs) <= time.monotonic() - began
        assert jobs[0].device_seconds == pytest.approx(jobs[1].device_seconds)

    def test_what_prompts_begin_with_is_read_once(self, bench: Bench, llama: Any) -> None:
        read: list[int] = []
        llama._causal.register_forward_pre_hook(
            lambda _, args, named: read.append(named["input_ids"].shape[1]), with_kwargs=True
        )
        for name in ("a", "b"):
            system = Message(role="system", content=COMMON)
            asked = Message(role="user", content=name)
            run(llama, [bench.job(name, request(messages=(system, asked), max_tokens=2))])
        first, _, second, _ = read
        assert second <= 16 < 2 * 16 < first


class TestRoom:
    def test_is_as_large_as_the_settings_say(self, bench: Bench, folder: Folder) -> None:
        bench.host.settings = worker_settings(texts_max=2)
        runner = runner_of(folder, bench)
        for name in ("a", "b"):
            assert runner.room(bench.job(name, request()))
            runner.begin(bench.job(name, request()))
        assert not runner.room(bench.job("c", request()))
        all_steps(runner)
        assert runner.room(bench.job("c", request()))

    def test_who_does_not_fit_into_the_cache_waits_first_in_line(self, small: tuple[Any, Any]) -> None:
        (runner, _), bench = small, Bench(Host(worker_settings()))
        for name in ("a", "b", "c"):
            runner.begin(bench.job(name, request("x" * 80, max_tokens=40)))
        runner.step()
        assert not runner.room(bench.job("d", request()))
        all_steps(runner)
        assert all(not isinstance(bench.ending(name), Cancelled) for name in ("a", "b", "c"))

    def test_memory_is_the_weights_and_a_bounded_cache(self, small: tuple[Any, Any], folder: Folder) -> None:
        runner, causal = small
        weights = sum(tensor.nbytes for tensor in causal.parameters())
        cache = runner.memory_bytes() - weights
        assert 200 * token_bytes(causal) < cache < 1.5 * 320 * token_bytes(causal) + 2**20

    def test_a_cache_smaller_than_the_context_bounds_the_prompt(self, bench: Bench, folder: Folder) -> None:
        bench.host.settings = worker_settings(texts_max=1, text_cache_bytes=1)
        assert runner_of(folder, bench)._context == CONTEXT


class TestWhenAStepFails:
    """`spoil` makes forwards fail as a full device or a model of too narrow numbers does."""

    SAID = tuple(
        request(words, temperature=1.0, max_tokens=6 + len(words))
        for words in ("a", "hello", "no", "why", "?")
    )

    def run(self, bench: Bench, runner: Any) -> None:
        run(runner, [bench.job(str(number), each) for number, each in enumerate(self.SAID)])

    def assert_whole(self, bench: Bench, folder: Folder, *, but: tuple[int, ...] = ()) -> None:
        causal = plain(folder)
        for number, each in enumerate(self.SAID):
            if number not in but:
                assert written(bench, str(number)) == alone(causal, each) == streamed(bench, str(number))

    def test_out_of_memory_halves_how_many_run(self, bench: Bench, llama: Any, folder: Folder) -> None:
        sizes = full_above(llama, 2)
        self.run(bench, llama)
        self.assert_whole(bench, folder)
        assert sizes[0] == 5
        assert sizes.count(5) == 1

    def test_in_the_middle_of_texts_too(self, bench: Bench, llama: Any, folder: Folder) -> None:
        after = iter(range(100))
        full_above(llama, lambda: 5 if next(after) < 4 else 1)
        self.run(bench, llama)
        self.assert_whole(bench, folder)

    def test_other_models_give_way_first(self, bench: Bench, llama: Any, folder: Folder) -> None:
        allowed = [2]
        sizes = full_above(llama, lambda: allowed[0])
        bench.host.relieve = lambda: allowed[0] < 5 and not allowed.__setitem__(0, 5)
        self.run(bench, llama)
        self.assert_whole(bench, folder)
        assert sizes[:2] == [5, 5]

    def test_who_runs_out_alone_fails_alone(self, bench: Bench, llama: Any) -> None:
        allowed = [0]
        full_above(llama, lambda: allowed[0])
        run(llama, [bench.job("a", request())])
        ending = bench.ending("a")
        assert isinstance(ending, Failed)
        assert ending.code == "out_of_memory"
        allowed[0] = 9
        run(llama, [bench.job("b", request())])
        assert written(bench, "b")

    def test_one_whose_numbers_overflow_fails_alone(self, bench: Bench, llama: Any, folder: Folder) -> None:
        why = torch.tensor(tiny.byte_tokenizer()("why")["input_ids"])

        def spoil(_: Any, args: Any, named: dict[str, Any], output: Any) -> None:
            """All scores of a batch in which somebody reads "why", as attention over all would."""
            ids = named["input_ids"][0]
            if any(torch.equal(three, why) for three in ids.unfold(0, 3, 1)) if len(ids) > 2 else False:
                output.logits[:] = torch.nan

        llama._causal.register_forward_hook(spoil, with_kwargs=True)
        self.run(bench, llama)
        self.assert_whole(bench, folder, but=(3,))
        ending = bench.ending("3")
        assert isinstance(ending, Failed)
        assert ending.code == "bad_output"
        assert "bfloat16" in ending.message

    def test_after_an_unknown_error_all_is_forgotten_and_nothing_is_held(
        self, bench: Bench, llama: Any, folder: Folder
    ) -> None:
        empty = free_pages(llama)
        hook = llama._causal.register_forward_pre_hook(raise_at(3), with_kwargs=True)
        jobs = [bench.job(f"lost {number}", each) for number, each in enumerate(self.SAID)]
        with pytest.raises(LookupError):
            run(llama, jobs)
        llama.abandon()
        assert llama.jobs() == []
        assert not any(job.ended for job in jobs)
        hook.remove()
        self.run(bench, llama)
        self.assert_whole(bench, folder)
        assert free_pages(llama) == empty


def full_above(runner: Any, rows_max: int | Callable[[], int]) -> list[int]:
    """Lets forwards of more texts than `rows_max` run out of memory. Returns how many texts each forward had."""
    sizes: list[int] = []

    def hook(_: Any, args: Any, named: dict[str, Any]) -> None:
        sizes.append(len(named["cu_seq_lens_q"]) - 1)
        if sizes[-1] > (rows_max() if callable(rows_max) else rows_max):
            raise torch.OutOfMemoryError("out of memory")

    runner._causal.register_forward_pre_hook(hook, with_kwargs=True)
    return sizes


def raise_at(forward: int) -> Callable[..., None]:
    left = iter(range(forward))

    def hook(*_: Any) -> None:
        if next(left, None) is None:
            raise LookupError

    return hook


class TestOneAfterTheOther:
    @pytest.fixture
    def mamba(self, bench: Bench, folder: Folder) -> Any:
        return runner_of(folder, bench, "mamba")

    def test_one_at_a_time(self, bench: Bench, mamba: TextRunner) -> None:
        mamba.begin(bench.job("a", request()))
        mamba.begin(bench.job("b", request()))
        mamba.step()
        assert written(bench, "a") == streamed(bench, "a")
        assert [job.id for job in mamba.jobs()] == ["b"]
        assert not mamba.room(bench.job("c", request()))
        all_steps(mamba)
        assert mamba.room(bench.job("c", request()))

    def test_cancel_stops_at_the_next_token(self, bench: Bench, mamba: TextRunner) -> None:
        job = bench.job("a", request(max_tokens=60, temperature=1.0))
        send = job.send

        def cancel_at_first_token(event: Any) -> None:
            send(event)
            job.cancelled |= isinstance(event, Token)

        job.send = cancel_at_first_token
        run(mamba, [job])
        ending = bench.ending("a")
        assert isinstance(ending, Cancelled)
        assert 0 < ending.share < 0.5
        assert ending.device_seconds > 0
