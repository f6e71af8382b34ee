"""Texts written side by side against the same texts written one after the other with transformers' `generate()`.

Each seed has eight other prompts and dice; both sides write the same number of tokens with the settings that the
bot uses (temperature, top-p, repetition penalty), on one thread, in the same process, in turns. The clock is CPU
time on a CPU, wall time on a GPU. `first` is from asking until the first piece of text, all asked at once.

    python -m tests.benchmarks.text [--tokens 32] [--device cpu] [--seeds 3] [--source embedded:smollm2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from transformers.utils import logging

from generators import embedded, engine, prompts, sampling
from generators.engine import Host
from generators.job import Job
from generators.messages import FromWorker, Submit, Token
from generators.models import Model
from generators.requests import Message, WriteText
from generators.settings import WorkerSettings
from tests.benchmarks.report import Figures, last_line, table

CONCURRENT = (1, 4, 8)
RATIO_MIN = {"cpu": 2.8, "cuda": 6.0}
QUESTIONS = (
    "Name three colours.", "What is a cat?", "Write a haiku about rain.", "Count to ten.", "Who was Newton?",
    "Explain what a GPU does.", "Tell a joke about a penguin.", "What is the capital of France?",
    "Write a birthday wish.", "How do I boil an egg?", "Describe the sea at night.", "What do bees eat?",
)  # fmt: skip


class Bench:
    def __init__(self, source: str, device: str, tokens: int) -> None:
        settings = WorkerSettings(
            device=device, batch_max=1, memory_bytes=0, heartbeat_seconds=1.0, cache=".cache", preview_every=0,
            threads=1, affinity_seconds=0.0,
        )  # fmt: skip
        torch.set_num_threads(1)
        logging.disable_progress_bar()
        self.runner: Any = engine.load(Model(name="m", kind="text", source=source), Host(settings))
        self.causal, self.tokenizer = self.runner._causal, self.runner._tokenizer
        self.causal.generation_config.eos_token_id = self.causal.config.vocab_size  # is never written
        self.tokens = tokens
        self.is_cpu = device == "cpu"

    def clock(self) -> float:
        if self.is_cpu:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def asked(self, seed: int) -> list[WriteText]:
        return [
            WriteText(
                model="m",
                messages=(Message(role="user", content=QUESTIONS[(seed + number) % len(QUESTIONS)]),),
                max_tokens=self.tokens,
                seed=100 * seed + number,
            )
            for number in range(max(CONCURRENT))
        ]

    def sequential(self, asked: list[WriteText]) -> float:
        """Tokens a second."""
        began = self.clock()
        for request in asked:
            ids = prompts.encode(self.tokenizer, request, self.runner._context).ids
            prompt = torch.tensor([ids], device=self.causal.device)
            torch.manual_seed(request.seed)
            with torch.inference_mode():
                self.causal.generate(
                    input_ids=prompt,
                    attention_mask=torch.ones_like(prompt),
                    generation_config=sampling.configuration(
                        request, self.causal, self.tokenizer, self.tokens
                    ),
                )
        return len(asked) * self.tokens / (self.clock() - began)

    def together(self, asked: list[WriteText]) -> tuple[float, float]:
        """Tokens a second, and the mean seconds until a text's first piece."""
        began = self.clock()
        first: dict[str, float] = {}

        def hear(event: FromWorker) -> None:
            if isinstance(event, Token) and event.job not in first:
                first[event.job] = self.clock() - began

        for number, request in enumerate(asked):
            self.runner.begin(Job(Submit(job=str(number), request=request), hear))
        while self.runner.jobs():
            self.runner.step()
        return len(asked) * self.tokens / (self.clock() - began), sum(first.values()) / len(first)


def measure(bench: Bench, seeds: int) -> Figures:
    bench.sequential(bench.asked(0)[:1])
    bench.together(bench.asked(0)[:2])
    rounds: dict[str, list[float]] = {}
    note: Callable[[str, float], None] = lambda name, value: rounds.setdefault(name, []).append(value)  # noqa: E731
    for seed in range(1, seeds + 1):
        asked = bench.asked(seed)
        sequential = bench.sequential(asked)
        note("sequential_tokens_per_second", sequential)
        for count in CONCURRENT:
            speed, first = bench.together(asked[:count])
            note(f"tokens_per_second_{count}", speed)
            note(f"first_ms_{count}", first * 1e3)
            note(f"ratio_{count}", speed / sequential)
    return {name: median(values) for name, values in rounds.items()} | {
        "ratio_min": min(rounds[f"ratio_{max(CONCURRENT)}"])
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--source", default=embedded.SMOLLM2)
    args = parser.parse_args()
    figures = measure(Bench(args.source, args.device, args.tokens), args.seeds)
    columns = ("tokens_per_second", "ratio", "first_ms")
    table(
        f"Tokens a second, {args.source} on {args.device}, one thread",
        ("texts at once", "tokens/s", "over generate()", "first piece ms"),
        [
            ("generate(), one by one", figures["sequential_tokens_per_second"], 1.0, "-"),
            *((str(count), *(figures[f"{name}_{count}"] for name in columns)) for count in CONCURRENT),
        ],
    )
    figures["ok"] = figures[f"ratio_{max(CONCURRENT)}"] >= RATIO_MIN[args.device.partition(":")[0]]
    last_line(figures)


if __name__ == "__main__":
    main()
