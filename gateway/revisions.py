"""Revisions: an uploaded file and what is deployed now -> a plan that nobody changes any more, and the word to begin.

Every step may be repeated after a crash anywhere: what is done is found done.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from contracts import facts, ids, plan
from contracts.catalog import PROCESSED, Catalog, Generation, Idempotency, NewRevision, Video
from contracts.errors import BadArtifact, NotFound, PreconditionFailed
from contracts.ports import Clock, Objects
from heimdex.events.v1 import context_pb2, manifest_pb2

FIRST = 1
"""Number of a video's first revision."""

_NONE: Mapping[str, str] = MappingProxyType({})

_log = structlog.get_logger()


class Revisions:
    """Prepares the revisions of videos, and begins those after the first."""

    def __init__(self, catalog: Catalog, objects: Objects, pipeline: plan.Pipeline, clock: Clock) -> None:
        self._catalog = catalog
        self._objects = objects
        self._pipeline = pipeline
        self._clock = clock

    async def prepare(
        self,
        tenant_id: str,
        video_id: str,
        revision: int,
        source: manifest_pb2.Source,
        *,
        traceparent: str,
        salts: Mapping[str, str] = _NONE,
    ) -> NewRevision:
        """Fix the plan of a revision that has not begun.

        Args:
            salts: noun -> salt of stages whose work is to be done again, though an ending of it is there.

        Raises:
            DependencyUnavailable: SQL or object storage is away. Transient.
        """
        plan_key = ids.plan_key(tenant_id, video_id, revision)
        fixed = await self._fix(plan_key, await self._plan(tenant_id, video_id, revision, source, salts))
        context = context_pb2.EventContext(
            tenant_id=tenant_id,
            video_id=video_id,
            revision=revision,
            plan_key=plan_key,
            root_traceparent=traceparent,
        )
        specs = {noun: ",".join(each) for noun, each in plan.planned_specs(fixed).items()}
        return NewRevision(revision, plan_key, specs, [facts.video_uploaded(context, fixed.create_time)])

    async def reprocess(self, tenant_id: str, video_id: str, call: Idempotency, *, traceparent: str) -> Video:
        """Begin another revision of a video that is indexed or has failed; a call that was made before changes nothing.

        Stages that were rejected or failed run again, and those whose model, settings or input have changed since;
        what else there is is found done.

        Raises:
            NotFound: no such video in the tenant. Permanent.
            PreconditionFailed: VIDEO_STATE, it is under way or going. Permanent.
            DependencyUnavailable: SQL or object storage is away; call again. Transient.
        """
        video = await self._catalog.get_video(tenant_id, video_id)
        new = await self._next(video, traceparent) if video.state in PROCESSED else None
        begun = await self._catalog.begin_revision(tenant_id, video_id, call, new)
        _log.info("revision begun", tenant=tenant_id, video_id=video_id, revision=begun.revision)
        return begun

    async def _next(self, video: Video, traceparent: str) -> NewRevision:
        before = await self._planned(video)
        revision = video.revision + 1
        again = {run.stage: str(revision) for run in video.stages if run.broken}
        # Without its old salt, a stage would find what it made in the first place.
        salts = plan.salts_of(before) | again
        return await self.prepare(
            video.tenant_id, video.video_id, revision, before.source, traceparent=traceparent, salts=salts
        )

    async def _planned(self, video: Video) -> manifest_pb2.Plan:
        try:
            body, _ = await self._objects.get(video.plan_key)
        except NotFound as error:
            raise BadArtifact(f"no plan for {video.video_id} revision {video.revision}") from error
        return manifest_pb2.Plan.FromString(body)

    async def _plan(
        self, tenant_id: str, video_id: str, revision: int, source: manifest_pb2.Source, salts: Mapping[str, str]
    ) -> manifest_pb2.Plan:
        tenant = await self._catalog.tenant(tenant_id)
        active = await self._catalog.active_generation()
        building = await self._catalog.building_generations()
        others = [generation for generation in building if generation.models != active.models]
        return plan.build_plan(
            self._pipeline,
            tenant_id=tenant_id,
            video_id=video_id,
            revision=revision,
            source=source,
            faces_enabled=tenant.faces_enabled,
            # Those of the same models need no work of their own: commit writes to every one that there is then.
            generations=[_target(generation) for generation in (active, *others)],
            create_time=facts.timestamp(self._clock.now_ms()),
            salts=salts,
        )

    async def _fix(self, key: str, wanted: manifest_pb2.Plan) -> manifest_pb2.Plan:
        """Put a plan and return the one that is there then.

        An earlier try may have put it. The same but for its time is kept, so that all tries tell the same. Another one
        (deployed since, or faces switched) is replaced: nobody works by a plan before VIDEO_UPLOADED is written.
        """
        body = wanted.SerializeToString(deterministic=True)
        try:
            await self._objects.put(key, body, content_type="application/protobuf", if_none_match=True)
        except PreconditionFailed:
            found, info = await self._objects.get(key)
            earlier = manifest_pb2.Plan.FromString(found)
            same = manifest_pb2.Plan()
            same.CopyFrom(wanted)
            same.create_time.CopyFrom(earlier.create_time)
            if same == earlier:
                return earlier
            await self._objects.put(key, body, content_type="application/protobuf", if_match=info.etag)
        return wanted


def _target(generation: Generation) -> plan.TargetGeneration:
    """Return a generation with the models whose vectors its collections hold."""
    models = {"embeddings": generation.text_model, "vision": generation.vision_model}
    return plan.TargetGeneration(generation.generation, models)
