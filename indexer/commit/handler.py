"""Handler of commit: a sidecar -> rows in Milvus, then OpenSearch, then one SQL transaction that makes them searchable.

Whatever happens before the transaction is done again by the next try; whatever it says leaves by the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from contracts import facts, flow, ids, plan
from contracts.catalog import WRITTEN, Catalog, Generation, GenerationState, Video, VideoState
from contracts.delivery import Delivery, Observe, unobserved
from contracts.endings import progressed
from contracts.errors import BadArtifact, DependencyUnavailable, Erased, HeimdexError, NotFound, Rejected
from contracts.ports import Clock, Objects, Producer, TextIndex, VectorIndex, VectorRow
from contracts.work import has_result, read_artifact
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, manifest_pb2
from indexer.commit import rows as from_sidecar
from indexer.commit.leftovers import Leftovers

GRACE_S = 60.0
"""How long rows of a replaced revision stay, for searches that are under way."""

_BATCH_ROWS = 500
_STAGE = flow.STAGES["commit"]
_GOING = frozenset({VideoState.DELETING, VideoState.DELETED})

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Target:
    """A generation and what is to be found in it."""

    generation: Generation
    rows: from_sidecar.Rows


class CommitHandler:
    """``StageHandler`` of commit."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        text_vectors: VectorIndex,
        vision_vectors: VectorIndex,
        text: TextIndex,
        *,
        producer: Producer,
        clock: Clock,
        observe: Observe = unobserved,
        grace_s: float = GRACE_S,
        deadline_factor: float = 1.0,
    ) -> None:
        """Wire.

        Args:
            producer: for progress alone; endings leave by the outbox.
            observe: watches the commits themselves.
            grace_s: how long rows of a replaced revision stay.
            deadline_factor: stretches the deadline on slow machines.
        """
        self._catalog = catalog
        self._objects = objects
        self._text_vectors = text_vectors
        self._vision_vectors = vision_vectors
        self._text = text
        self._producer = producer
        self._clock = clock
        self._observe = observe
        self._deadline_factor = deadline_factor
        self._turn = asyncio.Lock()
        self._leftovers = Leftovers(catalog, text_vectors, vision_vectors, text, clock, grace_s=grace_s)

    async def close(self) -> None:
        """Remove what waits for its grace now, or leave it to the video's next revision."""
        await self._leftovers.close()

    async def run(self, delivery: Delivery) -> bool:
        """See ``StageHandler.run``. A searchable revision stays as it is: its facts are in the outbox."""
        context = delivery.context
        await self._refuse_erased(delivery)
        video = await self._video(delivery)
        if video.searchable_revision >= context.revision:
            await self._leftovers.of_older_revisions(video)
            return False
        if _failed_before(video, context.revision):
            return True
        async with self._turn:  # one writer a collection
            with self._observe(delivery) as ended:
                if await self._commit_in_time(delivery, video):
                    ended(common_pb2.OUTCOME_OK)
        return False

    async def end(self, delivery: Delivery, error: HeimdexError) -> None:
        """See ``StageHandler.end``. Says nothing of a video that is searchable after all, or that is going."""
        context = delivery.context
        try:
            video = await self._video(delivery)
        except Erased:
            return
        if video.searchable_revision >= context.revision:
            return
        ending = manifest_pb2.Manifest(
            stage=_STAGE.number,
            spec=delivery.spec,
            outcome=common_pb2.OUTCOME_REJECTED if isinstance(error, Rejected) else common_pb2.OUTCOME_FAILED,
            reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}"),
            message=error.message,
            end_time=facts.timestamp(self._clock.now_ms()),
            attempts=delivery.attempt,
            labels=error.metadata,
        )
        await self._catalog.emit([from_sidecar.video_indexed(context, ending, scene_count=0)])

    async def retrying(self, delivery: Delivery) -> None:
        """See ``StageHandler.retrying``."""
        await self._tell_progress(delivery, self._clock.now_ms(), retrying=True)

    # ------------------------------------------------------------------------------------------- one commit

    async def _commit_in_time(self, delivery: Delivery, video: Video) -> bool:
        start_ms = self._clock.now_ms()
        await self._tell_progress(delivery, start_ms)
        duration_s = video.duration_ms / 1000
        limit_s = delivery.plan.max_duration_s
        deadline_s = _STAGE.deadline.seconds(duration_s, limit_s=limit_s, factor=self._deadline_factor)
        try:
            async with asyncio.timeout(deadline_s):
                searchable = await self._commit(delivery, video, start_ms)
        except TimeoutError as error:
            message = f"took longer than {deadline_s:.0f} s"
            raise DependencyUnavailable("stores", message, reason="DEADLINE_EXCEEDED") from error
        return searchable

    async def _commit(self, delivery: Delivery, video: Video, start_ms: int) -> bool:
        """Return whether the revision is searchable now; not while the sidecar of another generation is to come."""
        context = delivery.context
        targets = await self._targets(delivery, video)
        if not targets:
            return False  # it brings its own delivery
        known = await self._catalog.video_scene_ids(context.tenant_id, context.video_id)
        await self._refuse_erased(delivery)
        try:
            await self._write_vectors(targets)
            await self._refuse_erased(delivery)
            await self._write_text(targets)
            await self._refuse_erased(delivery)
            await self._flip(delivery, video, targets, known, start_ms)
        except HeimdexError as error:
            if not isinstance(error, Erased) and not await self._erased(delivery):
                raise
            await self._take_back(delivery, targets)
            raise Erased("the video is being erased") from error
        return True

    async def _flip(
        self, delivery: Delivery, video: Video, targets: Sequence[_Target], known: Sequence[str], start_ms: int
    ) -> None:
        """Make the rows searchable and their facts known, all at once."""
        context, now_ms, rows = delivery.context, self._clock.now_ms(), targets[0].rows
        stale = await self._catalog.commit_revision(
            context.tenant_id,
            context.video_id,
            context.revision,
            scenes=rows.scenes,
            language=rows.language,
            now_ms=now_ms,
            generations=[target.generation.generation for target in targets],
            records=from_sidecar.records(
                context,
                plan.spec_of(plan.planned_specs(delivery.plan), _STAGE.noun, 0),
                rows.scenes,
                known_scene_ids=known,
                language=rows.language,
                start_ms=start_ms,
                now_ms=now_ms,
                attempt=delivery.attempt,
            ),
        )
        if stale is None:
            raise Erased("the video is being erased")
        older = [ids.row_id(scene, revision) for revision in range(1, context.revision) for scene in known]
        self._leftovers.later(video, list(dict.fromkeys([*stale, *older])))  # also what a crash has left behind
        _log.info(
            "committed",
            stage=_STAGE.noun,
            tenant_id=context.tenant_id,
            video_id=context.video_id,
            revision=context.revision,
            scenes=len(rows.scenes),
            elapsed_ms=now_ms - start_ms,
        )

    async def _targets(self, delivery: Delivery, video: Video) -> list[_Target]:
        """Return what goes where, that of the first planned generation first; nothing while a sidecar is missing.

        A sidecar goes into its planned generation, and into every other that its vectors fit by now: those that have
        come since the revision was planned, and those that searches may go back to.

        Raises: DependencyUnavailable (transient): a planned generation is not there (yet).
        """
        context, planned = delivery.context, plan.planned_specs(delivery.plan)
        there = {each.generation: each for each in await self._catalog.all_generations() if each.state in WRITTEN}
        targets: dict[int, _Target] = {}
        for index, number in await self._planned(delivery, there):
            manifest = await self._sidecar_manifest(delivery, plan.spec_of(planned, "sidecar", index))
            if manifest is None:
                return []
            if not has_result(manifest):
                raise BadArtifact(f"sidecar of {context.video_id} has no result")
            sidecar = from_sidecar.parse(await read_artifact(self._objects, manifest))
            if number in there and not _fits(sidecar, there[number]):
                made_by = f"{sidecar.text_model_version} and {sidecar.vision_model_version}"
                raise BadArtifact(f"vectors of {made_by} do not belong in generation {number}")
            rows = from_sidecar.rows(
                sidecar,
                tenant_id=context.tenant_id,
                video_id=context.video_id,
                revision=context.revision,
                file_name=video.file_name,
            )
            for generation in there.values():
                is_other = generation.generation not in delivery.plan.generations
                if generation.generation == number or (is_other and _fits(sidecar, generation)):
                    targets.setdefault(generation.generation, _Target(generation, rows))
        if not targets:
            raise BadArtifact(f"the plan of {context.video_id} names no generation that is there")
        return list(targets.values())

    async def _planned(self, delivery: Delivery, there: Mapping[int, Generation]) -> list[tuple[int, int]]:
        """Return (index, number) of the planned generations that are still there; where all have gone, of all: their
        sidecars may fit those that came after them.

        Raises: DependencyUnavailable (transient): one is not there yet.
        """
        numbers = list(enumerate(delivery.plan.generations))
        left = [(index, number) for index, number in numbers if number in there]
        if len(left) < len(numbers):
            known = {each.generation for each in await self._catalog.all_generations()}
            known |= await self._catalog.dropped_generations()
            for _, number in numbers:
                if number not in known:
                    raise DependencyUnavailable("catalog", f"generation {number} is not there")
        return left or numbers

    async def _sidecar_manifest(self, delivery: Delivery, spec: str) -> manifest_pb2.Manifest | None:
        own = delivery.inputs.get("sidecar")
        if own is not None and own.spec == spec:
            return own
        context = delivery.context
        try:
            body, _ = await self._objects.get(ids.manifest_key(context.tenant_id, context.video_id, "sidecar", spec))
            return manifest_pb2.Manifest.FromString(body)
        except NotFound:
            return None
        except DecodeError as error:
            raise BadArtifact(f"unreadable manifest of sidecar for {context.video_id}") from error

    async def _write_vectors(self, targets: Sequence[_Target]) -> None:
        """Write and flush; generations that share a collection share its rows."""
        text = {t.generation.text_collection: t.rows.text_vectors for t in targets}
        vision = {t.generation.vision_collection: t.rows.vision_vectors for t in targets}
        for index, collections in ((self._text_vectors, text), (self._vision_vectors, vision)):
            for collection, vectors in collections.items():
                await _upsert(index, collection, vectors)

    async def _write_text(self, targets: Sequence[_Target]) -> None:
        for target in targets:
            generation = target.generation
            if generation.state == GenerationState.ACTIVE:  # else the builder has made it, and may have removed it
                await self._text.ensure(generation.text_index, generation.vocabulary)
            await self._text.upsert(generation.text_index, target.rows.text)
            await self._text.refresh(generation.text_index)

    # -------------------------------------------------------------------------------------------- erasure

    async def _take_back(self, delivery: Delivery, targets: Sequence[_Target]) -> None:
        """Remove what was written beside the eraser, which may have been here before."""
        tenant_id, video_id = delivery.context.tenant_id, delivery.context.video_id
        for target in targets:
            generation = target.generation
            if target.rows.text_vectors:
                await self._text_vectors.delete_video(generation.text_collection, tenant_id, video_id)
            if target.rows.vision_vectors:
                await self._vision_vectors.delete_video(generation.vision_collection, tenant_id, video_id)
            await self._text.delete_video(generation.text_index, tenant_id, video_id)

    async def _refuse_erased(self, delivery: Delivery) -> None:
        if await self._erased(delivery):
            raise Erased("the video is being erased")

    async def _erased(self, delivery: Delivery) -> bool:
        return await self._objects.head(ids.gate_key(delivery.context.video_id)) is not None

    async def _video(self, delivery: Delivery) -> Video:
        """Return the video. Raises Erased when it is going or gone."""
        try:
            video = await self._catalog.get_video(delivery.context.tenant_id, delivery.context.video_id)
        except NotFound as error:
            raise Erased("the video is gone") from error
        if video.state in _GOING:
            raise Erased("the video is being erased")
        return video

    async def _tell_progress(self, delivery: Delivery, start_ms: int, *, retrying: bool = False) -> None:
        record = progressed(
            _STAGE,
            delivery.context,
            delivery.spec,
            attempt=delivery.attempt,
            share=0.0,
            start=facts.timestamp(start_ms),
            now=facts.timestamp(self._clock.now_ms()),
            retrying=retrying,
        )
        try:
            await self._producer.send(record)
        except HeimdexError as error:  # progress is a courtesy; the ending is what counts
            _log.warning("progress not sent", stage=_STAGE.noun, error=error.message)


async def _upsert(index: VectorIndex, collection: str, vectors: Sequence[VectorRow]) -> None:
    if not vectors:
        return
    await index.ensure(collection, len(vectors[0].vector))
    for start in range(0, len(vectors), _BATCH_ROWS):
        await index.upsert(collection, vectors[start : start + _BATCH_ROWS])
    await index.flush(collection)


def _fits(sidecar: artifact_pb2.Sidecar, generation: Generation) -> bool:
    """Return whether no vector is of another space than the generation's."""
    made_by = (sidecar.text_model_version, sidecar.vision_model_version)
    return all(version in {"", model} for version, model in zip(made_by, generation.models, strict=True))


def _failed_before(video: Video, revision: int) -> bool:
    """Return whether this revision's commit is known to have been given up."""
    return video.revision == revision and any(
        run.stage == _STAGE.noun and run.outcome in {"FAILED", "REJECTED"} for run in video.stages
    )
