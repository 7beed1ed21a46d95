"""Fuzz targets, each for a bounded time: the same inputs in every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_RUNS = 20_000


@pytest.mark.parametrize("target", sorted(path.name for path in _HERE.glob("fuzz_*.py")))
def test_nothing_gets_through(target: str, tmp_path: Path) -> None:
    # No limit of memory: the peak that it looks at begins with that of this process, which may have held models.
    limits = [f"-runs={_RUNS}", "-seed=1", "-rss_limit_mb=0"]
    command = [sys.executable, str(_HERE / target), *limits, f"-artifact_prefix={tmp_path}/"]
    ended = subprocess.run(command, cwd=_HERE.parents[1], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert f"Done {_RUNS} runs" in ended.stderr
