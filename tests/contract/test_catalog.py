"""One suite for the catalogue, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.migrate import migrate
from adapters.catalog.models import VERSION, Base, QueryRow
from adapters.catalog.sql import SqlCatalog
from adapters.catalog.temporary import temporary_catalog
from adapters.catalog.upkeep import WATCH_KEPT
from contracts import facts, flow, ids
from contracts.catalog import (
    MAX_GENERATIONS,
    QUERIES_KEPT_MS,
    Appearance,
    Build,
    Generation,
    Idempotency,
    Match,
    NewRevision,
    Person,
    Photo,
    Query,
    SceneRow,
    StageRun,
    StageUpdate,
    Upload,
    UploadState,
    VideoState,
)
from contracts.errors import AlreadyExists, DependencyUnavailable, Internal, NotFound, PreconditionFailed
from contracts.ports import Record, Scope
from contracts.vocabulary import Vocabulary
from heimdex.scene.v1 import scene_pb2
from tests.postgres import postgres

TENANT, OTHER = "acme", "globex"
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
SPECS = {noun: f"{number:016x}" for number, noun in enumerate(flow.STAGES)}


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def catalog(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[SqlCatalog]:
    if request.param == "sqlite":
        async with temporary_catalog(clock=clock) as made:
            yield made
        return
    import asyncpg

    server = request.getfixturevalue("server")
    name = f"t{secrets.token_hex(6)}"
    connection = await asyncpg.connect(f"{server}postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        await migrate(server + name)
        async with SqlCatalog(server + name, clock=clock) as made:
            yield made
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


def call(method: str = "CreateUpload", *, request_id: str = "", body: str = "a", tenant: str = TENANT) -> Idempotency:
    return Idempotency(tenant, "user", method, request_id or secrets.token_hex(8), body)


def upload(*, sha256: str = "ab" * 32, tenant: str = TENANT, purpose: str = "VIDEO") -> Upload:
    upload_id = ids.new_id("upl")
    video_id = ids.new_id("vid") if purpose == "VIDEO" else ""
    key = ids.source_key(tenant, video_id) if video_id else ids.upload_key(tenant, upload_id)
    return Upload(
        upload_id, tenant, purpose, UploadState.OPEN, key, 7, "video/mp4", sha256, "clip.mp4",
        create_ms=NOW_MS, expire_ms=NOW_MS + 900_000, video_id=video_id,
    )  # fmt: skip


def record(key: str, topic: str = "heimdex-video-uploaded-v1") -> Record:
    return Record(topic, key, b"value", (("traceparent", b"00-aa-bb-01"), ("ce_id", b"\xff\x00")))


async def uploaded(catalog: SqlCatalog, *, sha256: str = "ab" * 32, tenant: str = TENANT) -> str:
    """Return the id of a video that is being validated."""
    made = await catalog.create_upload(upload(sha256=sha256, tenant=tenant), call(tenant=tenant), allow_duplicate=True)
    await catalog.begin_completion(tenant, made.upload_id)
    await catalog.finish_completion(
        tenant, made.upload_id, etag="e", begins=NewRevision(1, "plan", SPECS, [record(made.video_id)])
    )
    return made.video_id


def ended(video_id: str, stage: str, outcome: str = "OK", **values: object) -> StageUpdate:
    run = StageRun(stage, "ENDED", outcome, attempt=1, progress=1.0, end_ms=NOW_MS + 5, manifest_key=f"{stage}/m")
    return StageUpdate(TENANT, video_id, 1, replace(run, **values))  # type: ignore[arg-type]


def scenes(video_id: str, revision: int = 1, *, count: int = 3, step_ms: int = 1000) -> list[SceneRow]:
    return [
        SceneRow(
            ids.scene_id(video_id, i * step_ms, (i + 1) * step_ms), TENANT, video_id, revision, i, i * step_ms,
            (i + 1) * step_ms, scene_pb2.Scene(index=i).SerializeToString(),
        )
        for i in range(count)
    ]  # fmt: skip


async def commit(
    catalog: SqlCatalog, video_id: str, rows: Sequence[SceneRow], revision: int = 1
) -> tuple[str, ...] | None:
    return await catalog.commit_revision(
        TENANT, video_id, revision, scenes=rows, language="ko", now_ms=NOW_MS + 10,
        records=[*(facts.scene_fact(row, now_ms=NOW_MS) for row in rows), record(video_id, "heimdex-video-indexed-v1")],
    )  # fmt: skip


async def indexed(catalog: SqlCatalog) -> tuple[str, list[SceneRow]]:
    """Return a searchable video with its scenes."""
    video_id = await uploaded(catalog, sha256=secrets.token_hex(32))
    await catalog.apply_updates([ended(video_id, noun) for noun in flow.STAGES], NOW_MS + 5)
    rows = scenes(video_id)
    assert await commit(catalog, video_id, rows) == ()
    return video_id, rows


async def sent(catalog: SqlCatalog) -> list[Record]:
    """Return what is in the outbox, as the relay would send it, and mark it."""
    rows = await catalog.pending(limit=1000)
    await catalog.mark_sent([row.row for row in rows], NOW_MS)
    return [row.record for row in rows]


def person(name: str = "민지", **values: object) -> Person:
    photo = Photo("", "a.jpg", "ACCEPTED", object_key=ids.upload_key(TENANT, secrets.token_hex(4)), vector=b"\x01" * 8)
    made = Person(ids.new_id("per"), TENANT, name, ("MJ",), (photo,), NOW_MS, model_version="faces.1")
    return replace(made, **values)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------- schema


async def test_a_migrated_catalogue_is_ready_and_migrating_again_changes_nothing(catalog: SqlCatalog) -> None:
    await catalog.ready()
    assert await catalog.version() == VERSION
    assert await migrate(catalog._engine.url.render_as_string(hide_password=False)) == VERSION


async def test_the_tables_are_what_the_models_say(catalog: SqlCatalog) -> None:
    async with catalog._engine.connect() as connection:
        differences = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), Base.metadata)
        )
    assert differences == []


async def test_a_catalogue_of_a_later_version_is_not_ready(catalog: SqlCatalog) -> None:
    async with catalog._engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DependencyUnavailable, match="at version 9999"):
        await catalog.ready()
    with pytest.raises(PreconditionFailed, match="later than"):
        await migrate(catalog._engine.url.render_as_string(hide_password=False))


async def test_an_empty_database_is_not_ready(tmp_path: object) -> None:
    async with SqlCatalog(f"sqlite:///{tmp_path}/empty.db") as empty:
        with pytest.raises(DependencyUnavailable, match="heimdex migrate"):
            await empty.ready()


async def test_the_data_version_changes_with_a_commit_and_only_then(catalog: SqlCatalog) -> None:
    first = await catalog.data_version()
    assert await catalog.data_version() == first
    await catalog.set_faces(TENANT, enabled=True)
    assert await catalog.data_version() != first


@pytest.mark.parametrize("catalog", ["sqlite"], indirect=True)  # the driver of PostgreSQL cannot be held
async def test_a_poll_that_is_given_up_is_never_cut_short(catalog: SqlCatalog) -> None:
    first, let_go = await catalog.data_version(), threading.Event()
    assert catalog._poller is not None
    driver: Any = (await catalog._poller.get_raw_connection()).driver_connection
    await driver.create_function("hold", 0, let_go.wait)
    held = asyncio.create_task(driver.execute("SELECT hold()"))
    poll = asyncio.create_task(catalog.data_version())
    for _ in range(20):  # it stands behind the held call then
        await asyncio.sleep(0)
    poll.cancel()
    ended, _ = await asyncio.wait({poll}, timeout=5)
    let_go.set()
    assert ended
    await (await held).close()
    assert await catalog.data_version() == first


# ---------------------------------------------------------------------------------------------- uploads


async def test_an_upload_becomes_a_video_that_is_validated(catalog: SqlCatalog) -> None:
    video_id = await uploaded(catalog)
    video = await catalog.get_video(TENANT, video_id)
    assert (video.state, video.revision, video.plan_key) == (VideoState.VALIDATING, 1, "plan")
    assert [run.stage for run in video.stages] == list(flow.STAGES)
    assert await catalog.root_traceparent(video_id, 1) == "00-aa-bb-01"
    assert await sent(catalog) == [record(video_id)]
    assert await sent(catalog) == []


async def test_a_replayed_creation_returns_the_first_upload(catalog: SqlCatalog, clock: Clock) -> None:
    asked = call(request_id="same")
    first = await catalog.create_upload(upload(), asked, allow_duplicate=False)
    assert await catalog.create_upload(upload(), asked, allow_duplicate=False) == first
    assert await catalog.replay(asked) == first.upload_id
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_upload(upload(), replace(asked, body_sha256="other"), allow_duplicate=False)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    clock.now_ms += DAY_MS + 1
    assert await catalog.replay(asked) is None


async def test_the_same_call_twice_at_once_makes_one_upload(catalog: SqlCatalog) -> None:
    asked = call(request_id="same")
    made = await asyncio.gather(*(catalog.create_upload(upload(), asked, allow_duplicate=True) for _ in range(5)))
    assert len({one.upload_id for one in made}) == 1
    assert len(await catalog.list_videos(TENANT, states=(), limit=9, before=None)) == 1


async def test_a_caller_that_goes_away_leaves_a_whole_effect(catalog: SqlCatalog) -> None:
    wanted, asked = upload(), call()
    task = asyncio.ensure_future(catalog.create_upload(wanted, asked, allow_duplicate=False))
    await asyncio.sleep(0)  # it has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait(catalog._running)
    assert await catalog.replay(asked) == wanted.upload_id
    assert (await catalog.get_video(TENANT, wanted.video_id)).state is VideoState.UPLOADING


async def test_what_no_column_can_hold_is_not_taken_for_an_outage(catalog: SqlCatalog) -> None:
    with pytest.raises((Internal, OverflowError)):  # SQLite's driver refuses before it asks the database
        await catalog.create_upload(replace(upload(), size_bytes=2**63), call(), allow_duplicate=False)
    if not catalog.is_sqlite:
        with pytest.raises(Internal):
            await catalog.create_upload(replace(upload(), file_name="a\0b"), call(), allow_duplicate=False)


async def test_videos_come_newest_first_page_by_page(catalog: SqlCatalog) -> None:
    made = [replace(upload(sha256=secrets.token_hex(32)), create_ms=NOW_MS + i // 2) for i in range(5)]
    for one in made:
        await catalog.create_upload(one, call(), allow_duplicate=False)
    newest = [v for _, v in sorted(((one.create_ms, one.video_id) for one in made), reverse=True)]
    first = await catalog.list_videos(TENANT, states=(), limit=3, before=None)
    rest = await catalog.list_videos(TENANT, states=(), limit=3, before=(first[-1].create_ms, first[-1].video_id))
    assert [video.video_id for video in (*first, *rest)] == newest
    assert await catalog.list_videos(TENANT, states=(VideoState.INDEXED,), limit=3, before=None) == []


async def test_the_same_content_twice_names_the_first_video_but_not_to_another_tenant(catalog: SqlCatalog) -> None:
    video_id = await uploaded(catalog)
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_upload(upload(), call(), allow_duplicate=False)
    assert caught.value.name == video_id
    await catalog.create_upload(upload(), call(), allow_duplicate=True)
    await catalog.create_upload(upload(tenant=OTHER), call(tenant=OTHER), allow_duplicate=False)


async def test_completion_is_safe_to_repeat_and_may_be_taken_back(catalog: SqlCatalog) -> None:
    made = await catalog.create_upload(upload(), call(), allow_duplicate=False)
    for _ in range(2):
        assert (await catalog.begin_completion(TENANT, made.upload_id)).state is UploadState.COMPLETING
    assert (await catalog.get_video(TENANT, made.video_id)).state is VideoState.COMPLETING
    await catalog.reopen_upload(TENANT, made.upload_id)
    assert (await catalog.get_video(TENANT, made.video_id)).state is VideoState.UPLOADING
    await catalog.begin_completion(TENANT, made.upload_id)
    for _ in range(2):
        done = await catalog.finish_completion(
            TENANT, made.upload_id, etag="e", begins=NewRevision(1, "plan", SPECS, [record(made.video_id)])
        )
        assert done.state is UploadState.COMPLETED
    assert len(await sent(catalog)) == 1
    with pytest.raises(PreconditionFailed) as caught:
        await catalog.abort_upload(TENANT, made.upload_id, call("AbortUpload"))
    assert caught.value.reason == "UPLOAD_CLOSED"


async def test_two_completions_at_once_make_one_revision(catalog: SqlCatalog) -> None:
    made = await catalog.create_upload(upload(), call(), allow_duplicate=False)
    await catalog.begin_completion(TENANT, made.upload_id)
    await asyncio.gather(
        *(
            catalog.finish_completion(
                TENANT, made.upload_id, etag="e", begins=NewRevision(1, "plan", SPECS, [record(made.video_id)])
            )
            for _ in range(5)
        )
    )
    assert len(await sent(catalog)) == 1


async def test_late_uploads_expire_and_come_again_until_they_are_swept(catalog: SqlCatalog) -> None:
    made = await catalog.create_upload(upload(), call(), allow_duplicate=False)
    later_ms = made.expire_ms + 1
    assert await catalog.expire_uploads(later_ms) == []  # its URLs may still bring bytes
    assert (await catalog.get_video(TENANT, made.video_id)).state is VideoState.EXPIRED
    for _ in range(2):
        assert [u.upload_id for u in await catalog.expire_uploads(later_ms + 901_000)] == [made.upload_id]
    await catalog.mark_swept([made.upload_id])
    assert await catalog.expire_uploads(later_ms + 901_000) == []


async def test_a_completion_whose_maker_is_gone_is_opened_again(catalog: SqlCatalog, clock: Clock) -> None:
    made = await catalog.create_upload(upload(), call(), allow_duplicate=False)
    await catalog.begin_completion(TENANT, made.upload_id)
    assert await catalog.reopen_stuck(clock.now_ms) == 0
    assert await catalog.reopen_stuck(clock.now_ms + 1) == 1
    assert (await catalog.get_upload(TENANT, made.upload_id)).state is UploadState.OPEN


async def test_a_further_revision_begins_once_and_what_was_searchable_stays(catalog: SqlCatalog) -> None:
    video_id, rows = await indexed(catalog)
    await sent(catalog)
    again, second = call("ReprocessVideo"), NewRevision(2, "plan2", SPECS, [record(video_id)])
    for _ in range(2):
        video = await catalog.begin_revision(TENANT, video_id, again, second)
        assert (video.state, video.revision, video.searchable_revision) == (VideoState.VALIDATING, 2, 1)
        assert (video.plan_key, {run.state for run in video.stages}) == ("plan2", {"PENDING"})
    assert (await catalog.begin_revision(TENANT, video_id, again, None)).revision == 2
    assert await sent(catalog) == [record(video_id)]
    assert await catalog.root_traceparent(video_id, 2) == "00-aa-bb-01"
    assert [row.scene_id for row in await catalog.list_scenes(TENANT, video_id, limit=10)] == [r.scene_id for r in rows]
    assert await catalog.apply_updates([ended(video_id, "validate", "FAILED")], NOW_MS) == 0, "of the first revision"
    failed = replace(ended(video_id, "validate", "FAILED", reason="INTERNAL"), revision=2)
    await catalog.apply_updates([failed], NOW_MS)
    assert (await catalog.get_video(TENANT, video_id)).state is VideoState.FAILED
    assert len(await catalog.list_scenes(TENANT, video_id, limit=10)) == len(rows)
    sha256 = (await catalog.get_video(TENANT, video_id)).sha256
    with pytest.raises(AlreadyExists):
        await catalog.create_upload(upload(sha256=sha256), call(), allow_duplicate=False)
    third = NewRevision(3, "plan3", SPECS, [record(video_id)])
    assert (await catalog.begin_revision(TENANT, video_id, call("ReprocessVideo"), third)).revision == 3


async def test_no_revision_begins_beside_another_or_of_a_video_that_goes(catalog: SqlCatalog) -> None:
    running = await uploaded(catalog)
    ready, _ = await indexed(catalog)
    going, _ = await indexed(catalog)
    await catalog.request_deletion(TENANT, going, call("DeleteVideo"), [])
    await sent(catalog)
    for video_id, revision, state in (
        (running, 2, "validating"), (going, 2, "deleting"), (ready, 1, "indexed"), (ready, 3, "indexed"),
    ):  # fmt: skip
        new = NewRevision(revision, "plan", SPECS, [record(video_id)])
        with pytest.raises(PreconditionFailed) as caught:
            await catalog.begin_revision(TENANT, video_id, call("ReprocessVideo"), new)
        assert (caught.value.reason, caught.value.metadata) == ("VIDEO_STATE", {"state": state})
    with pytest.raises(PreconditionFailed):
        await catalog.begin_revision(TENANT, ready, call("ReprocessVideo"), None)
    with pytest.raises(NotFound):
        await catalog.begin_revision(OTHER, ready, call("ReprocessVideo", tenant=OTHER), None)
    new = NewRevision(2, "plan", SPECS, [record(ready)])
    begun = await asyncio.gather(
        *(catalog.begin_revision(TENANT, ready, call("ReprocessVideo"), new) for _ in range(4)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in begun) == ["PreconditionFailed"] * 3 + ["Video"]
    assert await sent(catalog) == [record(ready)]


async def test_another_tenant_sees_nothing(catalog: SqlCatalog) -> None:
    video_id, rows = await indexed(catalog)
    made = await catalog.create_upload(upload(sha256="cd" * 32), call(), allow_duplicate=False)
    with pytest.raises(NotFound):
        await catalog.get_upload(OTHER, made.upload_id)
    with pytest.raises(NotFound):
        await catalog.begin_completion(OTHER, made.upload_id)
    with pytest.raises(NotFound):
        await catalog.get_video(OTHER, video_id)
    with pytest.raises(NotFound):
        await catalog.get_scene(OTHER, rows[0].scene_id)
    with pytest.raises(NotFound):
        await catalog.request_deletion(OTHER, video_id, call("DeleteVideo", tenant=OTHER), [])
    assert await catalog.list_scenes(OTHER, video_id, limit=10) == []
    with pytest.raises(NotFound):
        await catalog.neighbours(OTHER, rows[0].scene_id, before=1, after=1)
    assert await catalog.footage(OTHER, [rows[0].scene_id]) == {}
    assert await catalog.hydrate(OTHER, [ids.row_id(rows[0].scene_id, 1)]) == {}
    assert await catalog.video_scene_ids(OTHER, video_id) == []
    assert await catalog.commit_revision(
        OTHER, video_id, 2, scenes=[], language="", now_ms=NOW_MS, records=[]
    ) is None  # fmt: skip


# ---------------------------------------------------------------------------------------------- tracker


async def test_facts_in_any_order_give_the_same_state(catalog: SqlCatalog) -> None:
    video_id = await uploaded(catalog)
    updates = [ended(video_id, noun) for noun in flow.STAGES if noun != "commit"]
    assert await catalog.apply_updates(list(reversed(updates)), NOW_MS + 1) == len(updates)
    assert await catalog.apply_updates(updates, NOW_MS + 2) == 0
    assert (await catalog.get_video(TENANT, video_id)).state is VideoState.PROCESSING
    await catalog.apply_updates([ended(video_id, "commit")], NOW_MS + 3)
    assert (await catalog.get_video(TENANT, video_id)).state is VideoState.INDEXED


async def test_what_validate_found_is_shown_and_its_rejection_fails_the_video(catalog: SqlCatalog) -> None:
    good, bad = await uploaded(catalog), await uploaded(catalog)
    described = replace(
        ended(good, "validate"),
        counts={"duration_ms": 5000, "width_px": 640, "height_px": 360},
        labels={"content_type": "video/mp4", "browser_playable": "true"},
    )
    rejected = ended(bad, "validate", "REJECTED", reason="NOT_A_VIDEO", message="no")
    await catalog.apply_updates([described, rejected], NOW_MS)
    video = await catalog.get_video(TENANT, good)
    assert (video.duration_ms, video.width_px, video.content_type) == (5000, 640, "video/mp4")
    assert video.browser_playable
    failed = await catalog.get_video(TENANT, bad)
    assert (failed.state, failed.error_reason) == (VideoState.FAILED, "NOT_A_VIDEO")


async def test_facts_of_other_revisions_tenants_and_deleted_videos_are_ignored(catalog: SqlCatalog) -> None:
    video_id = await uploaded(catalog)
    fact = ended(video_id, "validate")
    strangers = [replace(fact, revision=2), replace(fact, tenant_id=OTHER), replace(fact, video_id="vid_unknown")]
    assert await catalog.apply_updates(strangers, NOW_MS) == 0
    await catalog.request_deletion(TENANT, video_id, call("DeleteVideo"), [])
    assert await catalog.apply_updates([fact], NOW_MS) == 0
    assert (await catalog.get_video(TENANT, video_id)).state is VideoState.DELETING


async def test_every_change_has_a_sequence_without_gap(catalog: SqlCatalog) -> None:
    start = await catalog.last_change()
    video_id = await uploaded(catalog)
    await catalog.apply_updates([ended(video_id, "validate")], NOW_MS)
    entries = [entry for _, entry in await catalog.changes(start)]
    assert [entry.sequence for entry in entries if entry.video_id == video_id] == list(range(1, len(entries) + 1))
    assert await catalog.video_sequence(TENANT, video_id) == entries[-1].sequence


async def test_a_reader_that_goes_on_after_a_row_misses_nothing_of_what_is_written_at_once(catalog: SqlCatalog) -> None:
    seen: list[tuple[int, str]] = []
    writers = asyncio.gather(*(uploaded(catalog, sha256=secrets.token_hex(32)) for _ in range(12)))
    while len(seen) < 12 * 3:  # created, completing, validating
        last = seen[-1][0] if seen else 0
        seen += [(row, entry.video_id) for row, entry in await catalog.changes(last, limit=5)]
    assert [row for row, _ in seen] == list(range(1, len(seen) + 1))
    assert {video_id for _, video_id in seen} == set(await writers)


# ------------------------------------------------------------------------------- commit, people, erasure


async def test_a_commit_makes_scenes_searchable_and_tells_it_once(catalog: SqlCatalog) -> None:
    video_id, rows = await indexed(catalog)
    video = await catalog.get_video(TENANT, video_id)
    assert (video.searchable_revision, video.scene_count, video.language) == (1, 3, "ko")
    assert await catalog.list_scenes(TENANT, video_id, limit=2) == rows[:2]
    assert await catalog.list_scenes(TENANT, video_id, limit=9, after_index=1) == rows[2:]
    row_ids = [ids.row_id(row.scene_id, 1) for row in rows]
    assert list(await catalog.hydrate(TENANT, [row_ids[2], row_ids[0], "scn_gone:1"])) == [row_ids[2], row_ids[0]]
    assert [r.topic for r in await sent(catalog)][-4:] == [*[facts.SCENE_TOPIC] * 3, "heimdex-video-indexed-v1"]
    assert await commit(catalog, video_id, rows) == ()
    assert await sent(catalog) == []


async def test_neighbours_are_the_scenes_around_one_in_order(catalog: SqlCatalog) -> None:
    _, rows = await indexed(catalog)
    await indexed(catalog)
    first, middle, last = rows
    assert await catalog.neighbours(TENANT, middle.scene_id, before=10, after=10) == [first, last]
    assert await catalog.neighbours(TENANT, first.scene_id, before=1, after=1) == [middle]
    assert await catalog.neighbours(TENANT, last.scene_id, before=2, after=1) == [first, middle]
    assert await catalog.neighbours(TENANT, middle.scene_id, before=0, after=0) == []
    with pytest.raises(NotFound):
        await catalog.neighbours(TENANT, "scn_gone", before=1, after=1)


async def test_footage_is_of_the_searchable_revision_and_of_no_video_that_is_deleted(catalog: SqlCatalog) -> None:
    video_id, rows = await indexed(catalog)
    gone_id, gone = await indexed(catalog)
    shown = await catalog.footage(TENANT, [rows[1].scene_id, gone[0].scene_id, "scn_gone"])
    assert shown.keys() == {rows[1].scene_id, gone[0].scene_id}
    footage = shown[rows[1].scene_id]
    assert (footage.start_ms, footage.end_ms, footage.body) == (1000, 2000, rows[1].body)
    assert footage.source_key == ids.source_key(TENANT, video_id)
    await catalog.request_deletion(TENANT, gone_id, call("DeleteVideo"), [])
    await commit(catalog, video_id, scenes(video_id, 2, step_ms=2000), revision=2)
    assert await catalog.footage(TENANT, [rows[1].scene_id, gone[0].scene_id]) == {}
    with pytest.raises(NotFound):
        await catalog.neighbours(TENANT, gone[0].scene_id, before=1, after=1)


async def test_a_new_revision_replaces_the_old_rows_and_a_late_one_gets_its_own_back(catalog: SqlCatalog) -> None:
    video_id, old = await indexed(catalog)
    new = scenes(video_id, 2, step_ms=2000)
    stale = await commit(catalog, video_id, new, revision=2)
    assert sorted(stale or ()) == sorted(ids.row_id(row.scene_id, 1) for row in old)
    assert await catalog.list_scenes(TENANT, video_id, limit=9) == new
    assert await commit(catalog, video_id, old, revision=1) == tuple(ids.row_id(row.scene_id, 1) for row in old)
    assert sorted(await catalog.video_scene_ids(TENANT, video_id)) == sorted({r.scene_id for r in [*old, *new]})


async def test_matches_before_the_commit_are_told_with_it(catalog: SqlCatalog) -> None:
    minji = await catalog.create_person(person(), call("EnrolPerson"), [])
    video_id = await uploaded(catalog)
    rows = scenes(video_id)
    version, gallery = await catalog.gallery(TENANT)
    assert [p.person_id for p in gallery] == [minji.person_id]
    found = [Match(rows[1].scene_id, minji.person_id, 0.75)]
    written = await catalog.write_matches(
        TENANT, video_id, 1, gallery_version=version, matches=found, now_ms=NOW_MS
    )  # fmt: skip
    assert written == [rows[1].scene_id]
    await sent(catalog)
    await commit(catalog, video_id, rows)
    told = [r for r in await sent(catalog) if r.topic == facts.SCENE_TOPIC]
    assert [r.key for r in told] == [*(row.scene_id for row in rows), rows[1].scene_id]
    shown = await catalog.get_scene(TENANT, rows[1].scene_id)
    assert [(p.display_name, p.confidence) for p in shown.people] == [("민지", 0.75)]
    assert (await catalog.get_person(TENANT, minji.person_id)).scene_count == 1
    assert await catalog.people_scene_counts(TENANT, [minji.person_id, "per_nobody"]) == {minji.person_id: 1}
    assert await catalog.people_scene_counts("other", [minji.person_id]) == {}
    assert await catalog.people_scene_counts(TENANT, []) == {}


async def test_matches_are_replaced_unless_a_newer_gallery_wrote_them(catalog: SqlCatalog) -> None:
    minji = await catalog.create_person(person(), call("EnrolPerson"), [])
    video_id, rows = await indexed(catalog)
    await sent(catalog)
    found = [Match(row.scene_id, minji.person_id, 0.9) for row in rows[:2]]

    async def write(matches: Sequence[Match], gallery_version: int) -> Sequence[str]:
        return await catalog.write_matches(
            TENANT, video_id, 1, gallery_version=gallery_version, matches=matches, now_ms=NOW_MS
        )

    assert sorted(await write(found, 2)) == sorted(row.scene_id for row in rows[:2])
    assert len(await sent(catalog)) == 2
    assert list(await write(found, 2)) == []
    assert list(await write([], 1)) == []
    found_in = await catalog.scenes_of_people(TENANT, [minji.person_id])
    assert found_in == {ids.row_id(row.scene_id, 1): Appearance(video_id, {minji.person_id: 0.9}) for row in rows[:2]}
    assert list(await write([*found[:1], Match(rows[2].scene_id, "per_stranger", 0.9)], 3)) == [rows[1].scene_id]


async def test_of_many_scenes_with_people_the_surest_come(catalog: SqlCatalog) -> None:
    minji, junho = [await catalog.create_person(person(name), call("EnrolPerson"), []) for name in ("민지", "준호")]
    video_id, rows = await indexed(catalog)
    sure = {rows[0]: {minji: 0.6}, rows[1]: {minji: 0.5, junho: 0.8}, rows[2]: {minji: 0.7}}
    matches = [Match(row.scene_id, who.person_id, by) for row, there in sure.items() for who, by in there.items()]
    await catalog.write_matches(TENANT, video_id, 1, gallery_version=2, matches=matches, now_ms=NOW_MS)
    found = await catalog.scenes_of_people(TENANT, [minji.person_id, junho.person_id], limit=2)
    first, second = (ids.row_id(rows[place].scene_id, 1) for place in (1, 2))
    assert list(found) == [first, second]
    assert found[first].people == {junho.person_id: 0.8, minji.person_id: 0.5}
    await catalog.delete_person(TENANT, junho.person_id, call("DeletePerson"), [])
    found = await catalog.scenes_of_people(TENANT, [minji.person_id, junho.person_id])
    assert found[first].people == {minji.person_id: 0.5}


async def test_people_come_by_name_in_the_order_of_code_points(catalog: SqlCatalog) -> None:
    names = ["가온", "Zoe", "amy", "Ámos", "민지", "Amy"]
    for name in names:
        await catalog.create_person(person(name), call("EnrolPerson"), [])
    first = await catalog.list_people(TENANT, limit=4)
    rest = await catalog.list_people(TENANT, limit=4, after=(first[-1].display_name, first[-1].person_id))
    assert [one.display_name for one in (*first, *rest)] == sorted(names)


async def test_somebody_erased_is_shown_no_more_and_then_forgotten(catalog: SqlCatalog) -> None:
    minji = await catalog.create_person(person(), call("EnrolPerson"), [record("per", "heimdex-person-enrolled-v1")])
    video_id, rows = await indexed(catalog)
    matches = [Match(row.scene_id, minji.person_id, 0.9) for row in rows]
    await catalog.write_matches(TENANT, video_id, 1, gallery_version=1, matches=matches, now_ms=NOW_MS)
    await sent(catalog)
    keys = await catalog.delete_person(TENANT, minji.person_id, call("DeletePerson"), [])
    assert list(keys) == [minji.photos[0].object_key]
    assert (await catalog.get_scene(TENANT, rows[0].scene_id)).people == ()
    assert await catalog.scenes_of_people(TENANT, [minji.person_id]) == {}
    assert (await catalog.gallery(TENANT)) == (2, [])
    assert list(await catalog.forget_person(TENANT, minji.person_id, NOW_MS, limit=2)) == [video_id]
    assert list(await catalog.forget_person(TENANT, minji.person_id, NOW_MS, limit=2)) == [video_id]
    assert list(await catalog.forget_person(TENANT, minji.person_id, NOW_MS, limit=2)) == []
    assert sorted(r.key for r in await sent(catalog)) == sorted(row.scene_id for row in rows)


async def test_videos_with_faces_come_page_by_page(catalog: SqlCatalog) -> None:
    wanted = [await uploaded(catalog, sha256=secrets.token_hex(32)) for _ in range(53)]
    off = await uploaded(catalog, sha256=secrets.token_hex(32))
    await catalog.apply_updates([ended(video_id, "faces") for video_id in wanted], NOW_MS)
    await catalog.apply_updates([ended(off, "faces", "DISABLED")], NOW_MS)
    found = [(video.video_id, key) async for video, key in catalog.videos_with_faces(TENANT)]
    assert found == [(video_id, "faces/m") for video_id in sorted(wanted)]


async def test_an_erased_file_may_come_again_by_the_same_request(catalog: SqlCatalog) -> None:
    same = call(request_id="again")
    first = await catalog.create_upload(upload(), same, allow_duplicate=False)
    assert (await catalog.create_upload(upload(), same, allow_duplicate=False)).upload_id == first.upload_id
    await catalog.begin_completion(TENANT, first.upload_id)
    await catalog.finish_completion(
        TENANT, first.upload_id, etag="e", begins=NewRevision(1, "plan", SPECS, [record(first.video_id)])
    )
    await catalog.request_deletion(TENANT, first.video_id, call("DeleteVideo"), [])
    await catalog.finish_erasure(TENANT, first.video_id, NOW_MS, [])
    again = await catalog.create_upload(upload(), same, allow_duplicate=False)
    assert again.upload_id != first.upload_id
    assert again.state is UploadState.OPEN


async def test_an_erased_video_leaves_tombstones_and_a_name_that_is_gone(catalog: SqlCatalog, clock: Clock) -> None:
    video_id, rows = await indexed(catalog)
    asked = record(video_id, "heimdex-video-deletion-requested-v1")
    for _ in range(2):
        going = await catalog.request_deletion(TENANT, video_id, call("DeleteVideo"), [asked])
        assert going.state is VideoState.DELETING
    assert await catalog.list_scenes(TENANT, video_id, limit=9) == []
    assert await commit(catalog, video_id, scenes(video_id, 2), revision=2) is None
    scene_ids = await catalog.video_scene_ids(TENANT, video_id)
    assert sorted(scene_ids) == sorted(row.scene_id for row in rows)
    records = [*(facts.scene_tombstone(TENANT, scene_id) for scene_id in scene_ids)]
    records.append(facts.video_erased(TENANT, video_id, NOW_MS))
    for _ in range(2):
        await catalog.finish_erasure(TENANT, video_id, NOW_MS, records)
    left = await sent(catalog)
    assert [r.topic for r in left if r.topic != "heimdex-video-uploaded-v1"] == [
        "heimdex-video-indexed-v1", "heimdex-video-deletion-requested-v1", *[facts.SCENE_TOPIC] * 3,
        "heimdex-video-erased-v1",
    ]  # fmt: skip
    assert all(r.value is None for r in left if r.topic == facts.SCENE_TOPIC)  # facts not sent yet are dropped
    gone = await catalog.get_video(TENANT, video_id)
    assert (gone.state, gone.file_name, gone.sha256, gone.stages) == (VideoState.DELETED, "", "", ())
    clock.now_ms = NOW_MS + 30 * DAY_MS + 1
    with pytest.raises(NotFound):
        await catalog.get_video(TENANT, video_id)


# --------------------------------------------------------------------------------------------- searches


def query(text: str = "우는 장면", *, tenant: str = TENANT, create_ms: int = NOW_MS) -> Query:
    return Query(ids.new_id("qry"), tenant, text, create_ms)


async def kept(catalog: SqlCatalog) -> set[str]:
    """Return the ids of the queries whose texts are kept."""

    async def work(session: AsyncSession) -> set[str]:
        return set(await session.scalars(select(QueryRow.query_id)))

    return await catalog._read(work)


async def test_searches_are_told_in_order_and_no_text_is_kept_unless_its_tenant_keeps_them(catalog: SqlCatalog) -> None:
    assert (await catalog.keep_queries(TENANT, kept=True)).queries_kept
    assert not (await catalog.tenant("others")).queries_kept
    mine, others = query(), query(tenant="others")
    records = [record(f"k{i}", "heimdex-search-performed-v1") for i in range(3)]
    await catalog.record_searches(records, [mine, others])
    assert await sent(catalog) == records
    assert await kept(catalog) == {mine.query_id}


async def test_a_batch_that_is_written_again_keeps_its_texts_once(catalog: SqlCatalog) -> None:
    await catalog.keep_queries(TENANT, kept=True)
    first, second = query(), query()
    await catalog.record_searches([record("k1")], [first])
    await catalog.record_searches([record("k1"), record("k2")], [first, second])
    assert len(await sent(catalog)) == 3
    assert await kept(catalog) == {first.query_id, second.query_id}


async def test_texts_are_gone_as_soon_as_their_tenant_keeps_none(catalog: SqlCatalog) -> None:
    for tenant in (TENANT, "others"):
        await catalog.keep_queries(tenant, kept=True)
    mine, theirs = query(), query(tenant="others")
    await catalog.record_searches([], [mine, theirs])
    assert not (await catalog.keep_queries(TENANT, kept=False)).queries_kept
    assert await kept(catalog) == {theirs.query_id}


async def test_no_text_outlives_the_end_of_keeping_that_comes_while_it_is_written(catalog: SqlCatalog) -> None:
    await catalog.keep_queries(TENANT, kept=True)
    writes = [catalog.record_searches([record("k")], [query()]) for _ in range(8)]
    await asyncio.gather(*writes[:4], catalog.keep_queries(TENANT, kept=False), *writes[4:])
    assert await kept(catalog) == set()
    assert len(await sent(catalog)) == 8


async def test_feedback_is_told_once_a_request(catalog: SqlCatalog) -> None:
    _, rows = await indexed(catalog)
    await sent(catalog)
    told = call("RecordFeedback", request_id="f1")
    for _ in range(2):
        await catalog.record_feedback(TENANT, rows[0].scene_id, told, [record("q1")])
    await catalog.record_feedback(TENANT, "", call("RecordFeedback"), [record("q2")])
    assert [it.key for it in await sent(catalog)] == ["q1", "q2"]
    with pytest.raises(AlreadyExists, match="another content"):
        await catalog.record_feedback(TENANT, "", replace(told, body_sha256="b"), [record("q1")])


async def test_the_same_feedback_twice_at_once_is_told_once(catalog: SqlCatalog) -> None:
    told = call("RecordFeedback", request_id="f1")
    await asyncio.gather(*(catalog.record_feedback(TENANT, "", told, [record("q")]) for _ in range(4)))
    assert len(await sent(catalog)) == 1


async def test_feedback_on_a_scene_that_is_not_shown_is_refused_but_a_replay_is_not(catalog: SqlCatalog) -> None:
    video_id, rows = await indexed(catalog)
    told = call("RecordFeedback")
    await catalog.record_feedback(TENANT, rows[0].scene_id, told, [record("q")])
    await catalog.request_deletion(TENANT, video_id, call("DeleteVideo"), [])
    await sent(catalog)
    await catalog.record_feedback(TENANT, rows[0].scene_id, told, [record("q")])
    for tenant, scene_id in ((TENANT, rows[0].scene_id), (TENANT, "scn_none"), ("others", rows[1].scene_id)):
        with pytest.raises(NotFound):
            await catalog.record_feedback(tenant, scene_id, call("RecordFeedback", tenant=tenant), [record("q")])
    assert await sent(catalog) == []


async def test_texts_are_kept_for_thirty_days(catalog: SqlCatalog) -> None:
    await catalog.keep_queries(TENANT, kept=True)
    old, young = query(), query(create_ms=NOW_MS + 1)
    await catalog.record_searches([], [old, young])
    assert await catalog.prune(NOW_MS + QUERIES_KEPT_MS) == 0
    assert await catalog.prune(NOW_MS + QUERIES_KEPT_MS + 1) == 1
    assert await kept(catalog) == {young.query_id}


# -------------------------------------------------------------------------- generations, relay, upkeep


async def test_the_first_generation_stays(catalog: SqlCatalog) -> None:
    with pytest.raises(DependencyUnavailable):
        await catalog.active_generation()
    first = Generation(1, "ACTIVE", "t1", "v1", "i1", "tm", "vm", "r")
    assert await catalog.ensure_generation(first) == first
    assert await catalog.ensure_generation(replace(first, generation=2)) == first
    assert await catalog.active_generation() == first
    assert await catalog.building_generations() == []
    assert await catalog.all_generations() == [first]


FIRST = Generation(1, "ACTIVE", "t1", "v1", "i1", "tm", "vm", "r")
WORDS = Vocabulary(("에어팟", "가나다 가나 다"), (("갓생", "모범생활"), ("AI", "인공지능", "에이아이")))


async def asked(
    catalog: SqlCatalog, *, promote: bool = False, request: Idempotency | None = None, words: Vocabulary = WORDS
) -> Build:
    return await catalog.create_generation(
        words,
        request or call("CreateGeneration"),
        created_by="acme/kim",
        promote_when_ready=promote,
        text_index=lambda number: f"i{number}",
    )


async def built(catalog: SqlCatalog, *, promote: bool = False) -> int:
    """Return the number of a generation that is READY, or ACTIVE."""
    number = (await asked(catalog, promote=promote)).generation.generation
    await catalog.begin_build(number)
    await catalog.finish_build(number)
    return number


async def states(catalog: SqlCatalog) -> dict[int, str]:
    return {each.generation.generation: each.generation.state for each in await catalog.list_generations()}


async def test_a_new_generation_is_like_the_active_one_but_for_its_words_and_its_index(
    catalog: SqlCatalog, clock: Clock
) -> None:
    with pytest.raises(DependencyUnavailable):
        await asked(catalog)
    await catalog.ensure_generation(FIRST)
    clock.now_ms += 7
    made = await asked(catalog, promote=True)
    assert made == Build(
        replace(FIRST, generation=2, state="PENDING", text_index="i2", vocabulary=WORDS),
        create_ms=NOW_MS + 7,
        update_ms=NOW_MS + 7,
        created_by="acme/kim",
        promote_when_ready=True,
    )
    assert await catalog.get_generation(2) == made
    assert await catalog.all_generations() == [FIRST, made.generation]
    assert await catalog.building_generations() == []


async def test_the_same_request_makes_one_generation(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    once = call("CreateGeneration")
    made = await asked(catalog, request=once)
    assert await asked(catalog, request=once) == made
    with pytest.raises(AlreadyExists):
        await asked(catalog, request=replace(once, body_sha256="b"))
    assert await states(catalog) == {1: "ACTIVE", 2: "PENDING"}


async def test_one_is_built_at_a_time_also_when_two_ask_at_once(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    answers = await asyncio.gather(*(asked(catalog) for _ in range(3)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, PreconditionFailed)]
    assert [answer.reason for answer in refused] == ["GENERATION_STATE"] * 2
    await catalog.begin_build(2)
    with pytest.raises(PreconditionFailed, match="generation 2"):
        await asked(catalog)


async def test_there_are_so_many_generations_and_a_number_never_comes_again(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    assert [await built(catalog) for _ in range(MAX_GENERATIONS - 1)] == [2, 3, 4]
    with pytest.raises(PreconditionFailed, match="drop one"):
        await asked(catalog)
    await catalog.drop_generation(4, call("DropGeneration"))
    assert await states(catalog) == {1: "ACTIVE", 2: "READY", 3: "READY", 4: "DROPPING"}
    await catalog.finish_drop(4)
    assert await built(catalog) == 5
    assert await catalog.dropped_generations() == {4}
    assert await states(catalog) == {1: "ACTIVE", 2: "READY", 3: "READY", 5: "READY"}
    with pytest.raises(NotFound):
        await catalog.get_generation(4)


async def test_promotion_there_and_back(catalog: SqlCatalog, clock: Clock) -> None:
    await catalog.ensure_generation(FIRST)
    await built(catalog)
    clock.now_ms += 5
    promoted = await catalog.promote_generation(2, call("PromoteGeneration"))
    assert (promoted.generation.state, promoted.update_ms) == ("ACTIVE", NOW_MS + 5)
    assert await catalog.active_generation() == promoted.generation
    assert await states(catalog) == {1: "RETIRED", 2: "ACTIVE"}
    assert await catalog.promote_generation(2, call("PromoteGeneration")) == promoted
    await catalog.promote_generation(1, call("PromoteGeneration"))
    assert await states(catalog) == {1: "ACTIVE", 2: "RETIRED"}


async def test_a_repeated_promotion_undoes_no_later_one(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    await built(catalog)
    once = call("PromoteGeneration")
    await catalog.promote_generation(2, once)
    await catalog.promote_generation(1, call("PromoteGeneration"))
    assert (await catalog.promote_generation(2, once)).generation.state == "RETIRED"
    assert (await catalog.active_generation()).generation == 1


async def test_several_promotions_at_once_leave_one_active(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    await built(catalog)
    await built(catalog)
    await asyncio.gather(*(catalog.promote_generation(number, call("PromoteGeneration")) for number in (2, 3, 1, 2)))
    assert sorted((await states(catalog)).values()) == ["ACTIVE", "RETIRED", "RETIRED"]


@pytest.mark.parametrize("state", ["PENDING", "BUILDING", "FAILED", "DROPPING"])
async def test_what_is_not_built_cannot_serve(catalog: SqlCatalog, state: str) -> None:
    await catalog.ensure_generation(FIRST)
    await asked(catalog)
    if state == "BUILDING":
        await catalog.begin_build(2)
    if state == "FAILED":
        await catalog.fail_build(2, reason="INVALID_FIELD", message="no")
    if state == "DROPPING":
        await catalog.drop_generation(2, call("DropGeneration"))
    with pytest.raises(PreconditionFailed) as refused:
        await catalog.promote_generation(2, call("PromoteGeneration"))
    assert (refused.value.reason, refused.value.metadata) == ("GENERATION_STATE", {"generation": "2", "state": state})
    assert (await catalog.active_generation()).generation == 1


async def test_a_generation_that_is_not_there(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    for asking in (
        catalog.get_generation(2),
        catalog.promote_generation(2, call("PromoteGeneration")),
        catalog.drop_generation(2, call("DropGeneration")),
    ):
        with pytest.raises(NotFound):
            await asking


async def test_what_serves_is_not_dropped_and_what_was_dropped_stays_so(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    with pytest.raises(PreconditionFailed) as refused:
        await catalog.drop_generation(1, call("DropGeneration"))
    assert refused.value.metadata == {"generation": "1", "state": "ACTIVE"}
    await built(catalog)
    once = call("DropGeneration")
    for request in (once, once, call("DropGeneration")):
        await catalog.drop_generation(2, request)
    await catalog.finish_build(2)
    await catalog.fail_build(2, reason="INTERNAL", message="late")
    assert await states(catalog) == {1: "ACTIVE", 2: "DROPPING"}
    await catalog.finish_drop(1)
    await catalog.finish_drop(2)
    await catalog.drop_generation(2, once)
    assert await states(catalog) == {1: "ACTIVE"}


async def test_a_build_is_noted_while_it_lasts(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    await asked(catalog, promote=True)
    assert not await catalog.record_build(2, videos_done=1, videos_total=2, after_video_id="vid_1")
    await catalog.begin_build(2)
    assert [each.generation for each in await catalog.building_generations()] == [2]
    assert await catalog.record_build(2, videos_done=1, videos_total=2, after_video_id="vid_1")
    noted = await catalog.get_generation(2)
    assert (noted.videos_done, noted.videos_total, noted.after_video_id) == (1, 2, "vid_1")
    assert (await catalog.finish_build(2)).generation.state == "ACTIVE"
    assert await states(catalog) == {1: "RETIRED", 2: "ACTIVE"}
    assert not await catalog.record_build(2, videos_done=2, videos_total=2, after_video_id="vid_2")
    await catalog.promote_generation(1, call("PromoteGeneration"))
    assert (await catalog.finish_build(2)).generation.state == "RETIRED", "promoted once, not again"


async def test_a_failed_build_says_why(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    await asked(catalog)
    await catalog.fail_build(2, reason="INVALID_FIELD", message="no such word")
    failed = await catalog.get_generation(2)
    assert (failed.generation.state, failed.error_reason, failed.error_message) == (
        "FAILED", "INVALID_FIELD", "no such word",
    )  # fmt: skip
    await asked(catalog)  # another may be tried


async def test_a_revision_is_shown_when_every_generation_of_its_models_has_its_rows(catalog: SqlCatalog) -> None:
    await catalog.ensure_generation(FIRST)
    video_id = await uploaded(catalog)
    number = (await asked(catalog)).generation.generation
    rows = scenes(video_id)

    async def flip(*generations: int) -> tuple[str, ...] | None:
        return await catalog.commit_revision(
            TENANT, video_id, 1, scenes=rows, language="ko", now_ms=NOW_MS, records=[], generations=generations
        )

    await catalog.begin_build(number)
    with pytest.raises(DependencyUnavailable, match="generation 2"):
        await flip(1)
    assert await catalog.list_scenes(TENANT, video_id, limit=9) == []
    assert await flip(1, 2) == ()
    await catalog.drop_generation(2, call("DropGeneration"))
    assert await flip(1) == ()


async def test_a_commit_and_the_beginning_of_a_build_take_turns(catalog: SqlCatalog) -> None:
    """Whichever comes first: the build finds the video, or the commit is told of the build."""
    await catalog.ensure_generation(FIRST)
    for _ in range(5):
        video_id = await uploaded(catalog, sha256=secrets.token_hex(32))
        number = (await asked(catalog)).generation.generation

        async def build(number: int = number) -> list[str]:
            await catalog.begin_build(number)
            return [each.video_id for each in await catalog.searchable_videos("", limit=99)]

        found, flipped = await asyncio.gather(
            build(),
            catalog.commit_revision(
                TENANT, video_id, 1, scenes=scenes(video_id), language="ko", now_ms=NOW_MS, records=[], generations=[1]
            ),
            return_exceptions=True,
        )
        assert isinstance(found, list)
        assert (video_id in found) != isinstance(flipped, DependencyUnavailable)
        await catalog.drop_generation(number, call("DropGeneration"))


async def test_videos_that_may_be_shown_by_id_in_pages(catalog: SqlCatalog) -> None:
    shown = sorted([(await indexed(catalog))[0] for _ in range(3)])
    waiting = await uploaded(catalog)
    going, _ = await indexed(catalog)
    await catalog.request_deletion(TENANT, going, call("DeleteVideo"), [])
    assert await catalog.count_searchable() == 3
    page = await catalog.searchable_videos("", limit=2)
    assert page == [(TENANT, video_id, 1) for video_id in shown[:2]]
    assert [each.video_id for each in await catalog.searchable_videos(shown[1], limit=2)] == shown[2:]
    assert await catalog.searchable_videos(shown[2], limit=2) == []
    assert await catalog.searchable_revisions([*shown, waiting, going]) == dict.fromkeys(shown, 1)


async def test_several_processes_agree_on_the_first_generation(catalog: SqlCatalog) -> None:
    first = Generation(1, "ACTIVE", "t1", "v1", "i1", "tm", "vm", "r")
    assert await asyncio.gather(*(catalog.ensure_generation(first) for _ in range(4))) == [first] * 4


async def test_a_lease_row_is_one_holders_until_it_ends(catalog: SqlCatalog) -> None:
    assert await catalog.acquire_lease("relay", "a", NOW_MS, 1000)
    assert not await catalog.acquire_lease("relay", "b", NOW_MS + 999, 1000)
    assert await catalog.acquire_lease("relay", "a", NOW_MS + 999, 1000)
    assert await catalog.acquire_lease("relay", "b", NOW_MS + 1999, 1000)


async def test_of_several_at_once_one_gets_the_lease(catalog: SqlCatalog) -> None:
    got = await asyncio.gather(*(catalog.acquire_lease("relay", holder, NOW_MS, 1000) for holder in "abcd"))
    assert sorted(got) == [False, False, False, True]


async def test_the_outbox_keeps_order_bytes_and_tombstones(catalog: SqlCatalog) -> None:
    records = [replace(record(f"k{i}"), value=None if i % 2 else b"\x00\xff") for i in range(10)]
    await catalog.emit(records[:4])
    await catalog.emit(records[4:])
    rows = await catalog.pending()
    assert [row.record for row in rows] == records
    await catalog.mark_sent([rows[0].row], NOW_MS)
    assert [row.record for row in await catalog.pending()] == records[1:]


async def test_a_video_that_stands_still_is_nudged_once_a_while(catalog: SqlCatalog, clock: Clock) -> None:
    video_id = await uploaded(catalog)
    assert await catalog.stalled(clock.now_ms) == []
    assert [v.video_id for v in await catalog.stalled(clock.now_ms + 1)] == [video_id]
    await catalog.nudge(video_id, clock.now_ms + 5000, [record(video_id)])
    assert await catalog.stalled(clock.now_ms + 5000) == []
    assert [v.video_id for v in await catalog.stalled(clock.now_ms + 5001)] == [video_id]
    assert len(await sent(catalog)) == 2


async def test_pruning_drops_what_is_past_its_time_and_nothing_else(catalog: SqlCatalog, clock: Clock) -> None:
    video_id, rows = await indexed(catalog)
    await sent(catalog)
    gone = await uploaded(catalog)
    await catalog.request_deletion(TENANT, gone, call("DeleteVideo"), [])
    await catalog.finish_erasure(TENANT, gone, NOW_MS, [])
    assert [v.video_id for v in await catalog.erased_unswept(NOW_MS + 1)] == [gone]
    await catalog.mark_erased_swept([gone])
    assert await catalog.erased_unswept(NOW_MS + 1) == []
    assert await catalog.prune(NOW_MS) == 0
    clock.now_ms = NOW_MS + 31 * DAY_MS
    assert await catalog.prune(clock.now_ms) > 0
    assert await catalog.prune(clock.now_ms) == 0
    assert await catalog.list_scenes(TENANT, video_id, limit=9) == rows
    assert await catalog.video_sequence(TENANT, video_id) > 0
    assert [row.record.key for row in await catalog.pending()] == [gone]  # what was never sent stays
    assert gone not in {entry.video_id for _, entry in await catalog.changes(0)}


async def test_of_each_video_the_newest_changes_stay(catalog: SqlCatalog) -> None:
    often, seldom = await uploaded(catalog), await uploaded(catalog, sha256="cd" * 32)
    for percent in range(WATCH_KEPT + 20):
        run = StageRun("scenes", "RUNNING", attempt=1, progress=percent / 1000)
        await catalog.apply_updates([StageUpdate(TENANT, often, 1, run)], NOW_MS)
    before = [entry for _, entry in await catalog.changes(0, limit=1000)]
    assert await catalog.prune(NOW_MS) > 0
    after = [entry for _, entry in await catalog.changes(0, limit=1000)]
    assert [one for one in after if one.video_id == often] == [one for one in before if one.video_id == often][
        -WATCH_KEPT:
    ]
    assert [one for one in after if one.video_id == seldom] == [one for one in before if one.video_id == seldom]


async def test_a_photo_in_use_is_swept_however_late_somebody_is_erased(catalog: SqlCatalog, clock: Clock) -> None:
    made = await catalog.create_upload(upload(purpose="PERSON_PHOTO"), call(), allow_duplicate=False)
    await catalog.begin_completion(TENANT, made.upload_id)
    await catalog.finish_completion(TENANT, made.upload_id, etag="e")
    photo = Photo(made.upload_id, "a.jpg", "ACCEPTED", object_key=made.object_key, vector=b"\x01" * 8)
    minji = await catalog.create_person(person(photos=(photo,)), call("EnrolPerson"), [])
    clock.now_ms += 31 * DAY_MS
    await catalog.prune(clock.now_ms)
    assert await catalog.expire_uploads(clock.now_ms) == []
    await catalog.delete_person(TENANT, minji.person_id, call("DeletePerson"), [])
    assert [one.object_key for one in await catalog.expire_uploads(clock.now_ms)] == [made.object_key]
    await catalog.mark_swept([made.upload_id])
    assert await catalog.prune(clock.now_ms) > 0
    assert await catalog.expire_uploads(clock.now_ms) == []


async def test_a_refused_photo_goes_at_once_with_the_person_it_was_sent_for(catalog: SqlCatalog) -> None:
    sent_in = []
    for _ in range(2):
        made = await catalog.create_upload(upload(purpose="PERSON_PHOTO"), call(), allow_duplicate=False)
        await catalog.begin_completion(TENANT, made.upload_id)
        await catalog.finish_completion(TENANT, made.upload_id, etag="e")
        sent_in.append(made)
    refused, good = sent_in
    photos = (
        Photo(refused.upload_id, "a.jpg", "NO_FACE"),
        Photo(good.upload_id, "b.jpg", "ACCEPTED", object_key=good.object_key, vector=b"\x01" * 8),
        Photo("", "c.jpg", "NO_FACE"),
    )
    minji = await catalog.create_person(person(photos=photos), call("EnrolPerson"), [])
    keys = await catalog.delete_person(TENANT, minji.person_id, call("DeletePerson"), [])
    assert list(keys) == [refused.object_key, good.object_key]
    for made in sent_in:
        assert (await catalog.get_upload(TENANT, made.upload_id)).state == UploadState.EXPIRED


# ------------------------------------------------------------------------------------------- search filters


async def spoken(catalog: SqlCatalog, language: str, create_ms: int) -> str:
    """Return a searchable video in a language, uploaded then."""
    made = replace(upload(sha256=secrets.token_hex(32)), create_ms=create_ms)
    await catalog.create_upload(made, call(), allow_duplicate=True)
    await catalog.begin_completion(TENANT, made.upload_id)
    await catalog.finish_completion(TENANT, made.upload_id, etag="e", begins=NewRevision(1, "plan", SPECS, []))
    await catalog.apply_updates([ended(made.video_id, noun) for noun in flow.STAGES], create_ms)
    await catalog.commit_revision(
        TENANT, made.video_id, 1, scenes=scenes(made.video_id), language=language, now_ms=create_ms, records=[]
    )
    return made.video_id


async def test_videos_are_found_by_language_and_time_of_upload(catalog: SqlCatalog) -> None:
    korean = await spoken(catalog, "ko", NOW_MS)
    seoul = await spoken(catalog, "ko-KR", NOW_MS + 1000)
    english = await spoken(catalog, "en", NOW_MS + 2000)
    silent = await spoken(catalog, "", NOW_MS + 3000)
    await uploaded(catalog, sha256=secrets.token_hex(32))  # not searchable

    assert await catalog.videos_matching(TENANT) == [silent, english, seoul, korean]
    assert await catalog.videos_matching(TENANT, languages=["ko"]) == [seoul, korean]
    assert await catalog.videos_matching(TENANT, languages=["fr", "en"]) == [english]
    assert await catalog.videos_matching(TENANT, languages=["k"]) == []
    from_to: dict[str, Any] = {"uploaded_from_ms": NOW_MS + 1000, "uploaded_to_ms": NOW_MS + 3000}
    assert await catalog.videos_matching(TENANT, **from_to) == [english, seoul]
    assert await catalog.videos_matching(TENANT, languages=["ko"], **from_to) == [seoul]
    assert await catalog.videos_matching(TENANT, video_ids=[korean, english, "vid_else"]) == [english, korean]
    assert await catalog.videos_matching(TENANT, limit=2) == [silent, english]
    assert await catalog.videos_matching(OTHER, languages=["ko"]) == []


async def test_a_video_that_is_going_is_not_found(catalog: SqlCatalog) -> None:
    video_id, _ = await indexed(catalog)
    assert await catalog.videos_matching(TENANT, languages=["ko"]) == [video_id]
    await catalog.request_deletion(TENANT, video_id, call("DeleteVideo"), [])
    assert await catalog.videos_matching(TENANT, languages=["ko"]) == []


async def test_people_are_looked_for_within_a_scope(catalog: SqlCatalog) -> None:
    minji = await catalog.create_person(person(), call("EnrolPerson"), [])
    videos = [await indexed(catalog) for _ in range(2)]
    for video_id, rows in videos:
        matches = [Match(row.scene_id, minji.person_id, 0.9) for row in rows]
        await catalog.write_matches(TENANT, video_id, 1, gallery_version=1, matches=matches, now_ms=NOW_MS)
    video_id, rows = videos[0]

    async def found(scope: Scope) -> set[str]:
        return set(await catalog.scenes_of_people(TENANT, [minji.person_id], scope=scope))

    def of(*rows: SceneRow) -> set[str]:
        return {ids.row_id(row.scene_id, 1) for row in rows}

    assert await found(Scope()) == of(*rows, *videos[1][1])
    assert await found(Scope((video_id,))) == of(*rows)
    assert await found(Scope((video_id,), rows[1].start_ms)) == of(*rows[1:])
    assert await found(Scope((video_id,), None, rows[1].start_ms)) == of(rows[0])
    assert await found(Scope((video_id,), rows[1].start_ms, rows[2].start_ms)) == of(rows[1])


async def test_rows_with_people_are_told(catalog: SqlCatalog) -> None:
    minji = await catalog.create_person(person(), call("EnrolPerson"), [])
    other = await catalog.create_person(person("준호"), call("EnrolPerson"), [])
    video_id, rows = await indexed(catalog)
    matches = [Match(rows[0].scene_id, minji.person_id, 0.9), Match(rows[1].scene_id, other.person_id, 0.6)]
    await catalog.write_matches(TENANT, video_id, 1, gallery_version=1, matches=matches, now_ms=NOW_MS)
    asked = [ids.row_id(row.scene_id, 1) for row in rows]
    both = [minji.person_id, other.person_id]
    assert await catalog.rows_with_people(TENANT, both, asked) == set(asked[:2])
    assert await catalog.rows_with_people(TENANT, [minji.person_id], asked) == {asked[0]}
    assert await catalog.rows_with_people(TENANT, both, [asked[1], ids.row_id(rows[0].scene_id, 2)]) == {asked[1]}
    assert await catalog.rows_with_people(OTHER, both, asked) == frozenset()
    await catalog.delete_person(TENANT, minji.person_id, call("DeletePerson"), [])
    assert await catalog.rows_with_people(TENANT, both, asked) == {asked[1]}
