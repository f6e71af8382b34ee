"""What sharing forwards step by step is worth: the picture engine against stock pipelines, in one run.

Jobs of mixed steps, guidance and prompts arrive at once (saturated), then as a Poisson stream at 0.8 of the step
level's capacity, long enough that the tails are those of a stream and not of its first seconds, in which no queue
has built up yet. Four ways to serve them, each with the same files at the end:

    one at a time    the stock pipeline, job after job (too slow for the stream: its queue has no end)
    static           the stock pipeline, batches of jobs equal in steps and guidance
    request level    mixed batches, but nobody joins before all of a batch are done
    step level       the engine as it serves

The clock is CPU time on one thread (seconds of the device with `--device cuda`, where random models of real shapes
are drawn and the denoiser's own batch curve is measured first), so other programs do not count.

    python -m tests.benchmarks.pool [--eager] [--device cuda --shape sdxl|sd3|flux --side 512]

The engine, not the stock pipelines, serves a compiled denoiser (a model's `compile = true`) unless told `--eager`; what
compiling takes is not counted, as it happens once, while a model loads.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgspec
import numpy as np
import torch
from PIL import Image

from generators import compiling, hardware, labels, schedulers
from generators.engine import Host
from generators.image import ImageRunner
from generators.job import Job
from generators.messages import Submit
from generators.models import Model
from generators.pipelines import Pipelines, placed
from generators.requests import TextToImage
from generators.settings import WorkerSettings
from tests.benchmarks import shapes
from tests.benchmarks.report import Figures, last_line, percentile, table

STEPS, GUIDANCE, SEEDS = (4, 10, 20, 30), (3.5, 5.0, 7.5), (1, 2, 3)
BATCH = 8  # pictures in a batch, of every way
LOAD = 0.8  # of capacity
THROUGHPUT_MIN, STATIC_MAX, REQUEST_MAX = 3.5, 0.25, 0.75
STEP_MAX_US, JOB_STEP_MAX_US = 150.0, 600.0  # of the fast path; of all that is not a forward


@dataclass(frozen=True)
class Arrival:
    at: float
    request: TextToImage


Clock = Callable[[], float]
Latencies = list[float]


class Bench:
    """One model, and the ways to serve jobs with it."""

    def __init__(self, device: str, shape: str, side: int, cache: str, *, is_eager: bool) -> None:
        self.device, self.side = device, side
        self.clock: Clock = time.process_time if device == "cpu" else self._device_clock
        self.pipeline = shapes.build(shape, device)
        model = Model(name="m", kind="image", source=shape, scheduler="dpm++2m", width=side, height=side)
        settings = WorkerSettings(
            device=device, batch_max=BATCH, memory_bytes=0, heartbeat_seconds=1, cache=cache, preview_every=0,
            threads=1, affinity_seconds=1,
        )  # fmt: skip
        served = Pipelines(placed(shapes.build(shape, device), device), model)
        self.runner = ImageRunner(served, model, Host(settings))
        if not is_eager:
            compiling.compile_steps(served.steps, self.runner, served.usual())
        self.original = self.pipeline.scheduler

    def _device_clock(self) -> float:
        hardware.wait(self.device)
        return time.perf_counter()

    def arrivals(self, count: int, rate: float, seed: int) -> list[Arrival]:
        """`rate` in jobs a second; 0: all at once."""
        chance, now, found = random.Random(seed), 0.0, []
        for number in range(count):
            now += chance.expovariate(rate) if rate else 0.0
            found.append(Arrival(now, self._request(chance, number)))
        return found

    def _request(self, chance: random.Random, number: int) -> TextToImage:
        dogs = chance.randrange(10**6)  # so that nobody has read these words before
        return TextToImage(
            model="m", prompt=f"a red apple and {dogs} dogs", width=self.side, height=self.side, seed=number,
            steps=chance.choice(STEPS), guidance=chance.choice(GUIDANCE),
        )  # fmt: skip

    def stock(self, requests: Sequence[TextToImage]) -> None:
        """One call of the untouched pipeline, and the files."""
        self.pipeline.scheduler = schedulers.of_name(self.original, "dpm++2m")
        first = requests[0]
        output = self.pipeline(
            prompt=[each.prompt for each in requests],
            width=first.width, height=first.height, num_inference_steps=first.steps,
            guidance_scale=first.guidance, output_type="np",
            generator=[torch.Generator().manual_seed(each.seed) for each in requests],
        )  # fmt: skip
        for request, pixels in zip(requests, output.images, strict=True):
            picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
            labels.encode(picture, labels.label(request, seed=request.seed))

    def batched(self, arrivals: Sequence[Arrival], rows: int) -> tuple[float, Latencies]:
        """Batches of equal steps and guidance, oldest first, up to `rows` pictures."""
        now, waiting, coming, took = 0.0, list[Arrival](), list(arrivals), Latencies()
        while waiting or coming:
            now = now if waiting else max(now, coming[0].at)
            waiting += [each for each in coming if each.at <= now]
            coming = [each for each in coming if each.at > now]
            batch = [each for each in waiting if _equal(each.request, waiting[0].request)][:rows]
            waiting = [each for each in waiting if each not in batch]
            began = self.clock()
            self.stock([each.request for each in batch])
            now += self.clock() - began
            took += [now - each.at for each in batch]
        return now, took

    def stepped(self, arrivals: Sequence[Arrival], *, joining: bool) -> tuple[float, Latencies]:
        """The engine; without `joining`, whoever comes waits until all that run have ended."""
        now, coming, running, took = 0.0, list(arrivals), dict[Job, float](), Latencies()
        while coming or running:
            now = now if running else max(now, coming[0].at)
            began = self.clock()
            is_open = joining or not running
            while is_open and coming and coming[0].at <= now and self._has_room(coming[0], running, joining):
                arrival = coming.pop(0)
                job = Job(Submit(job=str(len(coming)), request=arrival.request), lambda event: None)
                running[job] = arrival.at
                self.runner.begin(job)
            self.runner.step()
            now += self.clock() - began
            took += [now - at for job, at in running.items() if job.ended]
            running = {job: at for job, at in running.items() if not job.ended}
        return now, took

    def _has_room(self, arrival: Arrival, running: dict[Job, float], joining: bool) -> bool:
        job = Job(Submit(job="asks", request=arrival.request), lambda event: None)
        return self.runner.room(job) if joining else len(running) < BATCH

    def overhead_us(self) -> tuple[float, float]:
        """CPU of a saturated run outside the modules' own forwards: of each further step of a job (the shell, the
        hub, the pipelines' and samplers' own code), and of each job all in all, by its steps (words and files too)."""
        few, many = (median(self._outside(steps) for _ in SEEDS) for steps in (min(STEPS), max(STEPS)))
        return (many - few) / (max(STEPS) - min(STEPS)), self._outside(0) / (sum(STEPS) / len(STEPS))

    def _outside(self, steps: int) -> float:
        """Microseconds a job, of `steps` or of mixed ones."""
        inside = [0.0]
        jobs = [each.request for each in self.arrivals(2 * BATCH, 0, 9)]
        jobs = [msgspec.structs.replace(each, steps=steps or each.steps) for each in jobs]
        calls = _timed(self.runner._pipelines._text_to_image, self.clock, inside)
        spent, _ = self.stepped([Arrival(0, each) for each in jobs], joining=True)
        for module, genuine in calls:
            module.forward = genuine
        return (spent - inside[0]) / len(jobs) * 1e6

    def curve(self) -> Figures:
        """Rows a second of the denoiser by itself, by rows."""
        found: Figures = {}
        for rows in (1, 2, 4, 8, 16):
            call = shapes.step(self.pipeline, self.side, rows)
            with torch.inference_mode():
                call()
                began = self.clock()
                for _ in range(3):
                    call()
                found[f"curve_{rows}_rows_per_second"] = 3 * rows / (self.clock() - began)
        return found


def _equal(one: TextToImage, other: TextToImage) -> bool:
    return (one.steps, one.guidance) == (other.steps, other.guidance)


def _timed(pipeline: Any, clock: Clock, inside: list[float]) -> list[tuple[Any, Any]]:
    """Count the time in all modules of a pipeline; what to put back."""
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    vae = pipeline.vae
    modules = [*(part for part in parts if part is not vae), vae.decoder]

    def timed(genuine: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(genuine)
        def forward(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            output = genuine(*args, **kwargs)
            inside[0] += clock() - began
            return output

        return forward

    calls = [(module, module.forward) for module in modules]
    for module, genuine in calls:
        module.forward = timed(genuine)
    return calls


def measure(bench: Bench, count: int, streamed: int) -> Figures:
    ways: dict[str, Callable[[Sequence[Arrival]], tuple[float, Latencies]]] = {
        "one_at_a_time": lambda arrivals: bench.batched(arrivals, 1),
        "static": lambda arrivals: bench.batched(arrivals, BATCH),
        "request_level": lambda arrivals: bench.stepped(arrivals, joining=False),
        "step_level": lambda arrivals: bench.stepped(arrivals, joining=True),
    }
    for way in ways.values():
        way(bench.arrivals(BATCH, 0, 0))  # warm: also the profile of row caps
    ways["step_level"](bench.arrivals(count, 0, 0))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    tails: dict[str, list[float]] = {name: [] for name in ways if name != "one_at_a_time"}
    for seed in SEEDS:
        for name, way in ways.items():
            rates[name].append(count / way(bench.arrivals(count, 0, seed))[0])
        stream = bench.arrivals(streamed, LOAD * rates["step_level"][-1], seed)
        for name, taken in tails.items():
            taken.append(percentile(ways[name](stream)[1], 95))
    rows = [(name.replace("_", " "), median(rates[name]), _middle(tails.get(name))) for name in ways]
    table("Mixed jobs", ("way", "jobs/s, saturated", "p95 s at 0.8 of capacity"), rows)
    return {
        **{f"{name}_jobs_per_second": median(rates[name]) for name in ways},
        **{f"{name}_p95_seconds": median(taken) for name, taken in tails.items()},
        "throughput_ratio": _ratio(rates["step_level"], rates["one_at_a_time"]),
        "p95_over_static": _ratio(tails["step_level"], tails["static"]),
        "p95_over_request_level": _ratio(tails["step_level"], tails["request_level"]),
    }


def _middle(figures: Sequence[float] | None) -> float | str:
    return median(figures) if figures else "-"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the seeds, both sides of each in the same minutes."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=128, help="that come at once")
    parser.add_argument("--stream", type=int, default=640, help="that come one by one")
    parser.add_argument("--eager", action="store_true", dest="is_eager")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", choices=shapes.NAMES, default="tiny")
    parser.add_argument("--side", type=int, default=16, help="pixels; 16 are 8 x 8 latents of the tiny model")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        bench = Bench(args.device, args.shape, args.side, cache, is_eager=args.is_eager)
        figures: Figures = {"device": hardware.name(args.device), "shape": args.shape, "side": args.side}
        figures |= bench.curve()
        figures |= measure(bench, args.jobs, args.stream)
        figures["rows_of_a_forward"] = bench.runner._hub.cap(
            bench.runner._pipelines.denoiser, (args.side,) * 2
        )
        figures["overhead_us_per_step"], figures["overhead_us_per_job_step"] = bench.overhead_us()
    figures["ok"] = args.device != "cpu" or (
        float(figures["throughput_ratio"]) >= THROUGHPUT_MIN
        and float(figures["p95_over_static"]) <= STATIC_MAX
        and float(figures["p95_over_request_level"]) <= REQUEST_MAX
        and float(figures["overhead_us_per_step"]) <= STEP_MAX_US
        and float(figures["overhead_us_per_job_step"]) <= JOB_STEP_MAX_US
    )
    last_line(figures)


if __name__ == "__main__":
    main()
