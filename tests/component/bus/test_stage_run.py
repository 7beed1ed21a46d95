"""One stage on memory parts: intake and runner -> manifest, fact, retry or dead letter, whatever happens in between."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY

from adapters.bus.breaker import Breaker
from adapters.bus.intake import MAX_TRIES, Intake
from adapters.bus.lease import Leases
from adapters.bus.runner import MAX_CRASHES, StageRunner
from adapters.objects.memory import MemoryObjects
from contracts import codec, flow, ids, plan
from contracts.delivery import Delivery, Ended
from contracts.endings import stage_event
from contracts.errors import DependencyUnavailable, HeimdexError, ModelUnavailable, Rejected
from contracts.ports import ObjectInfo, Objects, Record
from contracts.work import Job, Result, Run
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2, manifest_pb2

TENANT, VIDEO = "acme", ids.digest_id("vid", "one")
PIPELINE = plan.pipeline({"asr": "whisper", "embeddings": "e5", "vision": "v", "affect": "a", "faces": "f"})
PLAN_KEY = ids.plan_key(TENANT, VIDEO, 1)
CONTEXT = context_pb2.EventContext(tenant_id=TENANT, video_id=VIDEO, revision=1, plan_key=PLAN_KEY)


class VirtualClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


@dataclass
class Bus:
    """Records that were sent; ``fail`` makes the next ones fail."""

    sent: list[Record] = field(default_factory=list)
    fail: int = 0

    async def send(self, record: Record) -> None:
        if self.fail:
            self.fail -= 1
            raise DependencyUnavailable("kafka", "no broker")
        self.sent.append(record)

    def on(self, topic: str) -> list[Record]:
        return [record for record in self.sent if record.topic == topic]


@dataclass
class DirectChild:
    """Runs the job in this process."""

    perform: Callable[[object], object]
    calls: int = 0

    def alive(self) -> bool:
        return True

    async def run(
        self, perform: str, job: object, *, deadline_s: float, on_progress: Callable[[float], None]
    ) -> object:
        assert perform == "anything:at_all"
        assert deadline_s > 0
        self.calls += 1
        on_progress(1.0)
        return self.perform(job)


@dataclass
class Worker:
    """Hands an empty job to the child."""

    stage: str
    perform: str = "anything:at_all"
    model_version: str = ""

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        assert objects is not None
        return Job(run.workdir)


class Bench:
    """A stage with everything around it in memory."""

    def __init__(
        self,
        noun: str,
        perform: Callable[[object], object],
        *,
        pipeline: plan.Pipeline = PIPELINE,
        objects: MemoryObjects | None = None,
    ) -> None:
        self.stage = flow.STAGES[noun]
        self.objects, self.lease_objects = objects or MemoryObjects(), MemoryObjects()
        self.bus, self.clock = Bus(), VirtualClock()
        self.child = DirectChild(perform)
        self.watched: list[common_pb2.Outcome.ValueType | None] = []
        self.breaker = Breaker(self.clock)
        self.leases = Leases(self.lease_objects, self.clock, instance_id="slot-0")
        self.runner = StageRunner(
            self.stage,
            Worker(noun),
            objects=self.objects,
            leases=self.leases,
            producer=self.bus,
            child=self.child,
            slot=asyncio.Semaphore(1),
            work_dir=Path(tempfile.gettempdir()),
            deployed=pipeline,
            clock=self.clock,
            observe=self.observe,
        )
        self.intake = Intake(
            self.stage, self.runner, objects=self.objects, producer=self.bus, clock=self.clock, breaker=self.breaker
        )
        source = manifest_pb2.Source(key=ids.source_key(TENANT, VIDEO), etag="e", size_bytes=7, sha256="ab" * 32)
        self.plan = plan.build_plan(
            PIPELINE,
            tenant_id=TENANT,
            video_id=VIDEO,
            revision=1,
            source=source,
            faces_enabled=False,
            generations=(plan.TargetGeneration(1),),
            create_time=Timestamp(seconds=1),
        )
        self.planned = plan.planned_specs(self.plan)

    async def ready(self, *nouns: str, outcomes: Mapping[str, common_pb2.Outcome.ValueType] | None = None) -> None:
        """Put the plan, and endings of ``nouns``."""
        await self.objects.put(PLAN_KEY, self.plan.SerializeToString())
        for noun in nouns:
            outcome = (outcomes or {}).get(noun, common_pb2.OUTCOME_OK)
            manifest = manifest_pb2.Manifest(
                tenant_id=TENANT,
                video_id=VIDEO,
                stage=flow.STAGES[noun].number,
                spec=self.planned[noun][0],
                outcome=outcome,
                counts={"duration_ms": 5000},
            )
            await self.objects.put(self.key(noun), manifest.SerializeToString(), if_none_match=True)

    def key(self, noun: str) -> str:
        return ids.manifest_key(TENANT, VIDEO, noun, self.planned[noun][0])

    def spec(self) -> str:
        return self.planned[self.stage.noun][0]

    async def input_of(self, noun: str) -> Record:
        """Return the fact of an ending that is there, as it comes from the bus."""
        body, _ = await self.objects.get(self.key(noun))
        event = stage_event(CONTEXT, manifest_pb2.Manifest.FromString(body), self.key(noun), "00")
        return replace(codec.encode_stage_event(event), partition=0, offset=5)

    async def manifest(self) -> manifest_pb2.Manifest:
        body, _ = await self.objects.get(self.key(self.stage.noun))
        return manifest_pb2.Manifest.FromString(body)

    @contextmanager
    def observe(self, delivery: Delivery) -> Iterator[Ended]:
        assert delivery.stage is self.stage
        self.watched.append(None)

        def ended(outcome: common_pb2.Outcome.ValueType) -> None:
            self.watched[-1] = outcome

        yield ended

    def count(self, series: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"heimdex_{self.stage.noun}_{series}_total", labels) or 0.0

    def facts(self) -> list[Record]:
        return self.bus.on(flow.topic_name(self.stage.emits))


def makes(tmp_path: Path) -> Callable[[object], Result]:
    blob = tmp_path / "blob.bin"
    blob.write_bytes(b"pictures")

    def perform(job: object) -> Result:
        assert isinstance(job, Job)
        assert job.workdir.is_dir()
        return Result(artifact=b"artifact", blobs={"blob.bin": blob}, counts={"scenes": 3})

    return perform


def raises(error: BaseException) -> Callable[[object], object]:
    def perform(_: object) -> object:
        raise error

    return perform


async def test_a_run_leaves_a_manifest_and_then_its_fact(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    await bench.intake.handle(await bench.input_of("validate"))
    manifest = await bench.manifest()
    assert manifest.outcome == common_pb2.OUTCOME_OK
    assert [blob.name for blob in manifest.blobs] == ["artifact.pb", "blob.bin"]
    assert (await bench.objects.get(manifest.blobs[1].key))[0] == b"pictures"
    event = codec.decode(bench.facts()[0])
    assert isinstance(event, events_pb2.ScenesDetected)
    assert event.ending.counts["scenes"] == 3
    lease, _ = await bench.lease_objects.get(ids.lease_key(TENANT, VIDEO, "scenes", bench.spec()))
    assert manifest_pb2.Lease.FromString(lease).released
    assert manifest_pb2.Lease.FromString(lease).attempts == 0


async def test_a_repeated_event_sends_the_same_bytes_and_does_no_work(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    record = await bench.input_of("validate")
    await bench.intake.handle(record)
    await bench.intake.handle(record)
    first, second = bench.facts()
    assert first == second
    assert bench.child.calls == 1


async def test_a_crash_between_manifest_and_fact_is_made_good(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    record = await bench.input_of("validate")
    task = asyncio.create_task(bench.intake.handle(record))
    bench.bus.fail = 10_000
    while await bench.objects.head(bench.key("scenes")) is None:
        await bench.clock.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bench.facts()
    bench.bus.fail = 0
    await bench.intake.handle(record)
    assert len(bench.facts()) == 1
    assert bench.child.calls == 1


class _Slow(MemoryObjects):
    """Whose manifests arrive when they are let, whether or not anybody still waits: as a thread's do."""

    def __init__(self, *, then: Exception | None = None) -> None:
        super().__init__()
        self.under_way, self.let, self.then = asyncio.Event(), asyncio.Event(), then

    async def put(self, key: str, body: bytes, **options: object) -> ObjectInfo:
        """Write; manifests of ``scenes`` late, and with the error that is to come of it."""
        if "/scenes/" not in key or not key.endswith("manifest.pb"):
            return await super().put(key, body, **options)  # type: ignore[arg-type]
        self.under_way.set()
        await self.let.wait()
        info = await super().put(key, body, **options)  # type: ignore[arg-type]
        if self.then is not None:
            raise self.then
        return info


