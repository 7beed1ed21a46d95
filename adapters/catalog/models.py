"""Models: the tables of the catalogue, the same on SQLite and PostgreSQL; times are Unix milliseconds, UTC."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, MetaData, String, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

VERSION = "0004"
"""Newest migration: what ``ready`` demands. A test holds it equal to the head of ``migrations/``."""

_RowNumber = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER columns only
_ByCodePoint = String().with_variant(String(collation="C"), "postgresql")  # the order of SQLite and of Python


class Base(DeclarativeBase):
    """Base of every table; constraints have names, so that migrations can speak of them."""

    metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(column_0_label)s"})
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger,
        bytes: LargeBinary,
        dict[str, str]: JSON,
        list[str]: JSON,
        list[list[str]]: JSON,
    }


class TenantRow(Base):
    """A tenant's switches; ``gallery_version`` is raised by every enrolment and deletion of a person."""

    __tablename__ = "tenants"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    faces_enabled: Mapped[bool] = mapped_column(default=False)
    gallery_version: Mapped[int] = mapped_column(default=0)
    queries_kept: Mapped[bool] = mapped_column(default=False, server_default=false())


class IdempotencyRow(Base):
    """A mutating call and the resource it made; kept for 24 h."""

    __tablename__ = "idempotency"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    principal: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    resource_id: Mapped[str]
    create_ms: Mapped[int] = mapped_column(index=True)


class UploadRow(Base):
    """An upload. ``swept``: its bytes are gone, after it was closed without use."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_state", "state", "expire_ms"),)

    upload_id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    purpose: Mapped[str]
    state: Mapped[str]
    object_key: Mapped[str]
    size_bytes: Mapped[int]
    content_type: Mapped[str]
    sha256: Mapped[str]
    file_name: Mapped[str]
    create_ms: Mapped[int]
    update_ms: Mapped[int]
    expire_ms: Mapped[int]
    video_id: Mapped[str] = mapped_column(default="", index=True)
    multipart_id: Mapped[str] = mapped_column(default="")
    part_size_bytes: Mapped[int] = mapped_column(default=0)
    part_sha256: Mapped[list[str]] = mapped_column(default=list)
    etag: Mapped[str] = mapped_column(default="")
    swept: Mapped[bool] = mapped_column(default=False)


class VideoRow(Base):
    """A video. ``state`` is a pure function of ``command`` and the stage runs of ``revision`` (module ``state``)."""

    __tablename__ = "videos"
    __table_args__ = (
        Index("ix_videos_newest", "tenant_id", "create_ms", "video_id"),
        Index("ix_videos_content", "tenant_id", "sha256"),
        Index("ix_videos_state", "state", "update_ms"),
    )

    video_id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    command: Mapped[str]
    state: Mapped[str]
    file_name: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    create_ms: Mapped[int]
    update_ms: Mapped[int]
    nudge_ms: Mapped[int] = mapped_column(default=0)  # last re-emission of its inputs
    delete_ms: Mapped[int] = mapped_column(default=0)
    swept: Mapped[bool] = mapped_column(default=False)  # looked through once more after its URLs ran out
    sequence: Mapped[int] = mapped_column(default=0)  # newest entry in the watch log
    revision: Mapped[int] = mapped_column(default=0)
    searchable_revision: Mapped[int] = mapped_column(default=0)
    scene_count: Mapped[int] = mapped_column(default=0)
    content_type: Mapped[str] = mapped_column(default="")
    browser_playable: Mapped[bool] = mapped_column(default=False)
    duration_ms: Mapped[int] = mapped_column(default=0)
    width_px: Mapped[int] = mapped_column(default=0)
    height_px: Mapped[int] = mapped_column(default=0)
    language: Mapped[str] = mapped_column(default="")
    index_ms: Mapped[int] = mapped_column(default=0)
    error_reason: Mapped[str] = mapped_column(default="")
    error_message: Mapped[str] = mapped_column(default="")
    source_key: Mapped[str] = mapped_column(default="")
    source_etag: Mapped[str] = mapped_column(default="")


class RevisionRow(Base):
    """A run of a video through the flow: its plan and the trace that began it."""

    __tablename__ = "revisions"

    video_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    plan_key: Mapped[str]
    root_traceparent: Mapped[str]
    create_ms: Mapped[int]


class StageRunRow(Base):
    """One stage of one revision; ``contracts.catalog.StageRun`` with the spec that is pinned."""

    __tablename__ = "stage_runs"

    video_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    spec: Mapped[str] = mapped_column(default="")
    state: Mapped[str]
    outcome: Mapped[str] = mapped_column(default="")
    attempt: Mapped[int] = mapped_column(default=0)
    progress: Mapped[float] = mapped_column(default=0.0)
    start_ms: Mapped[int] = mapped_column(default=0)
    end_ms: Mapped[int] = mapped_column(default=0)
    elapsed_ms: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    manifest_key: Mapped[str] = mapped_column(default="")
    error_metadata: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")


class SceneTableRow(Base):
    """A scene of the searchable revision, as answers need it: the projection that hydration reads."""

    __tablename__ = "scenes"
    __table_args__ = (Index("ix_scenes_order", "video_id", "revision", "position"),)

    scene_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    video_id: Mapped[str]
    position: Mapped[int]
    start_ms: Mapped[int]
    end_ms: Mapped[int]
    body: Mapped[bytes]


class SceneIdRow(Base):
    """Every scene id ever recorded for a video: what erasure must put tombstones on."""

    __tablename__ = "scene_ids"

    video_id: Mapped[str] = mapped_column(primary_key=True)
    scene_id: Mapped[str] = mapped_column(primary_key=True)


class PersonRow(Base):
    """Somebody enrolled."""

    __tablename__ = "people"
    __table_args__ = (Index("ix_people_name", "tenant_id", "display_name", "person_id"),)

    person_id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    display_name: Mapped[str] = mapped_column(_ByCodePoint)
    aliases: Mapped[list[str]] = mapped_column(default=list)
    create_ms: Mapped[int]
    model_version: Mapped[str] = mapped_column(default="")
    matched: Mapped[bool] = mapped_column(default=False)


class PhotoRow(Base):
    """An enrolment photo with its verdict; ``vector`` (float32) only when accepted."""

    __tablename__ = "photos"

    person_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    upload_id: Mapped[str]
    file_name: Mapped[str]
    verdict: Mapped[str]
    object_key: Mapped[str] = mapped_column(default="", index=True)
    vector: Mapped[bytes] = mapped_column(default=b"")


class ScenePersonRow(Base):
    """A person found in a scene. Shown only while the person is enrolled: every read joins ``people``."""

    __tablename__ = "scene_people"
    __table_args__ = (
        Index("ix_scene_people_person", "tenant_id", "person_id"),
        Index("ix_scene_people_video", "video_id", "revision"),
    )

    scene_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    video_id: Mapped[str]
    confidence: Mapped[float]


class MatchingRow(Base):
    """Which gallery a revision's matches were made with."""

    __tablename__ = "matchings"

    video_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    gallery_version: Mapped[int]


