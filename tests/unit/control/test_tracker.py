"""Tracker: what facts say, and that the catalogue hears it in spite of everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from contracts import codec, flow
from contracts.catalog import DeadLetterEntry, StageRun, StageUpdate
from contracts.errors import BadArtifact, DependencyUnavailable, Internal
from contracts.ports import Record
from control.tracker.tracker import Tracker, to_entry, to_update
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2

_AUDIO = common_pb2.STAGE_AUDIO
CONTEXT = context_pb2.EventContext(tenant_id="acme", video_id="vid_1", revision=2, plan_key="p")


def at(ms: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp


def fact(of: flow.Stage, **ending: Any) -> Message:
    defaults: dict[str, Any] = {
        "stage": of.number, "spec": "abc", "outcome": common_pb2.OUTCOME_OK, "end_time": at(5_000),
        "elapsed_ms": 1_500, "attempts": 1, "manifest_key": "m",
    }  # fmt: skip
    event: Any = of.emits
    return event(context=CONTEXT, ending=context_pb2.StageEnding(**(defaults | ending)))  # type: ignore[no-any-return]


def letter(consumer: str, *, context: context_pb2.EventContext | None = CONTEXT) -> events_pb2.DeadLetter:
    return events_pb2.DeadLetter(
        consumer=consumer, source_topic="heimdex-video-validated-v1", source_partition=3, source_offset=9, key="vid_1",
        value=b"x", reason=common_pb2.ERROR_REASON_BAD_ARTIFACT, message="unreadable", attempts=4,
        event_time=at(7_000), context=context,
    )  # fmt: skip


def record(message: Message, key: str = "vid_1") -> Record:
    return codec.encode(message, key=key, event_id="e", tenant_id="acme", time=at(1))


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def monotonic_s(self) -> float:
        return sum(self.slept_s)

    def now_ms(self) -> int:
        return 42

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


class Catalogue:
    """What the tracker needs of a catalogue; fails as often as told."""

    def __init__(self, *failures: Exception) -> None:
        self.updates: list[StageUpdate] = []
        self.letters: list[DeadLetterEntry] = []
        self.calls = 0
        self._failures = list(failures)

    async def apply_updates(self, updates: Sequence[StageUpdate], now_ms: int) -> int:
        assert now_ms == 42
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        self.updates += updates
        return len(updates)

    async def record_dead_letters(self, letters: Sequence[DeadLetterEntry]) -> None:
        self.letters += letters


def tracker(catalogue: Catalogue, clock: Clock) -> Tracker:
    return Tracker(catalogue, clock)  # type: ignore[arg-type]  # the two calls it makes


@pytest.mark.parametrize("stage", flow.STAGES.values(), ids=lambda s: s.noun)
def test_an_ending_of_every_stage_is_an_ended_run(stage: flow.Stage) -> None:
    update = to_update(fact(stage, counts={"scenes": 7}, labels={"language": "ko"}))
    assert update == StageUpdate(
        "acme", "vid_1", 2,
        StageRun(stage.noun, "ENDED", outcome="OK", attempt=1, progress=1.0, start_ms=3_500, end_ms=5_000,
                 elapsed_ms=1_500, manifest_key="m"),
        counts={"scenes": 7}, labels={"language": "ko"},
    )  # fmt: skip


def test_a_rejection_tells_its_reason() -> None:
    update = to_update(
        fact(
            flow.STAGES["validate"],
            outcome=common_pb2.OUTCOME_REJECTED,
            reason=common_pb2.ERROR_REASON_DIGEST_MISMATCH,
            message="differs",
        )
    )
    assert update is not None
    assert (update.run.outcome, update.run.reason, update.run.message) == ("REJECTED", "DIGEST_MISMATCH", "differs")


@pytest.mark.parametrize(("retrying", "state"), [(False, "RUNNING"), (True, "RETRYING")])
def test_progress_is_a_run_under_way(retrying: bool, state: str) -> None:  # noqa: FBT001 - the case
    update = to_update(
        events_pb2.StageProgressed(
            context=CONTEXT, stage=common_pb2.STAGE_ASR, attempt=2, progress=0.5, retrying=retrying, start_time=at(900)
        )
    )
    assert update == StageUpdate("acme", "vid_1", 2, StageRun("asr", state, attempt=2, progress=0.5, start_ms=900))


def test_a_dead_letter_of_a_stage_fails_it_unless_the_stage_says_otherwise() -> None:
    update = to_update(letter("audio"))
    assert update is not None
    assert (update.run.state, update.run.outcome, update.run.reason) == ("ENDED", "FAILED", "BAD_ARTIFACT")
    told = to_update(fact(flow.STAGES["audio"]))
    assert told is not None
    assert update.run.attempt < told.run.attempt, "the stage's own ending outweighs it"


@pytest.mark.parametrize("message", [letter("retry"), letter("audio", context=None)])
def test_what_concerns_no_stage_run_says_nothing(message: Message) -> None:
    assert to_update(message) is None


@pytest.mark.parametrize(
    "message",
    [
        fact(flow.STAGES["asr"], stage=99),
        fact(flow.STAGES["asr"], outcome=0),
        fact(flow.STAGES["asr"], outcome=99),
        events_pb2.AudioExtracted(ending=context_pb2.StageEnding(stage=_AUDIO, outcome=common_pb2.OUTCOME_OK)),
        events_pb2.PersonEnrolled(tenant_id="acme"),
        events_pb2.VideoErased(tenant_id="acme", video_id="vid_1"),
    ],
)
def test_what_is_no_fact_of_ours_is_refused(message: Message) -> None:
    with pytest.raises(BadArtifact):
        to_update(message)


def test_an_unknown_reason_of_a_later_version_is_kept_as_number() -> None:
    update = to_update(fact(flow.STAGES["asr"], outcome=common_pb2.OUTCOME_FAILED, reason=9999))
    assert update is not None
    assert update.run.reason == "9999"


def test_an_entry_tells_where_a_dead_letter_came_from() -> None:
    entry = to_entry(letter("audio"))
    assert entry == DeadLetterEntry(
        "audio", "heimdex-video-validated-v1", 3, 9, "acme", "vid_1", 2, "BAD_ARTIFACT", "unreadable", 4, 7_000
    )


async def test_a_batch_is_told_in_order_without_what_is_unreadable() -> None:
    catalogue, clock = Catalogue(), Clock()
    topic = "heimdex-audio-extracted-v1"
    await tracker(catalogue, clock).apply([
        record(fact(flow.STAGES["validate"])),
        Record(topic, "vid_1", b"\xff\xff garbage"),
        Record(topic, "vid_1", None),
        Record(topic, "vid_1", b"", (("ce_type", b"nobody.knows"),)),
        record(fact(flow.STAGES["audio"])),
        record(letter("scenes")),
    ])  # fmt: skip
    assert [u.run.stage for u in catalogue.updates] == ["validate", "audio", "scenes"]
    assert [e.consumer for e in catalogue.letters] == ["scenes"]
    assert catalogue.calls == 1
    assert clock.slept_s == []


async def test_a_catalogue_that_is_away_is_waited_for() -> None:
    away = [DependencyUnavailable("catalog", "away") for _ in range(8)]
    catalogue, clock = Catalogue(*away), Clock()
    await tracker(catalogue, clock).apply([record(fact(flow.STAGES["asr"]))])
    assert [u.run.stage for u in catalogue.updates] == ["asr"]
    assert catalogue.calls == 9
    assert clock.slept_s == sorted(clock.slept_s)
    assert len(clock.slept_s) == 8
    assert 0 < max(clock.slept_s) <= 30


async def test_what_waiting_does_not_heal_is_raised_not_skipped() -> None:
    catalogue = Catalogue(Internal("defect"))
    with pytest.raises(Internal):
        await tracker(catalogue, Clock()).apply([record(fact(flow.STAGES["asr"]))])
    assert catalogue.updates == []


async def test_nothing_to_say_is_no_transaction() -> None:
    catalogue = Catalogue()
    await tracker(catalogue, Clock()).apply([record(letter("retry"))])
    assert catalogue.calls == 0


@pytest.mark.parametrize("topic", flow.CONTROL["tracker"].takes)
def test_every_topic_it_takes_has_something_to_say(topic: str) -> None:
    message = flow.TOPICS[topic].message
    if message in flow.STAGE_BY_EVENT:
        told: Message = fact(flow.STAGE_BY_EVENT[message])
    elif message is events_pb2.DeadLetter:
        told = letter("audio")
    else:
        told = message(context=CONTEXT, stage=_AUDIO)
    assert to_update(told) is not None
