"""`/healthz` and `/metrics`: what a monitor needs, read from the database and the pool when it asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from bot import fleet
from bot.fleet import Entry
from bot.jobs.forecast import Accuracy
from bot.jobs.rescuer import Rescuer
from generators.device import DeviceStatus
from generators.pool import Pool
from storage import deliveries, jobs, overview
from storage.database import Database, DatabaseUnavailable, Session
from storage.overview import TierView

STATES = ("available", "running", "retryable", "completed", "discarded", "cancelled")


class Monitor:
    def __init__(
        self, database: Database, rescuer: Rescuer, pool: Pool | None, accuracy: Accuracy, *,
        clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._database, self._rescuer, self._pool, self._clock = database, rescuer, pool, clock
        self._accuracy = accuracy

    async def health(self) -> dict[str, str]:
        """Each part: "ok" or what is wrong."""
        parts = {"database": "ok", "ledger": "ok" if not self._rescuer.drift else "does not add up"}
        try:
            await self._database.read(jobs.alive)
        except DatabaseUnavailable as error:
            parts["database"] = str(error)
        if self._pool is not None:
            parts["devices"] = _device_health(self._pool.devices())
        return parts

    async def metrics(self) -> bytes:
        """Prometheus text. Raises DatabaseUnavailable."""
        counts, (waiting, oldest), tiers, known = await self._database.read(_figures)
        registry = CollectorRegistry()
        states = Gauge("atelier_jobs", "Jobs by state", ["state"], registry=registry)
        for state in STATES:
            states.labels(state).set(counts.get(state, 0))
        lag = (self._clock() - oldest).total_seconds() if oldest else 0.0
        _gauge(registry, "atelier_queue_jobs", "Jobs that wait", counts.get("available", 0))
        _gauge(registry, "atelier_deliveries_waiting", "Results on their way to people", waiting)
        _gauge(registry, "atelier_delivery_lag_seconds", "Age of the oldest waiting result", lag)
        _gauge(registry, "atelier_ledger_drift", "Figures that do not add up", len(self._rescuer.drift))
        _forecast(registry, self._accuracy)
        _tiers(registry, tiers)
        _devices(registry, known)
        return generate_latest(registry)


def _figures(
    session: Session,
) -> tuple[dict[str, int], tuple[int, datetime | None], list[TierView], list[Entry]]:
    return jobs.counts(session), deliveries.lag(session), overview.tiers(session), fleet.entries(session)


def _device_health(devices: tuple[DeviceStatus, ...]) -> str:
    return "ok" if any(each.state in ("ready", "starting") for each in devices) else "no device is ready"


def _gauge(registry: CollectorRegistry, name: str, what: str, value: float) -> None:
    Gauge(name, what, registry=registry).set(value)


def _forecast(registry: CollectorRegistry, accuracy: Accuracy) -> None:
    """How the latest promises of a place in line were kept."""
    _gauge(
        registry,
        "atelier_forecast_jobs",
        "Jobs whose first forecast was checked since the start",
        accuracy.kept,
    )
    error = Gauge("atelier_forecast_error_seconds", "Mean absolute error", ["of"], registry=registry)
    bias = Gauge("atelier_forecast_bias_seconds", "Mean error: late is positive", ["of"], registry=registry)
    for what in ("start", "finish"):
        error.labels(what).set(accuracy.mean_absolute(what))
        bias.labels(what).set(accuracy.bias(what))


def _tiers(registry: CollectorRegistry, tiers: Sequence[TierView]) -> None:
    gauge = Gauge("atelier_tier_jobs", "Jobs of a tier", ["tier", "state"], registry=registry)
    for each in tiers:
        gauge.labels(each.tier, "running").set(each.running)
        gauge.labels(each.tier, "waiting").set(each.waiting)


def _devices(registry: CollectorRegistry, known: Sequence[Entry]) -> None:
    """Of every process that generates, this one or another."""

    def gauge(name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, ["device", *labels], registry=registry)

    ready = gauge("atelier_device_ready", "1 when the device takes jobs")
    running = gauge("atelier_device_jobs", "Jobs on the device", "state")
    restarts = gauge("atelier_device_restarts", "Restarts of its worker")
    resident = gauge("atelier_model_bytes", "Memory of resident models", "model")
    rows = gauge("atelier_model_rows", "Mean rows of a model's forward passes", "model")
    for name, each in ((entry.name, entry.status) for entry in known):
        ready.labels(name).set(each.state == "ready")
        running.labels(name, "running").set(each.running)
        running.labels(name, "waiting").set(each.waiting)
        restarts.labels(name).set(each.restarts)
        for model, size in each.resident.items():
            resident.labels(name, model).set(size)
        for model, mean in each.rows.items():
            rows.labels(name, model).set(mean)