async def test_a_run_cancelled_while_its_manifest_arrives_keeps_what_it_names(tmp_path: Path) -> None:
    objects = _Slow()
    bench = Bench("scenes", makes(tmp_path), objects=objects)
    await bench.ready("validate")
    task = asyncio.create_task(bench.intake.handle(await bench.input_of("validate")))
    await objects.under_way.wait()
    task.cancel()
    await bench.clock.sleep(0)
    objects.let.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    manifest = await bench.manifest()
    assert [(await objects.get(blob.key))[0] for blob in manifest.blobs] == [b"artifact", b"pictures"]


async def test_a_manifest_that_arrived_though_its_put_failed_keeps_what_it_names(tmp_path: Path) -> None:
    objects = _Slow(then=DependencyUnavailable("objects", "the answer was lost"))
    objects.let.set()
    bench = Bench("scenes", makes(tmp_path), objects=objects)
    await bench.ready("validate")
    await bench.intake.handle(await bench.input_of("validate"))
    manifest = await bench.manifest()
    assert [(await objects.get(blob.key))[0] for blob in manifest.blobs] == [b"artifact", b"pictures"]


async def test_a_join_waits_for_its_last_input(tmp_path: Path) -> None:
    bench = Bench("align", makes(tmp_path))
    await bench.ready("validate", "audio", "asr")
    await bench.intake.handle(await bench.input_of("asr"))
    assert bench.child.calls == 0
    await bench.ready("scenes")
    await bench.intake.handle(await bench.input_of("scenes"))
    assert bench.child.calls == 1


