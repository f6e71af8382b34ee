"""The command line as an operator types it, within the test's process: its exit code and both its streams."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from bot.__main__ import main


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence of a command that failed as it should."""
        lines = self.err.strip().splitlines()
        assert self.code == 2, self
        assert len(lines) == 1, self.err
        assert lines[0].startswith("atelier: "), self.err
        return lines[0].removeprefix("atelier: ")


Atelier = Callable[..., Said]


@pytest.fixture
def atelier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Atelier:
    """Runs `atelier ...` in an empty folder whose `data` is the instance's home."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **environ: str) -> Said:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["atelier", *map(str, arguments)])
            for name, value in environ.items():
                patch.setenv(name, value)
            try:
                main()
                code = 0
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else int(left.code is not None)
            finally:
                structlog.reset_defaults()
        streams = capsys.readouterr()
        return Said(code=code, out=streams.out, err=streams.err)

    return run
