"""Searcher: a request -> complete lists of hits, each better than the last, and DONE before the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from contracts.catalog import Catalog, Generation, ScenePerson, SceneRow
from contracts.errors import DependencyUnavailable, FieldViolation, HeimdexError, InvalidRequest
from contracts.ports import AlarmClock, QueryEncoder, QueryVectors, TextIndex, VectorIndex
from indexer.search import facets
from indexer.search.channels import Answers, Channels, Question, question_of
from indexer.search.filters import Filters, of_videos
from indexer.search.frames import NOTHING, SPARE_ROWS, Marks, Shown, hits_of, read, show, texts_of, told_in
from indexer.search.fuse import Answer, candidates, counted, fuse, hides
from indexer.search.names import Names
from indexer.search.parse import Parsed, clean, parse
from indexer.search.ranking import Ranking, base_weights, quality_of_answer, weighted
from indexer.search.similar import Similar
from indexer.search.timing import DEADLINE, Late, in_time, stop, within
from indexer.search.types import (
    Budgets,
    Cause,
    Channel,
    Degraded,
    Facet,
    FacetCount,
    FrameKind,
    Hit,
    Listing,
    MatchQuality,
    Page,
    Ranked,
    SearchRequest,
    SimilarRequest,
    Summary,
    Update,
)
from indexer.search.waves import Departure, Waves

_MAX_LIMIT = 200

_ORDER = {channel: place for place, channel in enumerate(Channel)}

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

DEFAULT_BUDGETS = Budgets()


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Moments of a search, in seconds of the clock: each part ends before the next one's time begins."""

    start_s: float
    channels_s: float
    backfill_s: float
    scenes_s: float
    done_s: float


@dataclass(frozen=True, slots=True)
class _LegEnd:
    """How a leg ended: its answers, or why there are none."""

    leg: tuple[Channel, ...]
    answers: Answers
    cause: Cause | None
    elapsed_ms: int


@dataclass(slots=True)
class _Progress:
    """What is known so far; of one search, written by its own task alone."""

    answers: dict[Channel, Answer] = field(default_factory=dict)
    degraded: list[Degraded] = field(default_factory=list)
    channel_ms: dict[Channel, int] = field(default_factory=dict)
    scenes: dict[str, SceneRow | None] = field(default_factory=dict)
    left_out: dict[str, bool] = field(default_factory=dict)
    frames: int = 0

    def add(self, end: _LegEnd) -> None:
        self.answers.update(end.answers)
        self.channel_ms.update(dict.fromkeys(end.leg, end.elapsed_ms))
        if end.cause is not None:
            self.degraded += [Degraded(channel, end.cause) for channel in end.leg]


