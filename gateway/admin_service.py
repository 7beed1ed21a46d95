"""Admin service: CreateGeneration, GetGeneration, ListGenerations, PromoteGeneration, DropGeneration."""

from __future__ import annotations

from typing import Any

import structlog

from contracts import facts
from contracts.catalog import Build, Catalog
from contracts.errors import PermissionDenied
from contracts.vocabulary import Vocabulary, vocabulary
from gateway import identity, status, validation
from gateway.identity import ADMIN, Principal
from gateway.requests import idempotency
from heimdex.admin.v1 import admin_service_pb2 as pb
from heimdex.admin.v1.admin_service_pb2_grpc import AdminServiceServicer
from indexer.schema.schema import text_index

_MAX_GENERATION = 2**31 - 1

_log = structlog.get_logger()


class AdminService(AdminServiceServicer):
    """Generations of the deployment, for tokens with the role ``admin``. Who builds them is control's ``builder``."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def CreateGeneration(self, request: pb.CreateGenerationRequest, context: Any) -> pb.CreateGenerationResponse:
        """Ask for a generation with words of the deployment's own."""
        who = _administrator()
        call = idempotency(who, "CreateGeneration", request)
        groups = [group.words for group in request.vocabulary.synonyms]
        build = await self._catalog.create_generation(
            vocabulary(request.vocabulary.dictionary, groups, field="vocabulary"),
            call,
            created_by=f"{who.tenant_id}/{who.subject}",
            promote_when_ready=request.promote_when_ready,
            text_index=text_index,
        )
        _log.info("generation asked for", generation=build.generation.generation, by=build.created_by)
        return pb.CreateGenerationResponse(generation=_message(build, words=True))

    async def GetGeneration(self, request: pb.GetGenerationRequest, context: Any) -> pb.GetGenerationResponse:
        """Return a generation with its words."""
        _administrator()
        number = _number(request.generation, or_active=True)
        if not number:
            number = (await self._catalog.active_generation()).generation
        return pb.GetGenerationResponse(generation=_message(await self._catalog.get_generation(number), words=True))

    async def ListGenerations(self, request: pb.ListGenerationsRequest, context: Any) -> pb.ListGenerationsResponse:
        """Return every generation by number."""
        _administrator()
        return pb.ListGenerationsResponse(
            generations=[_message(build) for build in await self._catalog.list_generations()]
        )

    async def PromoteGeneration(
        self, request: pb.PromoteGenerationRequest, context: Any
    ) -> pb.PromoteGenerationResponse:
        """Have searches read a generation from now on."""
        who = _administrator()
        call = idempotency(who, "PromoteGeneration", request)
        build = await self._catalog.promote_generation(_number(request.generation), call)
        _log.info("generation promoted", generation=request.generation, by=f"{who.tenant_id}/{who.subject}")
        return pb.PromoteGenerationResponse(generation=_message(build))

    async def DropGeneration(self, request: pb.DropGenerationRequest, context: Any) -> pb.DropGenerationResponse:
        """Give a generation up."""
        who = _administrator()
        call = idempotency(who, "DropGeneration", request)
        await self._catalog.drop_generation(_number(request.generation), call)
        _log.info("generation given up", generation=request.generation, by=f"{who.tenant_id}/{who.subject}")
        return pb.DropGenerationResponse()


def _administrator() -> Principal:
    """Return who calls. Raises PermissionDenied (permanent for that token) without the role."""
    who = identity.principal()
    if ADMIN not in who.roles:
        raise PermissionDenied(f"this needs a token with the role {ADMIN}")
    return who


def _number(value: int, *, or_active: bool = False) -> int:
    if not (0 if or_active else 1) <= value <= _MAX_GENERATION:
        raise validation.invalid("generation", "is no number of a generation")
    return value


def _message(build: Build, *, words: bool = False) -> pb.Generation:
    generation = build.generation
    message = pb.Generation(
        generation=generation.generation,
        state=pb.GenerationState.Value(f"GENERATION_STATE_{generation.state}"),
        text_model=generation.text_model,
        vision_model=generation.vision_model,
        ranking=generation.ranking,
        created_by=build.created_by,
        promote_when_ready=build.promote_when_ready,
        videos_done=build.videos_done,
        videos_total=build.videos_total,
    )
    if words:
        message.vocabulary.CopyFrom(_words(generation.vocabulary))
    if build.create_ms:
        message.create_time.CopyFrom(facts.timestamp(build.create_ms))
        message.update_time.CopyFrom(facts.timestamp(build.update_ms))
    if build.error_reason:
        at_fault = "REJECTED" if build.error_reason == "INVALID_FIELD" else "FAILED"
        message.error.CopyFrom(status.ending(at_fault, build.error_reason, build.error_message))
    return message


def _words(own: Vocabulary) -> pb.Vocabulary:
    return pb.Vocabulary(dictionary=own.dictionary, synonyms=[pb.Synonyms(words=group) for group in own.synonyms])
