"""Similar: a scene -> scenes that say or show what it does, before the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import structlog

from contracts.catalog import Catalog, Generation, SceneRow
from contracts.errors import DependencyUnavailable, HeimdexError
from contracts.ids import row_id
from contracts.ports import AlarmClock, Float32, QueryVectors
from indexer.search.channels import Answers, Channels, Question
from indexer.search.filters import Filters, of_videos
from indexer.search.frames import SPARE_ROWS, hits_of, show, told_in
from indexer.search.fuse import Answer, candidates, fuse, hides
from indexer.search.likeness import others, question_like, ranking_like, tags_in_common, tags_of
from indexer.search.ranking import Ranking, base_weights, quality_of_answer
from indexer.search.timing import DEADLINE, Late, in_time, within
from indexer.search.types import (
    Budgets,
    Cause,
    Channel,
    Degraded,
    FrameKind,
    Hit,
    MatchQuality,
    SimilarRequest,
    Summary,
    Update,
)

_NONE: Float32 = np.zeros(0, np.float32)

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Comparison:
    """One call: until when the stores may take, and what became of each channel."""

    start_s: float
    stores_s: float
    scenes_s: float
    channel_ms: dict[Channel, int] = field(default_factory=dict)
    degraded: dict[Channel, Cause] = field(default_factory=dict)


class Similar:
    """Scenes like another, over one generation of the stores.

    It is a search whose vectors are the scene's own instead of a query's, with the tags in common beside them. A scene
    without one of the two vectors is compared by the other alone, one without both with none.
    """

    def __init__(  # noqa: PLR0917  # the parts of the searcher that makes it
        self,
        channels: Channels,
        filters: Filters,
        catalog: Catalog,
        generation: Generation,
        ranking: Ranking,
        clock: AlarmClock,
        budgets: Budgets,
    ) -> None:
        self._channels = channels
        self._filters = filters
        self._catalog = catalog
        self._generation = generation
        self._ranking = ranking
        self._clock = clock
        self._budgets = budgets

    async def find(self, request: SimilarRequest, *, deadline_s: float) -> Update:
        """Return DONE, best first; a channel that is late or fails is named in ``degraded``.

        Args:
            deadline_s: seconds from now until the caller gives up, > 0.

        Raises:
            NotFound: there is no such scene that may be shown (permanent).
            InvalidRequest: the weights sum to nothing (permanent).
            DependencyUnavailable: no channel that counts answers, the people of the filter do not, or SQL does not
                (transient).
        """
        ranking = ranking_like(self._ranking, request.weights)
        now_s, reserve_s = self._clock.monotonic_s(), self._budgets.reserve(deadline_s)
        call = _Comparison(now_s, now_s + deadline_s - reserve_s, now_s + deadline_s - 0.5 * reserve_s)
        scene, beside = await self._sql(call.stores_s, self._scene(request))
        narrow = request.filter
        sieved = bool(narrow.tags or narrow.excluded_person_ids) or of_videos(narrow)  # after the lists are made
        most = max(self._budgets.window_rows if sieved else self._budgets.leg_rows, request.limit + SPARE_ROWS)
        question = question_like(request, self._generation, rows=most + 1 + beside)
        if of_videos(narrow):
            question = await self._sql(call.stores_s, self._filters.placed(question, narrow))
        if question.nowhere:
            return self._done(call, {}, MatchQuality.NONE)

        vectors, asked = await self._ask(question, scene, call)
        answers = others(asked, scene, same_video=request.include_same_video, most=most) if vectors else {}
        _check_answered(question, answers, call, ranking)
        if not answers:
            return self._done(call, answers, MatchQuality.NONE)

        if question.checks.any():
            question = await self._sql(call.scenes_s, self._filters.checked(question, answers, {}))
        answers = await self._backfilled(question, answers, vectors, call)
        rows = sorted(candidates(answers, question.condition))
        scenes = await self._sql(call.scenes_s, self._catalog.hydrate(request.tenant_id, rows))
        if narrow.tags:
            lacking = (row for row, other in scenes.items() if not tags_of(other).keys() >= set(narrow.tags))
            question = _without(question, lacking)
        answers = {**answers, **_tagged(scene, scenes)}
        found, ranked = fuse(ranking, answers, question.condition, self._budgets.window_rows)
        known: dict[str, SceneRow | None] = {row: scenes.get(row) for row in rows}
        shown = await show(self._catalog, request.tenant_id, ranked, request.limit, known)
        best = max((row.confidence for row in ranked if known[row.row_id] is not None), default=0.0)
        quality = quality_of_answer(ranking, best)
        if quality is MatchQuality.NONE:  # the nearest of what is not like it is not like it
            return self._done(call, answers, quality)
        return self._done(
            call,
            answers,
            quality,
            hits=hits_of(shown, told_in(shown), {}),
            total_hits=len(ranked) - shown.gone,
            more=found > len(ranked) or hides(ranking, answers, question.condition, measured_after={Channel.TAGS}),
        )

    def _done(
        self,
        call: _Comparison,
        answers: Answers,
        quality: MatchQuality,
        *,
        hits: tuple[Hit, ...] = (),
        total_hits: int = 0,
        more: bool = False,
    ) -> Update:
        summary = Summary(
            total_hits=total_hits,
            match_quality=quality,
            degraded=tuple(
                Degraded(channel, call.degraded[channel]) for channel in Channel if channel in call.degraded
            ),
            elapsed_ms=self._ms_since(call.start_s),
            channel_ms=call.channel_ms,
            ranking=self._ranking.name,
            generation=self._generation.generation,
            total_is_lower_bound=more,
        )
        return Update(FrameKind.DONE, hits, tuple(channel for channel in Channel if channel in answers), summary)

    async def _scene(self, request: SimilarRequest) -> tuple[SceneRow, int]:
        """Return the scene, and how many of its video's will be left out of what the stores find."""
        scene = await self._catalog.get_scene(request.tenant_id, request.scene_id)
        if request.include_same_video:
            return scene, 0
        return scene, (await self._catalog.get_video(request.tenant_id, scene.video_id)).scene_count

    # ---- the stores -------------------------------------------------------------------------------

    async def _ask(
        self, question: Question, scene: SceneRow, call: _Comparison
    ) -> tuple[Mapping[Channel, Float32], Answers]:
        """Return the scene's vectors by which the channels have answered, and their answers with that of people.

        Each channel reads its vector and asks by it: one that hangs takes no time from the other.
        """
        row = row_id(scene.scene_id, scene.revision)
        vectors: dict[Channel, Float32] = {}

        async def compare(channel: Channel) -> Answers:
            vector = await self._channels.own(channel, question, row)
            if vector is None:
                return {}
            known = asyncio.get_running_loop().create_future()
            known.set_result(_as_query({channel: vector}))
            answers = await self._channels.ask((channel,), question, known)
            vectors[channel] = vector
            return answers

        works = {channel: compare(channel) for channel in (Channel.DENSE, Channel.VISION)}
        if question.groups:
            works[Channel.PEOPLE] = self._channels.ask((Channel.PEOPLE,), question, None)
        ends = await asyncio.gather(*(self._timed(channel, work, call) for channel, work in works.items()))
        return vectors, {channel: answer for end in ends for channel, answer in (end or {}).items()}

    async def _backfilled(
        self, question: Question, answers: Answers, vectors: Mapping[Channel, Float32], call: _Comparison
    ) -> Answers:
        """Return the answers with the cosines that the lists did not reach; as they are where that fails or is late."""
        rows = candidates(answers, question.condition)
        query = _as_query(vectors)
        seconds = min(self._budgets.backfill_s, call.stores_s - self._clock.monotonic_s())

        async def fill(channel: Channel, answer: Answer) -> Answer:
            if channel not in vectors:
                return answer
            return await self._channels.backfill_within(
                channel, answer, question, query, rows, clock=self._clock, seconds=seconds
            )

        filled = await asyncio.gather(*(fill(channel, answer) for channel, answer in answers.items()))
        return dict(zip(answers, filled, strict=True))

    async def _timed(self, channel: Channel, work: Coroutine[Any, Any, Result], call: _Comparison) -> Result | None:
        """Return what a channel says within its budget; None, and it is degraded, when it does not."""
        start_s = self._clock.monotonic_s()
        try:
            return await within(self._clock, min(self._budgets.seconds()[channel], call.stores_s - start_s), work)
        except Late:
            call.degraded[channel] = Cause.LATE
        except HeimdexError as error:
            call.degraded[channel] = Cause.FAILED
            log.warning("similar_channel_failed", channel=channel, reason=error.reason)
        finally:
            call.channel_ms[channel] = self._ms_since(start_s)
        return None

    async def _sql(self, until_s: float, work: Coroutine[Any, Any, Result]) -> Result:
        return await in_time(self._clock, until_s, work)

    def _ms_since(self, start_s: float) -> int:
        return round((self._clock.monotonic_s() - start_s) * 1000)