class Searcher:
    """Hybrid search over one generation of the stores.

    Errors of ``search`` and ``page``: InvalidRequest (permanent); DependencyUnavailable (transient) when every channel
    is missing, or one without which no hit can be shown: words for a phrase, people for a person, SQL for anything.
    """

    def __init__(  # noqa: PLR0917  # the ports, in the order they are asked
        self,
        catalog: Catalog,
        text: TextIndex,
        text_vectors: VectorIndex,
        vision_vectors: VectorIndex,
        encoder: QueryEncoder,
        generation: Generation,
        ranking: Ranking,
        clock: AlarmClock,
        *,
        budgets: Budgets = DEFAULT_BUDGETS,
    ) -> None:
        self._catalog = catalog
        self._text = text
        self._waves = Waves(clock)
        self._channels = Channels(
            catalog=catalog,
            text=text,
            text_vectors=text_vectors,
            vision_vectors=vision_vectors,
            encoder=encoder,
            budgets=budgets,
        )
        self._filters = Filters(catalog, text)
        self._similar = Similar(self._channels, self._filters, catalog, generation, ranking, clock, budgets)
        self._names = Names(catalog, clock)
        self._generation = generation
        self._ranking = ranking
        self._clock = clock
        self._budgets = budgets

    async def search(self, request: SearchRequest, *, deadline_s: float) -> AsyncGenerator[Update, None]:
        """Yield PARTIAL, UPDATE …, DONE; DONE alone when all channels answer at once or it is not ``progressive``.

        Close the iterator (``contextlib.aclosing``) when leaving it early: that, as a cancellation, ends all its work.

        Args:
            deadline_s: seconds from now until the caller gives up, > 0.
        """
        schedule = self._schedule(deadline_s)
        async with self._waves.search(deadline_s) as departure:
            if not request.progressive:
                await departure()
            # Else words and people are asked at once, for the first frame: together they gain least.
            async with aclosing(self._frames(request, schedule, departure)) as frames:
                async for frame in frames:
                    yield frame

    async def _frames(
        self, request: SearchRequest, schedule: _Schedule, departure: Departure
    ) -> AsyncGenerator[Update, None]:
        question = await self._question(request, schedule)
        encoding = self._channels.encoding(question, departure)
        legs = tuple(asyncio.ensure_future(self._leg(leg, question, encoding, schedule)) for leg in question.legs())
        progress = _Progress()
        try:
            pending: set[asyncio.Future[_LegEnd]] = set(legs)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    progress.add(ended.result())
                if pending and request.progressive and progress.answers:
                    frame = await self._interim(request, question, progress, schedule)
                    if frame is not None:
                        yield frame
            yield await self._done(request, question, progress, encoding, schedule)
        finally:
            await stop((*legs, *((encoding,) if encoding else ())))

    async def page(
        self, tenant_id: str, ranked: tuple[Ranked, ...], *, marking: str, first_rank: int, limit: int,
        deadline_s: float,
    ) -> Page:  # fmt: skip
        """Return a later page of a frozen list, as SQL allows it now.

        Args:
            ranked: ``Summary.rest`` or ``Page.rest`` of the page before.
            marking: ``Summary.marking``.
            first_rank: place of the first hit, >= 1.
        """
        schedule = self._schedule(deadline_s)
        shown = await self._sql(lambda: show(self._catalog, tenant_id, ranked, limit, {}), schedule.scenes_s)
        return Page(await self._marked(marking, shown, schedule, first_rank), shown.rest)

    async def similar(self, request: SimilarRequest, *, deadline_s: float) -> Update:
        """Return scenes like another, as ``Similar.find``."""
        return await self._similar.find(request, deadline_s=deadline_s)

    # ---- the question -----------------------------------------------------------------------------

    async def _question(self, request: SearchRequest, schedule: _Schedule) -> Question:
        _check(request)
        weighted(self._ranking, request.weights)  # refused before anything is asked of a store
        max_chars = self._budgets.max_query_chars
        narrow = request.filter
        elsewhere = bool(narrow.person_ids or narrow.tags or request.image is not None)
        named = bool(request.query.strip()) or not elsewhere
        if named:
            clean(request.query, max_chars=max_chars)
        parsed = Parsed("", "", (), ())
        if named:
            names = await self._sql(lambda: self._names.of(request.tenant_id), schedule.channels_s)
            parsed = parse(request.query, names, max_chars=max_chars, exclusions_suffice=elsewhere)
            _check_somebody_may_be_there(parsed, narrow.excluded_person_ids)
        question = question_of(request, parsed, self._generation)
        if not of_videos(narrow):
            return question
        return await self._sql(lambda: self._filters.placed(question, narrow), schedule.channels_s)

    def _schedule(self, deadline_s: float) -> _Schedule:
        now, reserve = self._clock.monotonic_s(), self._budgets.reserve(deadline_s)
        end = now + deadline_s
        return _Schedule(now, end - reserve, end - 0.6 * reserve, end - 0.3 * reserve, end - 0.1 * reserve)

    # ---- the channels -----------------------------------------------------------------------------

    async def _leg(
        self,
        leg: tuple[Channel, ...],
        question: Question,
        encoding: asyncio.Task[QueryVectors] | None,
        schedule: _Schedule,
    ) -> _LegEnd:
        start_s = self._clock.monotonic_s()
        seconds = min(self._budgets.seconds()[leg[0]], schedule.channels_s - start_s)
        answers: Answers = {}
        cause = None
        try:
            answers = await within(self._clock, seconds, self._channels.ask(leg, question, encoding))
        except Late:
            cause = Cause.LATE
        except HeimdexError as error:
            cause = Cause.FAILED
            log.warning("search_channel_failed", tenant=question.tenant_id, channel=leg[0], reason=error.reason)
        return _LegEnd(leg, answers, cause, _ms(self._clock.monotonic_s() - start_s))

    async def _backfilled(
        self, question: Question, answers: Answers, encoding: asyncio.Task[QueryVectors] | None, schedule: _Schedule
    ) -> Answers:
        """Return the answers with the cosines that the lists did not reach; as they are where that fails or is late."""
        inexact = [channel for channel, answer in answers.items() if not answer.exact]
        if encoding is None or not inexact:
            return answers
        rows = candidates(answers, question.condition)
        vectors = encoding.result()  # it is there: a channel that needed it has answered
        seconds = min(self._budgets.backfill_s, schedule.backfill_s - self._clock.monotonic_s())

        async def fill(channel: Channel) -> tuple[Channel, Answer]:
            filled = await self._channels.backfill_within(
                channel, answers[channel], question, vectors, rows, clock=self._clock, seconds=seconds
            )
            return channel, filled

        return {**answers, **dict(await _all(*(fill(channel) for channel in inexact)))}

    # ---- the frames -------------------------------------------------------------------------------

    async def _interim(
        self, request: SearchRequest, question: Question, progress: _Progress, schedule: _Schedule
    ) -> Update | None:
        """Return the next frame before DONE; None while nothing answers the query, no row can be shown to be a hit, or
        when SQL takes too long.
        """
        if not question.condition.needs() <= progress.answers.keys():
            return None
        # Else it would promise what DONE takes back.
        asked = frozenset(channel for leg in question.legs() for channel in leg)
        question = replace(question, condition=replace(question.condition, awaited=asked))

        async def allowed() -> Shown:
            checked = await self._filters.checked(question, progress.answers, progress.left_out)
            _, ranked = self._ranked(request, checked, progress.answers, request.limit + SPARE_ROWS)
            return await show(self._catalog, question.tenant_id, ranked, request.limit, progress.scenes)

        try:
            shown = await within(self._clock, schedule.channels_s - self._clock.monotonic_s(), allowed())
        except Late:
            return None
        if self._quality(shown) is MatchQuality.NONE:
            return None
        kind = FrameKind.UPDATE if progress.frames else FrameKind.PARTIAL
        progress.frames += 1
        return Update(kind, hits_of(shown, told_in(shown), {}), _in_order(progress.answers))

    async def _done(
        self,
        request: SearchRequest,
        question: Question,
        progress: _Progress,
        encoding: asyncio.Task[QueryVectors] | None,
        schedule: _Schedule,
    ) -> Update:
        ranking = weighted(self._ranking, request.weights)
        _check_answered(question, progress, ranking)
        question = await self._checked(question, progress, schedule)
        answers = await self._backfilled(question, progress.answers, encoding, schedule)
        known, ranked = self._ranked(request, question, answers, self._budgets.window_rows)
        total = len(ranked)
        more = known > total or hides(ranking, answers, question.condition, request.fusion)
        if request.facets:
            await self._sql(lambda: read(self._catalog, question.tenant_id, ranked, progress.scenes), schedule.scenes_s)
        shown = await self._sql(
            lambda: show(self._catalog, question.tenant_id, ranked, request.limit, progress.scenes), schedule.scenes_s
        )
        quality = self._quality(shown)
        weak = NOTHING
        if quality is MatchQuality.NONE:  # the nearest of what does not answer is no answer
            shown, ranked, total, more = NOTHING, (), 0, False
            if request.include_weak:
                weak = await self._nearest(request, question, answers, progress, schedule)
        hits = await self._marked(question.parsed.marking, shown, schedule)
        summary = Summary(
            total_hits=total - shown.gone,
            match_quality=quality,
            degraded=tuple(sorted(progress.degraded, key=lambda item: _ORDER[item.channel])),
            elapsed_ms=_ms(self._clock.monotonic_s() - schedule.start_s),
            channel_ms=progress.channel_ms,
            ranking=self._ranking.name,
            generation=question.generation.generation,
            people=_people(question.parsed),
            rest=shown.rest,
            marking=question.parsed.marking,
            total_is_lower_bound=more,
            parsed=question.parsed,
            facets=_counts(request.facets, ranked, progress.scenes),
            weak=await self._marked(question.parsed.marking, weak, schedule),
        )
        return Update(FrameKind.DONE, hits, _in_order(answers), summary)

    async def _nearest(
        self, request: SearchRequest, question: Question, answers: Answers, progress: _Progress, schedule: _Schedule
    ) -> Shown:
        """Return the best page of what may be shown, however unsure."""
        _, ranked = self._ranked(request, question, answers, self._budgets.window_rows, unsure=True)
        return await self._sql(
            lambda: show(self._catalog, question.tenant_id, ranked, request.limit, progress.scenes), schedule.scenes_s
        )

    async def _checked(self, question: Question, progress: _Progress, schedule: _Schedule) -> Question:
        """Return the question with what must be left out. Raises DependencyUnavailable: nothing is shown unchecked."""
        if not question.checks.any():
            return question
        work = self._filters.checked(question, progress.answers, progress.left_out)
        try:
            return await within(self._clock, schedule.backfill_s - self._clock.monotonic_s(), work)
        except Late:
            raise DependencyUnavailable(
                "search", "what is to be left out is not known in time; try again", reason=DEADLINE
            ) from None

    def _ranked(
        self, request: SearchRequest, question: Question, answers: Answers, limit: int, *, unsure: bool = False
    ) -> tuple[int, tuple[Ranked, ...]]:
        listing = Listing(request.fusion, request.max_scenes_per_video, request.group_by)
        ranking = weighted(self._ranking, request.weights)
        return fuse(ranking, answers, question.condition, limit, listing, unsure=unsure)

    def _quality(self, shown: Shown) -> MatchQuality:
        best = max((row.confidence for row in (*(row for row, _ in shown.scenes), *shown.rest)), default=0.0)
        return quality_of_answer(self._ranking, best)

    async def _marked(self, marking: str, shown: Shown, schedule: _Schedule, first_rank: int = 1) -> tuple[Hit, ...]:
        seconds = schedule.done_s - self._clock.monotonic_s()
        scenes = told_in(shown)
        marks = await self._marks(marking, texts_of(scenes), seconds)
        return hits_of(shown, scenes, marks, first_rank)

    async def _marks(self, marking: str, texts: Sequence[str], seconds: float) -> Marks:
        """Return what to mark; nothing when the text index fails or is late.

        The hits are right without marks, so their want degrades no channel; it is logged.
        """
        if not marking or not any(texts):
            return {}

        async def highlight() -> Marks:
            ranges = await self._text.highlight(self._generation.text_index, marking, texts)
            return dict(zip(texts, ranges, strict=True))

        try:
            return await within(self._clock, seconds, highlight())
        except (Late, HeimdexError) as error:
            log.warning("search_unmarked", error=type(error).__name__)
            return {}

    async def _sql(self, read: Callable[[], Coroutine[Any, Any, Result]], until_s: float) -> Result:
        return await in_time(self._clock, until_s, read())


