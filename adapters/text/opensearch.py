"""OpenSearch text: ``contracts.ports.TextIndex`` on OpenSearch with ``analysis-nori``.

File names are not in the index: a hit by file name would pass for speech.
"""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from adapters.text import _numbers, _suggest
from adapters.text import _query as ask
from adapters.text._marks import END, Stems, WordBook, in_calls, in_words, marks, stems
from adapters.text._synonyms import Group, Synonyms, groups, is_whole
from adapters.text.analysis import MARKED, NOUNS, SEARCHED, fields, own_synonyms, settings
from contracts.errors import DependencyUnavailable, FieldViolation, HeimdexError, Internal, InvalidRequest
from contracts.ids import split_row_id, tag_name
from contracts.ports import EVERYWHERE, Scope, Suggested, TextHit, TextQuery, TextRow
from contracts.vocabulary import COMMITTED, Vocabulary

if TYPE_CHECKING:
    from opensearchpy import AsyncOpenSearch

T = TypeVar("T")

_CONNECTIONS = 8
"""Calls in flight; others wait in their order. Source: of 100 callers on an unordered pool some waited 2 s."""

_READ_S = 5.0
_WRITE_S = 60.0
_MAX_ROWS = 500  # of one bulk call
_ERASE_TRIES = 5
_SHOWN = 20  # violations of one error

_NOT_FOUND, _CONFLICT, _UNAVAILABLE = 404, 409, 503
_HEALED_BY_TIME = frozenset({401, 403, 408, 429, 500, 502, 503, 504})


class Absent(DependencyUnavailable):
    """There is no such index: nobody has written to it yet."""