async def test_a_failed_video_is_not_worked_on(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate", outcomes={"validate": common_pb2.OUTCOME_REJECTED})
    await bench.intake.handle(await bench.input_of("validate"))
    assert bench.child.calls == 0
    assert not bench.bus.sent


async def test_a_named_outcome_and_a_failed_stage_that_may_fail_let_the_flow_go_on(tmp_path: Path) -> None:
    bench = Bench("align", makes(tmp_path))
    await bench.ready(
        "validate", "audio", "asr", "scenes",
        outcomes={"audio": common_pb2.OUTCOME_NO_AUDIO_TRACK, "asr": common_pb2.OUTCOME_FAILED},
    )  # fmt: skip
    await bench.intake.handle(await bench.input_of("scenes"))
    assert bench.child.calls == 1


async def test_rejected_is_an_ending_without_dead_letter() -> None:
    bench = Bench("scenes", raises(Rejected("CORRUPT_VIDEO", "no picture decodes")))
    await bench.ready("validate")
    await bench.intake.handle(await bench.input_of("validate"))
    manifest = await bench.manifest()
    assert manifest.outcome == common_pb2.OUTCOME_REJECTED
    assert manifest.reason == common_pb2.ERROR_REASON_CORRUPT_VIDEO
    assert len(bench.facts()) == 1
    assert not bench.bus.on(flow.DEAD_LETTER)


@pytest.mark.parametrize("attempt", range(1, MAX_TRIES))
async def test_transient_trouble_goes_to_the_tier_of_its_try(attempt: int) -> None:
    bench = Bench("scenes", raises(ModelUnavailable("model", "died", reason="CRASHED")))
    await bench.ready("validate")
    record = _tried(await bench.input_of("validate"), attempt - 1)
    await bench.intake.handle(record)
    tier, delay_s = list(flow.RETRY_TIERS.items())[attempt - 1]
    (parked,) = bench.bus.on(tier)
    headers = codec.headers(parked)
    assert parked.value == record.value
    assert headers[codec.ATTEMPT] == str(attempt)
    assert headers[codec.STAGE] == "scenes"
    assert int(headers[codec.NOT_BEFORE_MS]) == bench.clock.now_ms() + round(delay_s * 1000)
    assert codec.decode(parked) == codec.decode(record)
    last = bench.bus.on(flow.topic_name(events_pb2.StageProgressed))[-1]
    progressed = codec.decode(last)
    assert isinstance(progressed, events_pb2.StageProgressed)
    assert progressed.retrying
    assert await bench.objects.head(bench.key("scenes")) is None


async def test_exhausted_tries_end_in_failed_and_a_dead_letter() -> None:
    bench = Bench("scenes", raises(ModelUnavailable("model", "died", reason="CRASHED")))
    await bench.ready("validate")
    await bench.intake.handle(_tried(await bench.input_of("validate"), MAX_TRIES - 1))
    manifest = await bench.manifest()
    assert (manifest.outcome, manifest.reason) == (common_pb2.OUTCOME_FAILED, common_pb2.ERROR_REASON_CRASHED)
    assert len(bench.facts()) == 1
    letter = codec.decode(bench.bus.on(flow.DEAD_LETTER)[0])
    assert isinstance(letter, events_pb2.DeadLetter)
    assert (letter.consumer, letter.attempts, letter.context.video_id) == ("scenes", MAX_TRIES, VIDEO)


async def test_a_defect_fails_at_once_with_a_dead_letter() -> None:
    bench = Bench("scenes", raises(ZeroDivisionError("oops")))
    await bench.ready("validate")
    await bench.intake.handle(await bench.input_of("validate"))
    assert (await bench.manifest()).reason == common_pb2.ERROR_REASON_INTERNAL
    assert len(bench.bus.on(flow.DEAD_LETTER)) == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), MemoryError()], ids=["space", "memory"])
