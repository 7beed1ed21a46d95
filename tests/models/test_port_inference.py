"""Conformance of QueryEncoder, PhotoReader and ImageEncoder on every profile: the inference process itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters.inference.client import GrpcImageEncoder, GrpcPhotoReader, GrpcQueryEncoder, channel
from adapters.models import profiles
from adapters.models.faces.fake import draw_face
from adapters.models.settings import ModelSettings
from contracts.errors import DependencyUnavailable, InvalidRequest, ModelUnavailable
from contracts.ports import UInt8
from tests.models.conftest import ROOT, Subject


@dataclass
class Running:
    """The process, its ports and clients of it."""

    process: subprocess.Popen[bytes]
    ops_url: str
    log: Path
    connection: grpc.aio.Channel
    queries: GrpcQueryEncoder
    photos: GrpcPhotoReader
    images: GrpcImageEncoder

    def status(self, page: str) -> int:
        """Return the status of an ops page; 0 when nobody listens."""
        try:
            with urllib.request.urlopen(f"{self.ops_url}{page}", timeout=10) as answer:  # noqa: S310 - our own port
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def lines(self) -> list[dict[str, str]]:
        """Return what it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait while the process lives."""
        async with asyncio.timeout(120):
            while not await asyncio.to_thread(condition):
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def health(self) -> int:
        """Return what the standard health service says."""
        stub: Any = health_pb2_grpc.HealthStub(self.connection)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        return int(answer.status)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@asynccontextmanager
async def _running(subject: Subject, log: Path) -> AsyncIterator[Running]:
    """Start the process; kill it in the end if it still runs."""
    port, ops_port = _free_port(), _free_port()
    environment = os.environ | {
        "HEIMDEX_INFERENCE": f"127.0.0.1:{port}",
        "HEIMDEX_OPS_PORT": str(ops_port),
        "HEIMDEX_PROFILE": subject.profile,
        "HEIMDEX_MODELS_DIR": str(subject.settings.models_dir),
        "HEIMDEX_FACES_MODEL": "",
    }
    versions = profiles.versions(subject.profile, subject.settings)
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: ASYNC220 - to be seen alive at once
            [sys.executable, "-m", "adapters.inference"], env=environment, cwd=ROOT, stdout=file, stderr=file
        )
    connection = channel(f"127.0.0.1:{port}")
    queries = GrpcQueryEncoder(
        connection, text_version=versions["embeddings"], vision_version=versions["vision"], timeout_s=60
    )
    photos = GrpcPhotoReader(connection, faces_version=versions["faces"], timeout_s=60)
    try:
        images = GrpcImageEncoder(connection, timeout_s=60)
        yield Running(process, f"http://127.0.0.1:{ops_port}", log, connection, queries, photos, images)
    finally:
        await queries.close()
        await connection.close()
        process.kill()
        process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with _running(subject, tmp_path_factory.mktemp("inference") / "log") as one:
        await one.until(lambda: one.status("/ready") == 200)
        yield one


@pytest.fixture
def picture(subject: Subject, photo: Callable[[str], UInt8]) -> UInt8:
    if subject.profile != "fake":
        return photo("astronaut")
    image = np.full((360, 640, 3), 60, np.uint8)
    draw_face(image, (40, 40, 160, 160), (200, 160, 60))
    return image


@pytest.mark.asyncio(loop_scope="module")
async def test_queries_are_encoded_as_in_this_process(running: Running, subject: Subject) -> None:
    texts = ["고양이", "a cup of coffee", "", *(f"질문 {number}" for number in range(40))]
    answers = await asyncio.gather(*(running.queries.encode(text) for text in texts))
    text = profiles.text_encoder(subject.profile, subject.settings).encode_queries(texts)
    vision = profiles.vision_encoder(subject.profile, subject.settings).encode_queries(texts)
    assert np.stack([answer.text for answer in answers]) == pytest.approx(text, abs=1e-4)
    assert np.stack([answer.vision for answer in answers]) == pytest.approx(vision, abs=1e-4)


@pytest.mark.asyncio(loop_scope="module")
async def test_photos_are_read_as_in_this_process(running: Running, subject: Subject, picture: UInt8,
                                                  request: pytest.FixtureRequest) -> None:  # fmt: skip
    if subject.profile == "production":
        request.getfixturevalue("yunet")
    _, body = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    answers = await running.photos.faces(body.tobytes())
    faces = profiles.face_model(subject.profile, subject.settings).find(picture)
    assert len(answers) == len(faces) > 0
    for (face, width, height), mine in zip(answers, faces, strict=True):
        assert (height, width) == picture.shape[:2]
        assert face.box == pytest.approx(mine.box, abs=0.1)
        assert (face.score, face.sharpness) == pytest.approx((mine.score, mine.sharpness), rel=1e-4)
        assert face.vector == pytest.approx(mine.vector, abs=1e-5)


@pytest.mark.asyncio(loop_scope="module")
async def test_pictures_are_encoded_as_in_this_process(running: Running, subject: Subject, picture: UInt8) -> None:
    _, body = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    encoder = profiles.vision_encoder(subject.profile, subject.settings)
    vector = await running.images.encode_image(body.tobytes(), version=encoder.version)
    (expected,), _ = encoder.encode_images([picture])
    assert vector == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ModelUnavailable):
        await running.images.encode_image(body.tobytes(), version="other")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_photo_of_a_cat_is_nearest_to_another_of_it(
    running: Running, subject: Subject, photo: Callable[[str], UInt8]
) -> None:
    if subject.profile != "small":
        return
    encoder = profiles.vision_encoder(subject.profile, subject.settings)
    names = ["coffee", "chelsea", "camera", "motorcycle_left", "astronaut", "grass"]
    library, _ = encoder.encode_images([photo(name) for name in names])
    seen = photo("chelsea")[20:250, 380:60:-1]  # a part of it, the other way round, and worse
    _, body = cv2.imencode(".jpg", cv2.cvtColor(seen, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 40])
    cosines = library @ await running.images.encode_image(body.tobytes(), version=encoder.version)
    assert names[int(cosines.argmax())] == "chelsea"
    assert cosines.max() > 0.9
    assert np.sort(cosines)[-2] < 0.5


@pytest.mark.asyncio(loop_scope="module")
async def test_no_photo_is_the_callers_fault(running: Running) -> None:
    with pytest.raises(InvalidRequest):
        await running.photos.faces(b"no image")
    with pytest.raises(InvalidRequest):
        await running.images.encode_image(b"no image", version="any")


@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_live_ready_and_measured(running: Running) -> None:
    assert await running.health() == health_pb2.HealthCheckResponse.SERVING
    assert running.status("/live") == 200
    assert running.status("/metrics") == 200
    serving = [line for line in running.lines() if line["event"] == "serving"]
    assert len(serving) == 1


async def test_sigterm_ends_it_well(tmp_path: Path) -> None:
    async with _running(Subject("fake", ModelSettings()), tmp_path / "log") as one:
        await one.until(lambda: one.status("/ready") == 200)
        assert (await one.queries.encode("고양이")).text.any()
        one.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(one.process.wait, 30) == 0
        assert one.lines()[-1]["event"] == "stopped"
        with pytest.raises(DependencyUnavailable):
            await one.queries.encode("커피")


async def test_without_weights_it_says_so_once_and_goes_on_when_they_come(subject: Subject, tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    empty = tmp_path / "models"
    empty.mkdir()
    async with _running(Subject(subject.profile, ModelSettings(models_dir=empty)), tmp_path / "log") as one:
        await one.until(lambda: any(line["event"] == "not ready" for line in one.lines()))
        assert one.status("/live") == 200
        assert one.status("/ready") == 503
        assert await one.health() == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(ModelUnavailable):
            await one.queries.encode("고양이")
        for part in subject.settings.models_dir.iterdir():
            (empty / part.name).symlink_to(part)
        await one.until(lambda: one.status("/ready") == 200)
        assert (await one.queries.encode("고양이")).text.any()
        reasons = [line for line in one.lines() if line["event"] == "not ready"]
        assert len(reasons) == 1
        assert "run `python -m adapters.models." in reasons[0]["error"]
        one.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(one.process.wait, 60) == 0