class QueryRow(Base):
    """What was typed for an answer, of tenants that keep it; kept for 30 days."""

    __tablename__ = "queries"

    query_id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(index=True)
    text: Mapped[str]
    create_ms: Mapped[int] = mapped_column(index=True)


class GenerationRow(Base):
    """Concrete collections, index, versions and words that a query reads, and how far it is built; at most one is
    ACTIVE. Rows stay when all else of a generation is gone: numbers are never used again.
    """

    __tablename__ = "generations"
    __table_args__ = (
        Index(
            "ix_generations_active",
            "state",
            unique=True,
            sqlite_where=text("state = 'ACTIVE'"),
            postgresql_where=text("state = 'ACTIVE'"),
        ),
    )

    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str]
    text_collection: Mapped[str]
    vision_collection: Mapped[str]
    text_index: Mapped[str]
    text_model: Mapped[str]
    vision_model: Mapped[str]
    ranking: Mapped[str]
    dictionary: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    synonyms: Mapped[list[list[str]]] = mapped_column(default=list, server_default="[]")
    create_ms: Mapped[int] = mapped_column(default=0, server_default="0")
    update_ms: Mapped[int] = mapped_column(default=0, server_default="0")
    created_by: Mapped[str] = mapped_column(default="", server_default="")
    promote_when_ready: Mapped[bool] = mapped_column(default=False, server_default=false())
    videos_done: Mapped[int] = mapped_column(default=0, server_default="0")
    videos_total: Mapped[int] = mapped_column(default=0, server_default="0")
    after_video_id: Mapped[str] = mapped_column(default="", server_default="")
    error_reason: Mapped[str] = mapped_column(default="", server_default="")
    error_message: Mapped[str] = mapped_column(default="", server_default="")


class OutboxTableRow(Base):
    """A record to send, in the transaction of its effect. Once sent, its payload is wiped and the row kept 7 days."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_pending",
            "row",
            sqlite_where=text("sent_ms = 0"),
            postgresql_where=text("sent_ms = 0"),
        ),
        Index("ix_outbox_key", "key"),
        Index("ix_outbox_sent", "sent_ms"),
        {"sqlite_autoincrement": True},  # a pruned number must not come again
    )

    row: Mapped[int] = mapped_column(_RowNumber, primary_key=True)
    topic: Mapped[str]
    key: Mapped[str]
    value: Mapped[bytes | None]
    headers: Mapped[list[list[str]]] = mapped_column(default=list)  # values as Latin-1, which maps every byte
    create_ms: Mapped[int]
    sent_ms: Mapped[int] = mapped_column(default=0)


class WatchRow(Base):
    """A change of a video; rows are numbered in the order of commits (``WatchHeadRow``)."""

    __tablename__ = "watch_log"
    __table_args__ = (Index("ix_watch_log_video", "video_id", "sequence"),)

    row: Mapped[int] = mapped_column(_RowNumber, primary_key=True, autoincrement=False)
    tenant_id: Mapped[str]
    video_id: Mapped[str]
    sequence: Mapped[int]


class WatchHeadRow(Base):
    """The newest number of the watch log: its row lock makes numbers follow commits, which identity columns do not."""

    __tablename__ = "watch_head"

    head: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row: Mapped[int]


class LeaseRow(Base):
    """A named lease, for work that only one process may do."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expire_ms: Mapped[int]


class DeadLetterRow(Base):
    """A record that no handler could take: what the dead-letter topic says, to be listed and redriven."""

    __tablename__ = "dead_letters"

    consumer: Mapped[str] = mapped_column(primary_key=True)
    source_topic: Mapped[str] = mapped_column(primary_key=True)
    source_partition: Mapped[int] = mapped_column(primary_key=True)
    source_offset: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    video_id: Mapped[str]
    revision: Mapped[int]
    reason: Mapped[str]
    message: Mapped[str]
    attempts: Mapped[int]
    event_ms: Mapped[int] = mapped_column(index=True)