class OpenSearchText:
    """Text indices of one OpenSearch; use it as a context manager.

    An index that does not exist is empty: searches come, and erasures, before the first commit. Errors:
    DependencyUnavailable (transient), also for a write to an index that nobody has made; Internal (permanent) for a
    defect.
    """

    def __init__(self, url: str) -> None:
        """Configure; nothing is sent before the first call.

        Args:
            url: ``http://host:port`` or ``https://user:password@host:port``.
        """
        self._url = url
        self._connected: AsyncOpenSearch | None = None
        self._turn = asyncio.Semaphore(_CONNECTIONS)
        self._books: dict[tuple[str, str], WordBook] = {}  # by index and analyser
        self._meaning_the_same: dict[str, Synonyms] = {}
        self._learning = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Load the library, which takes a second, beside the event loop."""
        await asyncio.to_thread(import_module, "opensearchpy")
        from opensearchpy import AsyncOpenSearch

        from adapters.text._json import Json

        # Each failure is raised to the caller, who logs it.
        logging.getLogger("opensearch").setLevel(logging.CRITICAL)
        self._connected = AsyncOpenSearch(
            self._url, maxsize=_CONNECTIONS, max_retries=1, timeout=_READ_S, serializer=Json()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._connected is not None:
            await self._connected.close()
            self._connected = None

    async def ensure(self, index: str, vocabulary: Vocabulary = COMMITTED) -> None:
        """Create the index with its analysers if it is absent, and give one that is there the fields it lacks; several
        may at once.

        Raises: InvalidRequest (permanent): nori refuses the dictionary, or a synonym does not stay whole.
        """

        async def create(client: AsyncOpenSearch) -> None:
            from opensearchpy.exceptions import RequestError

            body = settings(vocabulary)
            try:
                await client.indices.create(index=index, body=body, params={"request_timeout": _WRITE_S})
            except RequestError as error:
                if error.error == "illegal_argument_exception" and vocabulary.dictionary:
                    raise InvalidRequest(FieldViolation("vocabulary.dictionary", _reason(error.info))) from error
                if error.error != "resource_already_exists_exception":
                    raise

        if await self._call(lambda client: client.indices.exists(index=index)):
            body = {"properties": fields()}
            await self._call(lambda client: client.indices.put_mapping(index=index, body=body))
        else:
            await self._call(create)
        if vocabulary.synonyms:
            await self._refuse_unusable(index, vocabulary.synonyms)

    async def upsert(self, index: str, rows: Sequence[TextRow]) -> None:
        """Write rows; one that is older than what is there is dropped."""
        for start in range(0, len(rows), _MAX_ROWS):
            some = rows[start : start + _MAX_ROWS]
            known = await self._stems(index, NOUNS, [_nfc(row.transcript) for row in some])
            body = []
            for row in some:
                body += [{"index": _address(row.row_id, row.video_id, row.revision)}, _document(row, known)]
            await self._bulk(index, body)

    async def refresh(self, index: str) -> None:
        """Make all that was written searchable."""
        with suppress(Absent):
            await self._call(lambda client: client.indices.refresh(index=index, params={"request_timeout": _WRITE_S}))

    async def search(self, index: str, queries: Sequence[TextQuery]) -> Sequence[Sequence[TextHit]]:
        """Answer queries in two calls for all: what the index knows of their words, then the searches. The first time
        a third one asks how it cuts the synonyms.

        Returns: per query up to ``limit`` rows by what is said and as many by tags.
        """
        asked = [ask.normal(query) for query in queries]
        texts = list(dict.fromkeys(text for query in asked for text in (query.text, *query.phrases) if text))
        if not texts and not any(query.tags for query in asked):
            return [[] for _ in queries]
        try:
            known = await self._known(index, texts)
            synonyms = await self._synonyms(index)
            plans = [ask.plan(query, known, synonyms) for query in asked]
            answers = await self._searches(
                index, [body for plan in plans for body in (ask.speech_search(plan), ask.tag_search(plan))]
            )
        except Absent:
            return [[] for _ in queries]
        pairs = zip(answers[::2], answers[1::2], strict=True)
        with _reading():
            return [ask.hits(plan, speech, tags) for plan, (speech, tags) in zip(plans, pairs, strict=True)]

    async def holding(self, index: str, tenant_id: str, row_ids: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        """Ask in two calls: how many words each text has, then for the rows. A text of nothing but particles is held
        by none.
        """
        if not row_ids or not texts:
            return frozenset()
        try:
            known = await self._known(index, [_nfc(text) for text in texts])
            (answer,) = await self._searches(index, [ask.holding_search(tenant_id, row_ids, known)])
        except Absent:
            return frozenset()
        with _reading():
            return ask.rows(answer)

    async def highlight(self, index: str, text: str, transcripts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        """Return ranges of the parts of words that mean the same; asks OpenSearch only for words it has not met."""
        try:
            known = await self._stems(index, MARKED, (text, *transcripts))
            parts = {stem for word in in_words(text) for stem, _, _ in known[word]}
            meant = " ".join([text, *(another.text for another in (await self._synonyms(index)).of(text, parts))])
            known = {**known, **await self._stems(index, MARKED, [meant])}
        except Absent:
            return [[] for _ in transcripts]
        return marks(meant, transcripts, known)

    async def suggest(
        self, index: str, tenant_id: str, beginnings: Sequence[str], *, limit: int
    ) -> Sequence[Sequence[Suggested]]:
        """Count rows by the words that begin so, in one call for all."""
        scope = ask.within(tenant_id)
        try:
            answers = await self._searches(
                index, [_suggest.suggest_search(scope, begun, limit) for begun in beginnings]
            )
        except Absent:
            return [[] for _ in beginnings]
        with _reading():
            return [_suggest.best_first(_suggest.counts(answer)) for answer in answers]

    async def delete(self, index: str, row_ids: Sequence[tuple[str, str]]) -> None:
        """Remove rows; what is unknown is no error."""
        for start in range(0, len(row_ids), _MAX_ROWS):
            some = row_ids[start : start + _MAX_ROWS]
            body = [{"delete": _address(row, video, split_row_id(row)[1])} for row, video in some]
            with suppress(Absent):
                await self._bulk(index, body)

    async def delete_video(self, index: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video, also those that are not searchable yet.

        Raises: DependencyUnavailable (transient) when somebody writes them all the time.
        """
        await self.refresh(index)
        for _ in range(_ERASE_TRIES):
            try:
                answer = await self._call(lambda client: _erase(client, index, tenant_id, video_id))
            except Absent:
                return
            with _reading():
                if not answer["version_conflicts"] and not answer["failures"]:
                    return
        raise DependencyUnavailable("opensearch", "rows of the video are being written")

    async def drop(self, index: str) -> None:
        """Remove an index with all that is in it; absent is no error."""
        with suppress(Absent):
            await self._call(lambda client: client.indices.delete(index=index, params={"request_timeout": _WRITE_S}))
        self._meaning_the_same.pop(index, None)
        self._books = {place: book for place, book in self._books.items() if place[0] != index}

    async def count(self, index: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many rows are searchable."""
        scope = ask.within(tenant_id, EVERYWHERE if video_id is None else Scope((video_id,)))
        body = {"query": {"bool": {"filter": scope}}}
        try:
            answer = await self._call(lambda client: client.count(index=index, body=body))
        except Absent:
            return 0
        with _reading():
            return int(answer["count"])

    # ---------------------------------------------------------------------------------------------- calls

    async def _known(self, index: str, texts: Sequence[str]) -> dict[str, ask.Words]:
        """Return what the index knows of each text."""
        if not texts:
            return {}
        body = {"docs": [ask.statistics_request(text) for text in texts]}
        answer = await self._call(lambda client: client.mtermvectors(index=index, body=body))
        with _reading():
            for document in answer["docs"]:
                _check(document)
            return {text: ask.words(text, document) for text, document in zip(texts, answer["docs"], strict=True)}

    async def _searches(self, index: str, bodies: Sequence[ask.Body]) -> Sequence[dict[str, Any]]:
        whole = {"allow_partial_search_results": False}
        lines = [line for body in bodies for line in (whole, body)]
        answer = await self._call(lambda client: client.msearch(index=index, body=lines))
        with _reading():
            responses = [response for response, _ in zip(answer["responses"], bodies, strict=True)]
            for response in responses:
                _check(response)
        return responses

    async def _synonyms(self, index: str) -> Synonyms:
        """Return the synonyms as the index cuts them; asks for that once, whoever else comes meanwhile."""
        if index not in self._meaning_the_same:
            async with self._learning:
                if index not in self._meaning_the_same:
                    self._meaning_the_same[index] = await self._learn_synonyms(index)
        return self._meaning_the_same[index]

    async def _learn_synonyms(self, index: str) -> Synonyms:
        answer = await self._call(lambda client: client.indices.get_mapping(index=index))
        with _reading():
            every = [*groups(), *own_synonyms(answer[index]["mappings"])]
        return Synonyms(every, await self._stems(index, SEARCHED, [" ".join(group) for group in every]))

    async def _refuse_unusable(self, index: str, own: Sequence[Group]) -> None:
        """Raise InvalidRequest for synonyms that the index does not cut into their own letters."""
        read = await self._read(index, [word for group in own for word in group])
        refused = {word: "".join(parts) for word, parts in read.items() if not is_whole(word, parts)}
        instead = await self._read(index, list(filter(None, refused.values())))
        violations = [
            FieldViolation(
                f"vocabulary.synonyms[{number}].words[{place}]",
                f"{word} is read as {' '.join(read[word]) or 'nothing'}: {_advice(word, refused[word], instead)}",
            )
            for number, group in enumerate(own)
            for place, word in enumerate(group)
            if word in refused
        ]
        if violations:
            raise InvalidRequest(*violations[:_SHOWN])

    async def _read(self, index: str, words: Sequence[str]) -> dict[str, list[str]]:
        """Return what the index reads in each word."""
        stems = await self._stems(index, SEARCHED, words)
        return {word: [stem for stem, _, _ in stems[word]] for word in words}

    async def _stems(self, index: str, analyzer: str, texts: Sequence[str]) -> Stems:
        """Return the stems of every word of the texts; asks only for words that it has not met."""
        book = self._books.setdefault((index, analyzer), WordBook())
        known, unknown = book.look_up(texts)
        for words in in_calls(unknown):
            tokens = await self._analyse(index, analyzer, words)
            with _reading():
                learnt = stems(words, tokens)
            book.learn(learnt)
            known.update(learnt)
        return known

    async def _analyse(self, index: str, analyzer: str, words: Sequence[str]) -> Sequence[dict[str, object]]:
        body = {"analyzer": analyzer, "text": [word + END for word in words]}
        answer = await self._call(lambda client: client.indices.analyze(index=index, body=body))
        with _reading():
            tokens: Sequence[dict[str, object]] = answer["tokens"]
        return tokens

    async def _bulk(self, index: str, body: Sequence[dict[str, Any]]) -> None:
        """Write, delete. Raises the first failure that is one: what is stale or gone already is none."""
        answer = await self._call(
            lambda client: client.bulk(index=index, body=body, params={"request_timeout": _WRITE_S})
        )
        with _reading():
            for item in answer["items"] if answer["errors"] else ():
                ((_, result),) = item.items()
                if "error" in result and result["status"] != _CONFLICT:
                    _check(result)

    async def _call(self, work: Callable[[AsyncOpenSearch], Awaitable[T]]) -> T:
        """Return what ``work`` answers, in turn. Raises Absent, DependencyUnavailable, Internal."""
        from opensearchpy.exceptions import ConnectionError as NotReached
        from opensearchpy.exceptions import ConnectionTimeout, OpenSearchException, TransportError

        if self._connected is None:
            raise RuntimeError("use it within `async with`")
        try:
            async with self._turn:
                return await work(self._connected)
        except ConnectionTimeout as error:
            raise DependencyUnavailable("opensearch", "no answer in time", reason="DEADLINE_EXCEEDED") from error
        except NotReached as error:
            raise DependencyUnavailable("opensearch", "OpenSearch is not reached") from error
        except TransportError as error:
            raise _typed(error.status_code, error.error) from error
        except (OpenSearchException, RecursionError) as error:  # the latter of JSON that is nested without end
            raise DependencyUnavailable("opensearch", "the answer makes no sense") from error


@contextmanager
def _reading() -> Iterator[None]:
    """Read an answer within: what is not of the form that OpenSearch gives it came from something else."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DependencyUnavailable("opensearch", "the answer makes no sense") from error


async def _erase(client: AsyncOpenSearch, index: str, tenant_id: str, video_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = await client.delete_by_query(
        index=index,
        body={"query": {"bool": {"filter": ask.within(tenant_id, Scope((video_id,)))}}},
        params={"routing": video_id, "conflicts": "proceed", "refresh": "true", "request_timeout": _WRITE_S},
    )
    return answer


def _address(row_id: str, video_id: str, revision: int) -> dict[str, Any]:
    """Return where a row lies, and that only older forms of it may be replaced."""
    return {"_id": row_id, "routing": video_id, "version": revision, "version_type": "external_gte"}


def _document(row: TextRow, nouns: Stems) -> dict[str, Any]:
    transcript = _nfc(row.transcript)
    tag_names = [_nfc(name) for name in dict.fromkeys((*row.tag_names, *map(tag_name, row.tags)))]
    words = (noun for word in in_words(transcript) for noun in _suggest.nouns(word, nouns[word]))
    return {
        "row_id": row.row_id,
        "tenant_id": row.tenant_id,
        "video_id": row.video_id,
        "scene_id": row.scene_id,
        "revision": row.revision,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        "transcript": transcript,
        "numbers": _numbers.terms(transcript),
        "tags": row.tags,
        "tag_names": tag_names,
        **_suggest.fields(words, tag_names),
    }


def _advice(word: str, instead: str, read: Mapping[str, Sequence[str]]) -> str:
    """Return what helps for a synonym that is not whole: what it is read as, if that is, or a line of the dictionary,
    which leaves English alone.
    """
    ways = [f"write {instead}"] if instead in read and is_whole(instead, read[instead]) else []
    ways += [] if word.isascii() else [f"add {word} to the dictionary"]
    return " or ".join(ways) or "write another word"


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _check(part: dict[str, Any]) -> None:
    """Raise the error that a part of an answer may be."""
    error = part.get("error")
    if error is not None:
        # An error of term vectors has no status: it is of a shard that is not there yet, unless there is no index.
        status = _NOT_FOUND if error["type"] == "index_not_found_exception" else _UNAVAILABLE
        raise _typed(part.get("status", status), error["type"])


def _reason(info: Any) -> str:
    """Return what OpenSearch says of a request that it refuses."""
    with _reading():
        return str(info["error"]["reason"])


def _typed(status: object, kind: object) -> HeimdexError:
    if status == _NOT_FOUND:
        return Absent("opensearch", f"not there: {kind}")
    if status in _HEALED_BY_TIME:
        return DependencyUnavailable("opensearch", f"OpenSearch fails: {kind} (status {status})")
    return Internal(f"OpenSearch refuses a request of ours: {kind} (status {status})")