def _as_query(vectors: Mapping[Channel, Float32]) -> QueryVectors:
    """Return the scene's vectors as those of a query; a leg whose vector is missing is not asked."""
    return QueryVectors(vectors.get(Channel.DENSE, _NONE), vectors.get(Channel.VISION, _NONE))


def _without(question: Question, rows: Iterable[str]) -> Question:
    condition = question.condition
    return replace(question, condition=replace(condition, excluded=condition.excluded.union(rows)))


def _tagged(scene: SceneRow, scenes: Mapping[str, SceneRow]) -> Answers:
    """Return what the tags in common say of scenes; nothing when the scene has none."""
    own = tags_of(scene)
    if not own:
        return {}
    common = {row: tags_in_common(own, tags_of(other)) for row, other in scenes.items()}
    return {Channel.TAGS: Answer(Channel.TAGS, {row: share for row, share in common.items() if share > 0})}


def _check_answered(question: Question, answers: Answers, call: _Comparison, ranking: Ranking) -> None:
    """Raise unless there is something to compare by, and everybody who must be there is known."""
    compared = answers.keys() - {Channel.PEOPLE}
    counts = compared and any(base_weights(ranking, {*compared, Channel.TAGS}).values())
    if not call.degraded or (counts and question.condition.needs() <= answers.keys()):
        return
    late = all(cause is Cause.LATE for cause in call.degraded.values())
    raise DependencyUnavailable(
        "search", "no channel that counts answered; try again", reason=DEADLINE if late else None
    )