async def _all(*works: Coroutine[Any, Any, Result]) -> Sequence[Result]:
    """Return what all return; when one raises, or the caller is cancelled, none goes on."""
    tasks = tuple(asyncio.ensure_future(work) for work in works)
    try:
        return await asyncio.gather(*tasks)
    finally:
        await stop(tasks)


def _check(request: SearchRequest) -> None:
    if not 1 <= request.limit <= _MAX_LIMIT:
        raise InvalidRequest(FieldViolation("page_size", f"is not in 1 to {_MAX_LIMIT}"))
    if not 0.0 <= request.filter.min_confidence <= 1.0:
        raise InvalidRequest(FieldViolation("filter.min_confidence", "is not in 0 to 1"))


def _check_somebody_may_be_there(parsed: Parsed, excluded: Sequence[str]) -> None:
    for mention in parsed.mentions:
        if mention.required and set(mention.person_ids) <= set(excluded):
            field = "filter.excluded_person_ids"
            raise InvalidRequest(FieldViolation(field, "has everybody whom the query names with @"))


def _check_answered(question: Question, progress: _Progress, ranking: Ranking) -> None:
    if question.nowhere:
        return
    missing = question.condition.needs() - progress.answers.keys()
    answers = counted(progress.answers)
    if len(question.legs()) > 1 and not question.condition.people_named:
        answers = {channel: answer for channel, answer in answers.items() if channel is not Channel.PEOPLE}
    # Where the search's own weights leave nothing to the channels that answered, they are no answer to it.
    weights = base_weights(ranking, answers).values()
    weightless = bool(progress.degraded) and bool(weights) and not any(weights)
    if answers and not missing and not weightless:
        return
    late = all(item.cause is Cause.LATE for item in progress.degraded)
    what = f"{', '.join(sorted(missing))} did not answer" if missing else "no channel that counts answered"
    raise DependencyUnavailable("search", f"{what}; try again", reason=DEADLINE if late else None)


def _counts(
    asked: Sequence[Facet], ranked: Sequence[Ranked], scenes: Mapping[str, SceneRow | None]
) -> Mapping[Facet, tuple[FacetCount, ...]]:
    """Return what was to be counted, over the rows of the list that may be shown."""
    shown = [scene for row in ranked if asked and (scene := scenes[row.row_id]) is not None]
    return facets.count(asked, shown)


def _people(parsed: Parsed) -> tuple[ScenePerson, ...]:
    named = {person: name for mention in parsed.mentions for person, name in mention.people.items()}
    return tuple(ScenePerson(person, name, 1.0) for person, name in sorted(named.items()))


def _in_order(channels: Iterable[Channel]) -> tuple[Channel, ...]:
    return tuple(sorted(channels, key=_ORDER.__getitem__))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
