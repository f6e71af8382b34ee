"""Schedulers by the names that people know. Each is made anew for a batch: instances keep state."""

from __future__ import annotations

from typing import Any

NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "dpm++2m_karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "dpm++2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}


def fresh(original: Any, name: str) -> Any:
    """A new scheduler of the friendly `name`, with the settings of the one that the model came with.

    An empty or unknown name means the model's own, and so does any name for a flow-matching model: the others
    solve another equation.
    """
    import diffusers

    if name not in NAMES or "FlowMatch" in type(original).__name__:
        return original.from_config(original.config)
    kind, changes = NAMES[name]
    library: Any = diffusers
    return getattr(library, kind).from_config(original.config, **changes)
