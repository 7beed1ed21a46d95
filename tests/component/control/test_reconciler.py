"""Reconciler on memory objects and a real catalogue: what got stuck moves on, what is past its time goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import cast

import pytest

from contracts import codec, facts, flow, ids
from contracts.catalog import UPLOAD_URL_LIFE_S, Catalog, UploadState, VideoState
from contracts.endings import progressed
from contracts.errors import DependencyUnavailable, NotFound
from contracts.ports import Objects
from control.eraser.eraser import Eraser
from control.reconciler.reconciler import (
    EVERY_S,
    LOOK_AGAIN_S,
    QUIET_S,
    STALLED_S,
    STUCK_COMPLETION_S,
    Reconciler,
)
from control.tracker.tracker import Tracker
from indexer.commit.handler import CommitHandler
from tests.component.faults import Around, Failing
from tests.component.world import TENANT, Ingest, VirtualClock, World, sidecar, world

DAY_S = 86_400
UPLOAD_LIFE_S = 900


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def reconciler(w: World, replaced: Mapping[str, object] | None = None) -> Reconciler:
    catalog, objects = ((replaced or {}).get(name, getattr(w, name)) for name in ("catalog", "objects"))
    return Reconciler(cast("Catalog", catalog), cast("Objects", objects), w.clock)


async def nothing() -> None:
    """Happen not at all."""


async def topics(w: World) -> list[str]:
    return [record.topic for record in await w.outbox()]


async def keys(w: World, prefix: str) -> list[str]:
    return [info.key async for info in w.objects.list(prefix)]


# ---------------------------------------------------------------------------------------------- stalled


async def test_a_video_that_stands_still_gets_its_inputs_again_once_a_while(w: World) -> None:
    v = await w.ingest()
    await w.end(v, "validate")
    await w.outbox()
    it = reconciler(w)
    await it.sweep()
    assert await topics(w) == [], "it has only just begun"
    w.clock.now_s += STALLED_S + 1
    await it.sweep()
    assert await topics(w) == ["heimdex-video-validated-v1"]
    await it.sweep()
    assert await topics(w) == []
    w.clock.now_s += STALLED_S + 1
    await it.sweep()
    assert await topics(w) == ["heimdex-video-validated-v1"]


async def test_the_first_fact_is_told_again_byte_for_byte_with_its_trace(w: World) -> None:
    await w.ingest()
    [first] = await w.outbox()
    w.clock.now_s += STALLED_S + 1
    await reconciler(w).sweep()
    assert await w.outbox() == [first]
    assert codec.headers(first)["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c")


async def test_a_lost_event_is_made_good_up_to_the_index(w: World) -> None:
    """Whatever was lost between two stages, sweeping and doing what is asked comes to a searchable video."""
    v = await w.ingest()
    await w.outbox()
    commit = CommitHandler(
        w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, producer=w.bus, clock=w.clock
    )
    tracker = Tracker(w.catalog, w.clock)
    for noun, stage in flow.STAGES.items():
        w.clock.now_s += STALLED_S + 1
        await reconciler(w).sweep()
        told = await w.outbox()
        assert {flow.topic_name(message) for message in stage.waits_for} <= {record.topic for record in told}
        if noun == "commit":
            await commit.run(await w.delivery(v, "commit"))
            await w.outbox()  # VIDEO_INDEXED is lost as well
        else:
            await w.end(v, noun, sidecar(v.video_id, (0, 1000)) if noun == "sidecar" else None)
        await tracker.apply(told)
    w.clock.now_s += STALLED_S + 1
    await reconciler(w).sweep()
    await tracker.apply(await w.outbox())
    assert (await w.catalog.get_video(TENANT, v.video_id)).state is VideoState.INDEXED
    w.clock.now_s += STALLED_S + 1
    await reconciler(w).sweep()
    assert await topics(w) == []


async def test_a_stage_that_shows_progress_is_not_stalled(w: World) -> None:
    v = await w.ingest()
    await w.end(v, "validate")
    await w.tell(v, "validate")
    await w.outbox()
    w.clock.now_s += STALLED_S - 1
    now = facts.timestamp(w.clock.now_ms())
    under_way = progressed(flow.STAGES["audio"], v.context, v.spec("audio"), attempt=1, share=0.5, start=now, now=now)
    await Tracker(w.catalog, w.clock).apply([under_way])
    w.clock.now_s += 2
    await reconciler(w).sweep()
    assert await topics(w) == []


async def test_a_video_without_a_plan_does_not_stop_the_others_and_is_not_looked_at_all_the_time(w: World) -> None:
    broken, good = await w.ingest("broken"), await w.ingest("good")
    await w.objects.purge(broken.context.plan_key)
    await w.outbox()
    w.clock.now_s += STALLED_S + 1
    counted = Around(w.objects, "get", nothing)
    it = reconciler(w, {"objects": counted})
    await it.sweep()
    assert [record.key for record in await w.outbox()] == [good.video_id]
    looks = counted.calls
    await it.sweep()
    assert counted.calls == looks


async def test_a_bucket_that_is_away_leaves_the_video_for_the_next_turn(w: World) -> None:
    v = await w.ingest()
    await w.outbox()
    w.clock.now_s += STALLED_S + 1
    it = reconciler(w, {"objects": Failing(w.objects, "get", DependencyUnavailable("s3", "away"))})
    await it.sweep()
    assert await topics(w) == []
    await it.sweep()
    assert [record.key for record in await w.outbox()] == [v.video_id]


async def test_a_deletion_that_stands_still_is_asked_for_again(w: World) -> None:
    v = await w.ingest()
    await w.request_deletion(v)
    await w.outbox()
    w.clock.now_s += STALLED_S + 1
    await reconciler(w).sweep()
    assert [(r.topic, r.key) for r in await w.outbox()] == [("heimdex-video-deletion-requested-v1", v.video_id)]


# ---------------------------------------------------------------------------------------------- uploads


async def test_an_expired_upload_is_swept_once_no_url_is_good_any_more(w: World) -> None:
    upload = await w.upload()
    await w.objects.put(upload.object_key, b"content")
    await w.objects.put(ids.plan_key(TENANT, upload.video_id, 1), b"a completion put it and died")
    await w.objects.create_multipart(upload.object_key, content_type="video/mp4")
    it = reconciler(w)
    w.clock.now_s += UPLOAD_LIFE_S + 1
    await it.sweep()
    assert (await w.catalog.get_upload(TENANT, upload.upload_id)).state is UploadState.EXPIRED
    assert (await w.catalog.get_video(TENANT, upload.video_id)).state is VideoState.EXPIRED
    assert len(await keys(w, "t/")) == 2, "a URL may still bring bytes"
    w.clock.now_s += UPLOAD_URL_LIFE_S + 1
    await it.sweep()
    assert await keys(w, "t/") == []
    assert w.objects._multiparts == {}
    assert await w.catalog.expire_uploads(w.clock.now_ms()) == []


async def test_an_aborted_upload_is_swept_and_one_under_way_is_not(w: World) -> None:
    gone, here = await w.upload("gone"), await w.upload("here")
    for upload in (gone, here):
        await w.objects.put(upload.object_key, b"content")
    await w.catalog.abort_upload(TENANT, gone.upload_id, w.call("AbortUpload"))
    w.clock.now_s += UPLOAD_LIFE_S - 1
    await reconciler(w).sweep()
    w.clock.now_s += 2
    await w.catalog.begin_completion(TENANT, here.upload_id)
    await reconciler(w).sweep()
    assert await keys(w, "t/") == [here.object_key]


async def test_an_upload_that_cannot_be_swept_does_not_stop_the_others(w: World) -> None:
    uploads = [await w.upload(name) for name in ("one", "two")]
    for upload in uploads:
        await w.objects.put(upload.object_key, b"content")
    w.clock.now_s += UPLOAD_LIFE_S + 1
    await reconciler(w).sweep()
    w.clock.now_s += UPLOAD_URL_LIFE_S + 1
    it = reconciler(w, {"objects": Failing(w.objects, "purge", DependencyUnavailable("s3", "away"))})
    await it.sweep()
    assert len(await keys(w, "t/")) == 1
    await it.sweep()
    assert await keys(w, "t/") == []


async def test_a_completion_whose_gateway_died_may_be_asked_for_again(w: World) -> None:
    upload = await w.upload()
    await w.catalog.begin_completion(TENANT, upload.upload_id)
    w.clock.now_s += STUCK_COMPLETION_S - 1
    await reconciler(w).sweep()
    assert (await w.catalog.get_upload(TENANT, upload.upload_id)).state is UploadState.COMPLETING
    w.clock.now_s += 2
    await reconciler(w).sweep()
    assert (await w.catalog.get_upload(TENANT, upload.upload_id)).state is UploadState.OPEN


# ------------------------------------------------------------------------------------------------ blobs


async def ended(w: World, name: str = "one") -> tuple[Ingest, str]:
    """Return an indexed video, and the key of a blob of a try that came to nothing."""
    v = await w.ingest(name)
    await w.end(v, "sidecar", sidecar(v.video_id, (0, 1000)))
    await w.tell(v, "validate", "commit")
    lost = ids.blob_key(TENANT, v.video_id, "sidecar", v.spec("sidecar"), "lost", "artifact.pb")
    await w.objects.put(lost, b"of a try that died")
    await w.outbox()
    return v, lost


async def test_blobs_that_no_manifest_names_go_when_nobody_is_at_work(w: World) -> None:
    v, lost = await ended(w)
    unbegun = ids.blob_key(TENANT, v.video_id, "vision", "s9", "lost", "artifact.pb")
    await w.objects.put(unbegun, b"of a stage without manifest")
    before = await keys(w, "t/")
    await reconciler(w).sweep()
    assert await keys(w, "t/") == before
    w.clock.now_s += QUIET_S + 1
    await reconciler(w).sweep()
    assert await keys(w, "t/") == [key for key in before if key not in {lost, unbegun}]


async def test_blobs_of_a_video_that_is_at_work_stay(w: World) -> None:
    v = await w.ingest()
    key = ids.blob_key(TENANT, v.video_id, "asr", v.spec("asr"), "try", "artifact.pb")
    await w.objects.put(key, b"its manifest is still to come")
    w.clock.now_s += QUIET_S + 1
    await reconciler(w).sweep()
    assert key in await keys(w, "t/")


async def test_blobs_stay_when_work_begins_while_they_are_looked_through(w: World) -> None:
    v, lost = await ended(w)
    w.clock.now_s += QUIET_S + 1

    async def begin() -> None:
        await w.tell(v, "asr")

    busy = Around(w.objects, "get", begin)
    await reconciler(w, {"objects": busy}).sweep()
    assert busy.calls
    assert lost in await keys(w, "t/")


async def test_every_video_has_its_turn_and_then_a_day_passes(w: World) -> None:
    lost = [(await ended(w, f"video {n}"))[1] for n in range(23)]
    w.clock.now_s += QUIET_S + 1
    it = reconciler(w)
    await it.sweep()
    assert len(set(lost) & set(await keys(w, "t/"))) == 3
    await it.sweep()
    assert not set(lost) & set(await keys(w, "t/"))
    await w.objects.put(lost[0], b"again")
    await it.sweep()
    assert lost[0] in await keys(w, "t/")
    w.clock.now_s += DAY_S
    await it.sweep()
    assert lost[0] not in await keys(w, "t/")


async def test_an_unreadable_manifest_keeps_all_blobs_of_its_video(w: World) -> None:
    v, lost = await ended(w)
    await w.objects.put(v.manifest_key("sidecar"), b"\xff\xff")
    w.clock.now_s += QUIET_S + 1
    await reconciler(w).sweep()
    assert lost in await keys(w, "t/")


# ----------------------------------------------------------------------------------- erased; pruning


async def test_an_erased_video_is_looked_through_once_more_and_forgotten_after_30_days(w: World) -> None:
    v = await w.ingest()
    eraser = Eraser(w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, leases=w.leases, clock=w.clock)
    await eraser.handle(await w.request_deletion(v))
    await w.outbox()
    await w.objects.put(v.manifest_key("faces"), b"by a run that was paused for hours")
    it = reconciler(w)
    w.clock.now_s += LOOK_AGAIN_S - 1
    await it.sweep()
    assert await topics(w) == []
    w.clock.now_s += 2
    await it.sweep()
    await it.sweep()
    [asked] = await w.outbox()
    await eraser.handle(asked)
    assert await keys(w, ids.video_prefix(TENANT, v.video_id)) == []
    assert (await w.catalog.get_video(TENANT, v.video_id)).state is VideoState.DELETED
    w.clock.now_s += 30 * DAY_S + 1
    await it.sweep()
    with pytest.raises(NotFound):
        await w.catalog.get_video(TENANT, v.video_id)
    assert await w.catalog.changes(0) == []
    assert await topics(w) == []
    assert await w.objects.head(ids.gate_key(v.video_id)) is not None, "the gate is kept"


async def test_only_the_newest_500_changes_of_a_video_are_kept(w: World) -> None:
    v = await w.ingest()
    await w.tell(v, "validate")
    other = await w.ingest("other")
    start = facts.timestamp(w.clock.now_ms())
    for attempt in range(1, 520):
        record = progressed(
            flow.STAGES["audio"], v.context, v.spec("audio"), attempt=attempt, share=0.0, start=start, now=start
        )
        await Tracker(w.catalog, w.clock).apply([record])
    await reconciler(w).sweep()
    entries = [entry for _, entry in await w.catalog.changes(0, limit=9999)]
    mine = [entry.sequence for entry in entries if entry.video_id == v.video_id]
    newest = await w.catalog.video_sequence(TENANT, v.video_id)
    assert mine == list(range(newest - 499, newest + 1))
    assert [e.sequence for e in entries if e.video_id == other.video_id] == list(
        range(1, await w.catalog.video_sequence(TENANT, other.video_id) + 1)
    )


# ------------------------------------------------------------------------------------------- the sweeper


@pytest.mark.parametrize(
    "error", [DependencyUnavailable("catalog", "away"), ZeroDivisionError()], ids=["away", "defect"]
)
@pytest.mark.parametrize("method", ["expire_uploads", "stalled", "erased_unswept", "indexed_between", "prune"])
async def test_a_sweep_that_fails_does_not_stop_the_others(w: World, method: str, error: Exception) -> None:
    v, lost = await ended(w)
    stalled = await w.ingest("stalled")
    await w.outbox()
    w.clock.now_s += QUIET_S + 1
    it = reconciler(w, {"catalog": Failing(w.catalog, method, error)})
    await it.sweep()
    assert (lost in await keys(w, "t/")) is (method == "indexed_between")
    assert (stalled.video_id in {r.key for r in await w.outbox()}) is (method != "stalled")
    await it.sweep()
    assert lost not in await keys(w, "t/")
    assert v.video_id


class TurningClock(VirtualClock):
    """Time of a process that is stopped after some turns."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._left = turns

    async def sleep(self, seconds: float) -> None:
        self._left -= 1
        if not self._left:
            raise asyncio.CancelledError
        await super().sleep(seconds)


async def test_it_sweeps_for_ever(w: World) -> None:
    clock = TurningClock(3)
    counted = Around(w.catalog, "prune", nothing)
    it = Reconciler(cast("Catalog", counted), w.objects, clock)
    assert it.healthy()
    with pytest.raises(asyncio.CancelledError):
        await it.run()
    assert counted.calls == 3
    assert clock.slept_s == [EVERY_S, EVERY_S]
    assert it.healthy()


async def test_a_piece_that_does_not_end_is_an_illness_and_many_slow_ones_are_none(w: World) -> None:
    for n in range(30):
        await w.ingest(f"video {n}")
    w.clock.now_s += STALLED_S + 1
    healthy: list[bool] = []

    class Slow:
        """A bucket that takes its time, until it stops answering."""

        async def get(self, key: str, *, if_match: str | None = None) -> object:
            w.clock.now_s += 60
            healthy.append(it.healthy())
            raise DependencyUnavailable("s3", "away")

    it = reconciler(w, {"objects": Slow()})
    await it.sweep()
    assert healthy == [True] * 30
    w.clock.now_s += 10 * EVERY_S
    assert not it.healthy()