async def test_a_machine_that_lacks_something_is_asked_again_later(error: Exception) -> None:
    bench = Bench("scenes", raises(error))
    await bench.ready("validate")
    await bench.intake.handle(await bench.input_of("validate"))
    (parked,) = bench.bus.on(next(iter(flow.RETRY_TIERS)))
    assert codec.headers(parked)[codec.REASON] == "DEPENDENCY_UNAVAILABLE"
    assert not bench.bus.on(flow.DEAD_LETTER)


@pytest.mark.parametrize("value", [b"\xff\xff\xff", b"", None], ids=["garbage", "empty", "null"])
async def test_poison_becomes_a_dead_letter(value: bytes | None, tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.intake.handle(Record(flow.topic_name(events_pb2.VideoValidated), "k", value, partition=1, offset=9))
    letter = codec.decode(bench.bus.on(flow.DEAD_LETTER)[0])
    assert isinstance(letter, events_pb2.DeadLetter)
    assert (letter.source_offset, letter.reason) == (9, common_pb2.ERROR_REASON_BAD_ARTIFACT)


async def test_an_erased_video_leaves_no_trace(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    await bench.objects.put(ids.gate_key(VIDEO), b"")
    await bench.intake.handle(await bench.input_of("validate"))
    assert not bench.bus.sent
    assert bench.child.calls == 0


async def test_a_video_erased_in_mid_run_leaves_no_trace(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    make = bench.child.perform

    def erase_meanwhile(job: object) -> object:
        bench.objects._versions[ids.gate_key(VIDEO)] = bench.objects._versions[PLAN_KEY]
        return make(job)

    bench.child.perform = erase_meanwhile
    await bench.intake.handle(await bench.input_of("validate"))
    assert not bench.facts()
    prefix = ids.stage_prefix(TENANT, VIDEO, "scenes", bench.spec())
    assert [info.key async for info in bench.objects.list(prefix)] == []


async def test_the_loser_of_two_adopts_the_winner_and_leaves_no_blobs(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    make = bench.child.perform
    winner = manifest_pb2.Manifest(
        tenant_id=TENANT, video_id=VIDEO, stage=bench.stage.number, spec=bench.spec(),
        outcome=common_pb2.OUTCOME_OK, counts={"scenes": 99},
    )  # fmt: skip

    def lose(job: object) -> object:
        bench.objects._versions[bench.key("scenes")] = bench.objects._versions[PLAN_KEY][:0]
        asyncio.get_running_loop().create_task(
            bench.objects.put(bench.key("scenes"), winner.SerializeToString(deterministic=True))
        )
        return make(job)

    bench.child.perform = lose
    await bench.intake.handle(await bench.input_of("validate"))
    event = codec.decode(bench.facts()[0])
    assert isinstance(event, events_pb2.ScenesDetected)
    assert event.ending.counts["scenes"] == 99
    prefix = ids.stage_prefix(TENANT, VIDEO, "scenes", bench.spec())
    assert [info.key async for info in bench.objects.list(prefix)] == [bench.key("scenes")]


async def test_a_plan_that_is_not_served_is_parked(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path), pipeline=replace(PIPELINE, settings={"scenes": {"threshold": "9"}}))
    await bench.ready("validate")
    await bench.intake.handle(await bench.input_of("validate"))
    assert bench.child.calls == 0
    assert len(bench.bus.on(next(iter(flow.RETRY_TIERS)))) == 1


async def test_a_worker_that_keeps_dying_on_it_is_given_up(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    left = manifest_pb2.Lease(instance_id="slot-0", boot_id="before", token="t", attempts=MAX_CRASHES)
    await bench.lease_objects.put(ids.lease_key(TENANT, VIDEO, "scenes", bench.spec()), left.SerializeToString())
    await bench.intake.handle(await bench.input_of("validate"))
    assert (await bench.manifest()).reason == common_pb2.ERROR_REASON_CRASHED
    assert bench.child.calls == 0


async def test_anothers_lease_is_waited_out_by_our_own_clock(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    theirs = manifest_pb2.Lease(instance_id="slot-9", boot_id="b", token="t", attempts=1)
    await bench.lease_objects.put(ids.lease_key(TENANT, VIDEO, "scenes", bench.spec()), theirs.SerializeToString())
    start_s = bench.clock.now_s
    await bench.intake.handle(await bench.input_of("validate"))
    assert bench.child.calls == 1
    assert bench.clock.now_s - start_s >= 30


async def test_a_bus_that_is_away_is_waited_for(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    bench.bus.fail = 7
    await bench.intake.handle(await bench.input_of("validate"))
    parked = bench.bus.on(next(iter(flow.RETRY_TIERS)))
    assert len(bench.facts()) + len(parked) == 1
    assert bench.child.calls == 1


async def test_the_breaker_holds_events_back_instead_of_burying_them() -> None:
    bench = Bench("scenes", raises(HeimdexError("broken")))
    await bench.ready("validate")
    record = await bench.input_of("validate")
    for _ in range(10):
        bench.breaker.bad()
    assert not bench.intake.healthy()
    held = asyncio.create_task(bench.intake.handle(record))
    while bench.child.calls < 3:
        await bench.clock.sleep(0)
    assert not bench.bus.on(flow.DEAD_LETTER)
    bench.child.perform = lambda _: Result(artifact=b"a")
    await held
    assert bench.intake.healthy()
    assert (await bench.manifest()).outcome == common_pb2.OUTCOME_OK


async def test_work_is_watched_and_its_repetition_is_not(tmp_path: Path) -> None:
    bench = Bench("scenes", makes(tmp_path))
    await bench.ready("validate")
    record = await bench.input_of("validate")
    await bench.intake.handle(record)
    await bench.intake.handle(record)
    assert bench.watched == [common_pb2.OUTCOME_OK]


async def test_work_that_fails_is_watched_without_an_ending() -> None:
    bench = Bench("scenes", raises(Rejected("CORRUPT_VIDEO", "no picture decodes")))
    await bench.ready("validate")
    rejected, events = bench.count("endings", outcome="REJECTED"), bench.count("events")
    await bench.intake.handle(await bench.input_of("validate"))
    assert bench.watched == [None]
    assert bench.count("endings", outcome="REJECTED") == rejected + 1
    assert bench.count("events") == events + 1


async def test_retries_endings_and_dead_letters_are_counted() -> None:
    bench = Bench("scenes", raises(ModelUnavailable("model", "died", reason="CRASHED")))
    await bench.ready("validate")
    series = (bench.count("retries"), bench.count("endings", outcome="FAILED"), bench.count("dead_letters"))
    record = await bench.input_of("validate")
    await bench.intake.handle(record)
    await bench.intake.handle(_tried(record, MAX_TRIES - 1))
    now = (bench.count("retries"), bench.count("endings", outcome="FAILED"), bench.count("dead_letters"))
    assert [after - before for before, after in zip(series, now, strict=True)] == [1, 1, 1]


def _tried(record: Record, times: int) -> Record:
    headers = ((codec.ATTEMPT, str(times).encode()), (codec.STAGE, b"scenes"))
    return replace(record, headers=record.headers + headers)
