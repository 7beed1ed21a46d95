"""Reconciler: on a timer, what got stuck -> its missing inputs sent again; what is past its time -> cleared away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from google.protobuf.message import DecodeError

from contracts import facts, ids, plan
from contracts.catalog import Catalog, Upload, Video, VideoState
from contracts.errors import BadArtifact, HeimdexError, NotFound
from contracts.ports import Clock, Objects, Record
from control.reconciler.missing import Found, facts_to_repeat
from control.reconciler.tries import forgotten, tries
from heimdex.events.v1 import context_pb2, manifest_pb2

EVERY_S = 60.0
STALLED_S = 600.0
"""A video without change for so long gets its inputs again: a stage at work says so every second or two, one that
waits for its turn behind others is given twice what it would have had once, which costs nothing."""

STUCK_COMPLETION_S = 300.0
LOOK_AGAIN_S = 6 * 3600.0
"""An erased video is looked through once more after that: by then no signed URL and no run can bring anything back.
Of a 60-minute video the longest run may take 4 hours by the deadlines of ``contracts.flow``."""

QUIET_S = 86_400.0
"""In a video that has ended and was without change for so long nobody is at work."""

BLOBS_EVERY_S = 86_400.0
_PAGE = 20

_log = structlog.get_logger()


class Reconciler:
    """The one sweeper. Nothing it does harms when it is done twice or by two."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        clock: Clock,
        *,
        every_s: float = EVERY_S,
        stalled_s: float = STALLED_S,
    ) -> None:
        """Wire; ``stalled_s`` is how long a video may stand still."""
        self._catalog = catalog
        self._objects = objects
        self._clock = clock
        self._every_s = every_s
        self._stalled_s = stalled_s
        self._tick_s: float | None = None
        self._blobs_after = ""
        self._blobs_due_s = 0.0

    async def run(self) -> None:
        """Sweep until cancelled; no error ends it."""
        while True:
            await self.sweep()
            await self._clock.sleep(self._every_s)

    def healthy(self) -> bool:
        """Return False when one piece of a sweep does not end; a store that is away makes it slow, no more."""
        return self._tick_s is None or self._clock.monotonic_s() - self._tick_s < 10 * self._every_s

    async def sweep(self) -> None:
        """Do everything once; what fails is tried again in the next turn."""
        for what, work in (
            ("uploads", self._sweep_uploads),
            ("stalled", self._move_stalled),
            ("erased", self._look_again),
            ("blobs", self._sweep_blobs),
            ("prune", self._prune),
        ):
            await self._attempt(what, work)

    async def _attempt(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tick_s = self._clock.monotonic_s()
        try:
            await work()
        except HeimdexError as error:
            _log.warning("not reconciled", what=what, reason=error.reason, error=error.message)
        except Exception:  # noqa: BLE001 - a defect in one part must not end the others; the log and the lag show it
            _log.exception("not reconciled", what=what)

    # ------------------------------------------------------------------------------------------------ sweeps

    async def _sweep_uploads(self) -> None:
        now_ms = self._clock.now_ms()
        if reopened := await self._catalog.reopen_stuck(now_ms - round(STUCK_COMPLETION_S * 1000)):
            _log.info("uploads reopened", uploads=reopened)
        for upload in await self._catalog.expire_uploads(now_ms):
            await self._attempt("upload", partial(self._sweep_upload, upload))

    async def _sweep_upload(self, upload: Upload) -> None:
        """Remove what was uploaded; of a video also the plan of a completion that did not get to its end."""
        video = upload.video_id and ids.video_prefix(upload.tenant_id, upload.video_id)
        await self._objects.purge(video or upload.object_key)
        await self._catalog.mark_swept([upload.upload_id])
        _log.info("upload swept", tenant_id=upload.tenant_id, upload_id=upload.upload_id, state=upload.state)

    async def _prune(self) -> None:
        if pruned := await self._catalog.prune(self._clock.now_ms()):
            _log.info("pruned", rows=pruned)

    async def _look_again(self) -> None:
        """Have the eraser go once more through videos that were erased a while ago."""
        now_ms = self._clock.now_ms()
        videos = await self._catalog.erased_unswept(now_ms - round(LOOK_AGAIN_S * 1000))
        if videos:
            await self._catalog.emit([facts.deletion_requested(v.tenant_id, v.video_id, now_ms) for v in videos])
            await self._catalog.mark_erased_swept([video.video_id for video in videos])

    async def _sweep_blobs(self) -> None:
        """Clear away the blobs of tries that came to nothing: some videos a turn, every video once a day."""
        now_s = self._clock.monotonic_s()
        if now_s < self._blobs_due_s:
            return
        before_ms = self._clock.now_ms() - round(QUIET_S * 1000)
        videos = await self._catalog.indexed_between(self._blobs_after, before_ms, limit=_PAGE)
        for video in videos:
            await self._attempt("blobs", partial(self._sweep_tries, video))
            self._blobs_after = video.video_id
        if len(videos) < _PAGE:
            self._blobs_after, self._blobs_due_s = "", now_s + BLOBS_EVERY_S

    async def _sweep_tries(self, video: Video) -> None:
        tenant_id, video_id = video.tenant_id, video.video_id
        prefix = f"{ids.video_prefix(tenant_id, video_id)}stage/"
        made = tries(tenant_id, video_id, [info.key async for info in self._objects.list(prefix)])
        runs = sorted({(one.noun, one.spec) for one in made})
        found = [await self._manifest(video, noun, spec) for noun, spec in runs]
        left = forgotten(tenant_id, video_id, made, [entry.manifest for entry in found if entry is not None])
        if not left or (await self._catalog.get_video(tenant_id, video_id)).update_ms != video.update_ms:
            return  # what begins now puts blobs that were not listed
        for unnamed in left:
            await self._objects.purge(unnamed)
        _log.info("blobs swept", tenant_id=tenant_id, video_id=video_id, tries=len(left))

    # ----------------------------------------------------------------------------------------------- stalled

    async def _move_stalled(self) -> None:
        for video in await self._catalog.stalled(self._clock.now_ms() - round(self._stalled_s * 1000)):
            await self._attempt("video", partial(self._move, video))

    async def _move(self, video: Video) -> None:
        """Send again what the video waits for; also when that is nothing, so that it is not looked at all the time."""
        records: tuple[Record, ...] = ()
        try:
            records = await self._missing(video)
        except BadArtifact as error:
            _log.error("cannot be moved", video_id=video.video_id, state=video.state, error=error.message)
        await self._catalog.nudge(video.video_id, self._clock.now_ms(), records)
        _log.warning(
            "stalled",
            tenant_id=video.tenant_id,
            video_id=video.video_id,
            revision=video.revision,
            state=video.state,
            sent_again=[record.topic for record in records],
        )

    async def _missing(self, video: Video) -> tuple[Record, ...]:
        if video.state is VideoState.DELETING:
            return (facts.deletion_requested(video.tenant_id, video.video_id, self._clock.now_ms()),)
        context = context_pb2.EventContext(
            tenant_id=video.tenant_id,
            video_id=video.video_id,
            revision=video.revision,
            plan_key=video.plan_key,
            root_traceparent=await self._catalog.root_traceparent(video.video_id, video.revision),
        )
        planned = await self._plan(video)
        manifests: dict[tuple[str, str], Found] = {}
        for noun, specs in plan.planned_specs(planned).items():
            for spec in specs:
                found = await self._manifest(video, noun, spec)
                if found is not None:
                    manifests[noun, spec] = found
        return facts_to_repeat(video, context, planned, manifests)

    async def _plan(self, video: Video) -> manifest_pb2.Plan:
        try:
            body, _ = await self._objects.get(video.plan_key)
            return manifest_pb2.Plan.FromString(body)
        except (NotFound, DecodeError) as error:
            raise BadArtifact(f"no plan for {video.video_id} revision {video.revision}") from error

    async def _manifest(self, video: Video, noun: str, spec: str) -> Found | None:
        try:
            body, _ = await self._objects.get(ids.manifest_key(video.tenant_id, video.video_id, noun, spec))
            return Found(manifest_pb2.Manifest.FromString(body), body)
        except NotFound:
            return None
        except DecodeError as error:
            raise BadArtifact(f"unreadable manifest of {noun} for {video.video_id}") from error
