"""The examples of README and docs, word for word, on a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from pathlib import Path

import pytest

from contracts import flow
from contracts.catalog import StageRun, StageUpdate
from contracts.ids import row_id
from heimdex.client import Client
from tests.component.gateway.door import Door, scene_row
from tests.component.gateway.test_people import RED, photo
from tests.unit.search.fakes import said

ROOT = Path(__file__).resolve().parents[3]


def examples(page: str) -> str:
    """Return the Python of a page."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL))


@pytest.fixture
async def folder(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A reader's working folder, with the files that the examples name, beside a gateway that finds something."""
    (row,) = await door.index(b"film", "고양이가 잔다")
    door.stores.text.hits = [said(row_id(row.scene_id, row.revision), 9.0)]
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "talk.mp4").write_bytes(b"frames")
    (folder / "sofa.jpg").write_bytes(photo(RED))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEIMDEX_HOME", str(tmp_path / "no-stack"))
    monkeypatch.setenv("HEIMDEX_ENDPOINT", f"127.0.0.1:{door.port}")
    monkeypatch.setenv("HEIMDEX_TOKEN", door.signer.token())
    return folder


@pytest.mark.usefixtures("folder")
async def test_the_readme_uploads_watches_and_searches(door: Door) -> None:
    code, out = compile(examples("README.md"), "README.md", "exec"), io.StringIO()

    def read() -> None:
        with contextlib.redirect_stdout(out):
            exec(code, {})  # noqa: S102  # ours

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    video_id = await door.validating()
    await door.commit([scene_row("team", video_id, 0, "하나")])
    ended = [StageUpdate("team", video_id, 1, StageRun(noun, "ENDED", "OK", attempt=1)) for noun in flow.STAGES]
    await door.catalog.apply_updates(ended, door.clock.now_ms())
    await reading
    assert "['고양이', '가 잔다']" in out.getvalue()


@pytest.mark.usefixtures("folder")
async def test_the_page_about_search_searches() -> None:
    code = compile(examples("docs/search.md"), "docs/search.md", "exec")

    def read() -> None:
        with Client() as heimdex:
            exec(code, {"heimdex": heimdex, "Path": Path})  # noqa: S102  # ours

    await asyncio.to_thread(read)
