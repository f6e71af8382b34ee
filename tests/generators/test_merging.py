"""Which calls may become one: only those of one number format, whichever way their schedulers write the time."""

from __future__ import annotations

import torch

from generators import families, merging

UNET = families.DENOISERS["UNet2DConditionModel"]


def call(timestep: torch.Tensor, *, rows: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, object]:
    sample = torch.ones(rows, 4, 8, 8, dtype=dtype)
    return merging.joinable({"sample": sample, "timestep": timestep, "return_dict": False}, UNET)


def test_whole_times_and_broken_ones_share_a_forward_and_stay_what_they_are() -> None:
    calls = [call(torch.tensor(999)), call(torch.tensor(12.5)), call(torch.tensor([7]), rows=1)]
    assert len({merging.signature(each, UNET) for each in calls}) == 1
    joined = merging.joined(calls, UNET)
    assert joined["timestep"].tolist() == [999.0, 999.0, 12.5, 12.5, 7.0]
    assert joined["sample"].shape == (5, 4, 8, 8)


def test_other_number_formats_other_shapes_and_other_switches_are_forwards_of_their_own() -> None:
    time = torch.tensor(5)
    usual = call(time)
    others = [
        call(time, dtype=torch.bfloat16),
        usual | {"sample": torch.ones(2, 4, 8, 16)},
        usual | {"return_dict": True},
        usual | {"mask": torch.ones(2, 1)},
        usual | {"more": {"embeds": torch.ones(2, 8)}},
        usual | {"more": {"embeds": torch.ones(2, 8, dtype=torch.float16)}},
    ]
    assert len({merging.signature(each, UNET) for each in (usual, *others)}) == len(others) + 1
