"""Stack: one whole Heimdex, started once for all tests that need it, with tenants of their own a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from deploy.local.home import Home, require_config
from deploy.local.keys import sign_token
from deploy.local.supervisor import Supervisor
from deploy.local.tenant import set_faces
from heimdex.client import Client
from heimdex.search.v1 import search_service_pb2 as search_pb2
from heimdex.video.v1 import video_pb2

T = TypeVar("T")


@dataclass(frozen=True)
class Servers:
    """Where the backing servers of the run's home are."""

    kafka: str
    opensearch: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    milvus_text: str
    milvus_vision: str


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        home: its folder.
        endpoint: the gateway's ``host:port``.
    """

    home: Home
    endpoint: str

    def token(self, tenant: str, *, user: str = "tester", ttl_s: int = 3600, admin: bool = False) -> str:
        """Return a token for a tenant."""
        return sign_token(self.home, tenant=tenant, user=user, ttl_s=ttl_s, admin=admin)

    def client(self, tenant: str, *, admin: bool = False, **settings: object) -> Client:
        """Return an SDK client for a tenant; close it."""
        token = self.token(tenant, admin=admin)
        return Client(self.endpoint, token, insecure=True, **settings)  # type: ignore[arg-type]

    def enable_faces(self, tenant: str) -> None:
        """Switch faces on for a tenant."""
        set_faces(self.home, tenant, enabled=True)

    def environment(self) -> dict[str, str]:
        """Return the settings that the stack's own processes run with."""
        from deploy.local.environment import environment
        from deploy.local.provision import cache_folder

        return environment(self.home, require_config(self.home), cache_folder() / "models")

    def pid(self, process: str) -> int:
        """Return the pid of a process of the table."""
        return Supervisor(self.home).processes()[process].pid

    def kill(self, process: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Signal a process; return the pid it had."""
        pid = self.pid(process)
        os.kill(pid, how)
        return pid

    def wait_restarted(self, process: str, old_pid: int, *, timeout_s: float = 120.0) -> None:
        """Wait until the manager has a new, ready process in its place."""
        from deploy.local.processes import table

        entry = next(p for p in table(self.home) if p.name == process)
        eventually(
            lambda: self.pid(process) not in (0, old_pid) and entry.ready(),
            f"{process} is back",
            timeout_s=timeout_s,
        )


def eventually(check: Callable[[], T], what: str, *, timeout_s: float = 60.0, every_s: float = 0.1) -> T:
    """Return the first true value of ``check``; fail when there is none in time."""
    end = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not in {timeout_s} s: {what}")
        time.sleep(every_s)


def ingest(client: Client, path: Path, *, timeout_s: float = 600.0) -> video_pb2.Video:
    """Upload a file and return its video in a final state."""
    video_id = client.upload(path).video_id
    return finished(client, video_id, timeout_s=timeout_s)


def finished(client: Client, video_id: str, *, timeout_s: float = 600.0) -> video_pb2.Video:
    """Return a video once it is in a final state."""
    end = time.monotonic() + timeout_s
    video = client.get_video(video_id)
    for video in client.watch_video(video_id):  # noqa: B007  # the last one is the answer
        if time.monotonic() > end:
            break
    assert video.state in _FINAL, f"{video_id} is still {video_pb2.VideoState.Name(video.state)} after {timeout_s} s"
    return video


_FINAL = (
    video_pb2.VIDEO_STATE_INDEXED, video_pb2.VIDEO_STATE_FAILED, video_pb2.VIDEO_STATE_ABORTED,
    video_pb2.VIDEO_STATE_EXPIRED, video_pb2.VIDEO_STATE_DELETED,
)  # fmt: skip


def search(client: Client, query: str, **options: object) -> search_pb2.SearchScenesResponse:
    """Return the DONE frame of a search."""
    *_, done = client.search(query, **options)  # type: ignore[arg-type]
    assert done.kind == search_pb2.FRAME_KIND_DONE
    return done


def outcomes(video: video_pb2.Video) -> dict[str, str]:
    """Return stage noun -> outcome of the stages that have ended."""
    from heimdex.cli.output import outcome_name, stage_name

    return {stage_name(s.stage): outcome_name(s.outcome) for s in video.stages if s.outcome}


def descendants(pid: int) -> list[int]:
    """Return the pids below a process."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
