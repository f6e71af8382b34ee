"""What operators see of the devices and the queue, and may do with them, wherever the devices are."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from bot.chat import Table
from bot.jobs import ending
from bot.jobs.refusals import Refusal
from generators.device import DeviceStatus, State
from storage import devices, jobs, overview
from storage.database import Session
from storage.devices import Device
from storage.jobs import Job

COLUMNS = ("device or tier", "state", "running", "waiting", "models", "about it")


class Entry(msgspec.Struct, frozen=True):
    """A device of some process. `name` tells it from all others."""

    name: str
    device: Device
    status: DeviceStatus

    @property
    def state(self) -> State:
        """A device that is to be drained takes no more jobs, though its process may not have said so yet."""
        is_draining = self.device.drained and self.status.state != "drained"
        return "draining" if is_draining else self.status.state


def entries(session: Session) -> list[Entry]:
    """All devices; those of one name in several processes are told apart by their process."""
    known = devices.known(session)
    count = Counter(each.name for each in known)
    return [
        Entry(
            each.name if count[each.name] == 1 else f"{each.name}@{each.process}",
            each,
            msgspec.json.decode(each.status, type=DeviceStatus),
        )
        for each in known
    ]


def table(session: Session) -> Table:
    """Devices first, then what waits and runs in each tier."""
    found = [_device_row(each) for each in entries(session)]
    tiers = [
        (
            each.tier,
            "queue",
            str(each.running),
            str(each.waiting),
            "",
            f"{each.cost_us / 1e6:.0f} s predicted",
        )
        for each in overview.tiers(session)
    ]
    return Table(title="pool", columns=COLUMNS, rows=tuple(found + tiers))


def want(session: Session, name: str, *, drained: bool) -> None:
    """Drains or resumes the device, or all of this name. Raises Refusal."""
    known = entries(session)
    meant = [each.device for each in known if name in (each.name, each.device.name)]
    if not meant:
        names = ", ".join(each.name for each in known) or "-"
        raise Refusal("admin-no-device", device=name[:80] or "-", devices=names)
    devices.want(session, meant, drained=drained)


def cancel(session: Session, number: str, now: datetime) -> Job:
    """Ends anybody's job: `12` or `#12`; what was done of it is paid for. Raises Refusal."""
    bare = number.removeprefix("#")
    job = jobs.get(session, int(bare)) if bare.isascii() and bare.isdigit() and len(bare) < 18 else None
    if job is None:
        raise Refusal("admin-no-job", job=number[:40] or "-")
    return ending.cancel(session, job.account, job.id, now)


def _device_row(entry: Entry) -> tuple[str, ...]:
    status = entry.status
    models = ", ".join(
        f"{model} {_gb(size)}" + (f" × {status.rows[model]:.1f} rows" if model in status.rows else "")
        for model, size in sorted(status.resident.items())
    )
    about = [status.name, _gb(status.memory_bytes) if status.memory_bytes else ""]
    about.append(f"{status.restarts} restarts" if status.restarts else "")
    return (
        entry.name, entry.state, str(status.running), str(status.waiting), models, ", ".join(filter(None, about)),
    )  # fmt: skip


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB"
