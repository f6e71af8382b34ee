"""What may be said of an error: where it happened, never its text, which may quote a prompt."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path


def place(error: BaseException) -> str:
    """The type of an error and the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"


def print_frames(error: BaseException) -> None:
    """A traceback for the operator's log."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    sys.stderr.write(f"{type(error).__name__} in the worker:\n{frames}")


def summary(error: BaseException) -> str:
    """One bounded line, for errors of loading, which know no prompt."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
