"""What the bot takes from the child that asks torch for devices, however that goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from generators import discovery


@pytest.mark.parametrize(
    ("child", "found", "warned"),
    [
        ("""print('a driver says hello'); print('["cuda:0", "cuda:1"]')""", ("cuda:0", "cuda:1"), False),
        ("print('[]')", ("cpu",), False),
        ("raise ImportError('torch')", ("cpu",), True),
        ("print('Segmentation fault')", ("cpu",), True),
        ("import time; time.sleep(60)", ("cpu",), True),
    ],
)
async def test_what_torch_says_is_taken_and_what_it_cannot_say_is_told_to_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str, found: tuple[str, ...], warned: bool
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/usr/bin/env python3\n{child}\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(discovery.sys, "executable", str(interpreter))
    monkeypatch.setattr(discovery, "_hints", lambda: True)
    monkeypatch.setattr(discovery, "_SECONDS_MAX", 0.5 if "sleep" in child else 30.0)
    with capture_logs() as logged:
        assert await discovery.devices() == found
    assert [each["event"] for each in logged] == ["devices_unknown"] * warned
