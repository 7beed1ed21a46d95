"""Provisioning: exactly what the lock names, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deploy.local import artifacts, provision
from deploy.local.artifacts import Artifact, artifacts_of, fetch, read_lock
from deploy.local.failure import DeployError


class _Repository:
    """Stands for jgo: writes `content` where a context keeps what it fetched."""

    def __init__(self, content: bytes, failures: int = 0) -> None:
        self.content, self.failures, self.fetched = content, failures, 0

    def context(self, repository: Path, _: object) -> Any:
        self.repository = repository
        return self

    def project(self, group: str, name: str) -> Any:
        return self

    def at_version(self, version: str) -> Any:
        return self

    def artifact(self, classifier: str, packaging: str) -> Any:
        return self

    def resolve(self) -> Path:
        self.fetched += 1
        if self.fetched <= self.failures:
            raise OSError("connection reset")
        (self.repository / "file").write_bytes(self.content)
        return self.repository / "file"


def an_artifact(content: bytes) -> Artifact:
    return Artifact("org.example:thing:1.0:jar", hashlib.sha256(content).hexdigest(), len(content))


def use(repository: _Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "maven_context", repository.context)


def quiet(_: str) -> None:
    pass


def test_a_verified_file_is_kept_and_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = _Repository(b"good")
    use(repository, monkeypatch)
    path = fetch(an_artifact(b"good"), tmp_path, quiet)
    assert path.read_bytes() == b"good"
    assert fetch(an_artifact(b"good"), tmp_path, quiet) == path
    assert repository.fetched == 1


def test_a_file_that_is_not_what_the_lock_says_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(_Repository(b"evil"), monkeypatch)
    with pytest.raises(DeployError, match="the lock says"):
        fetch(an_artifact(b"good"), tmp_path, quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_connection_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(_Repository(b"good", failures=2), monkeypatch)
    assert fetch(an_artifact(b"good"), tmp_path, quiet).read_bytes() == b"good"


def test_no_network_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(_Repository(b"good", failures=99), monkeypatch)
    with pytest.raises(DeployError) as caught:
        fetch(an_artifact(b"good"), tmp_path, quiet)
    assert str(caught.value) == (
        "cannot fetch org.example:thing:1.0:jar: connection reset; "
        "check the network or the proxy settings and run it again; what came so far is kept"
    )


def test_a_tree_whose_build_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("")
        raise DeployError("no", "never")

    with pytest.raises(DeployError):
        provision._place(tmp_path / "servers" / "kafka", build)
    assert list((tmp_path / "servers").iterdir()) == []


KILLED_AT_THE_THIRD_FILE = """
import os, signal, sys
from pathlib import Path
from deploy.local import artifacts, provision
from tests.unit.deploy.test_provision import Mirror, a_lock, quiet

class Dying(Mirror):
    def resolve(self):
        if self.fetched == 2:
            (self.repository / "half").write_bytes(b"ha")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().resolve()

artifacts.maven_context = Dying().context
provision.read_lock = a_lock
provision.provision(Path(sys.argv[1]), quiet)
"""


class Mirror(_Repository):
    """Stands for jgo: has a file for each name, which says its name."""

    def __init__(self) -> None:
        super().__init__(b"")

    def project(self, group: str, name: str) -> Any:
        self.content = name.encode()
        return self


def a_lock() -> dict[str, Any]:
    def section(*names: str) -> dict[str, Any]:
        digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
        files = [
            {"coordinate": f"org.example:{n}:9:jar", "sha256": d, "size_bytes": len(n)} for n, d in digests.items()
        ]
        return {"version": "9", "artifacts": files}

    return {
        "kafka": section("broker", "clients", "log", "zip"),
        "opensearch": section(),
        "versitygw": {"version": "v9"},
    }


def test_a_run_that_was_killed_goes_on_with_what_had_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", KILLED_AT_THE_THIRD_FILE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL, done.stderr
    mirror, said = Mirror(), list[str]()
    use(mirror, monkeypatch)
    monkeypatch.setattr(provision, "read_lock", a_lock)
    for builder in ("_opensearch", "_versitygw"):
        monkeypatch.setattr(provision, builder, lambda *arguments: None)
    places = provision.provision(tmp_path, said.append)
    assert mirror.fetched == 2  # of four
    assert {path.read_bytes() for path in (places.kafka / "lib").iterdir()} == {b"broker", b"clients", b"log", b"zip"}
    assert said == ["kafka 9: file 1 of 4"]
    assert {path.name for path in tmp_path.iterdir()} == {"servers", "provision.lock"}
    assert {path.name.split("-")[0] for path in (tmp_path / "servers").iterdir()} == {
        "kafka",
        "opensearch",
        "versitygw",
    }
    provision.provision(tmp_path, said.append)
    assert mirror.fetched == 2


def test_two_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    waits = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    def second() -> None:
        with provision._one_at_a_time(tmp_path, say):
            said.append("second")

    with provision._one_at_a_time(tmp_path, quiet):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        said.append("first")
    thread.join(10)
    assert said == ["waiting for another process that provisions the same cache", "first", "second"]


def test_a_tree_can_be_read_by_the_user_the_server_runs_as(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "config").mkdir(mode=0o700)
        os.close(os.open(folder / "config" / "secretive", os.O_CREAT, 0o600))

    provision._place(tmp_path / "tree", build)
    assert (tmp_path / "tree" / "config").stat().st_mode & 0o555 == 0o555
    assert (tmp_path / "tree" / "config" / "secretive").stat().st_mode & 0o444 == 0o444


def test_the_opensearch_tree_has_nori_and_lacks_what_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "opensearch.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("opensearch-9/lib/opensearch.jar", b"jar")
        writer.writestr("opensearch-9/modules/ingest-geoip/big.mmdb", b"unused")
        writer.writestr("opensearch-9/modules/reindex/reindex.jar", b"jar")
        writer.writestr("META-INF/services/java.text.spi.BreakIteratorProvider", b"breaks")
        writer.writestr("META-INF/services/java.text.spi.CollatorProvider", b"order")
    monkeypatch.setattr(provision, "fetch", lambda *_: archive)
    section = {
        "version": "9.0.0",
        "artifacts": [
            {"coordinate": f"org.example:{name}:9.0.0:jar", "sha256": "00", "size_bytes": 1}
            for name in ("opensearch", "analysis-nori", "lucene-analysis-nori", "icu4j-localespi", "icu4j")
        ],
    }
    folder = tmp_path / "tree"
    folder.mkdir()
    provision._opensearch(section, tmp_path, folder, quiet)
    assert (folder / "modules" / "reindex" / "reindex.jar").exists()
    assert not (folder / "modules" / "ingest-geoip").exists()
    plugin = folder / "plugins" / "analysis-nori"
    assert "opensearch.version=9.0.0" in (plugin / "plugin-descriptor.properties").read_text()
    assert len(list(plugin.glob("*.jar"))) == 2
    with zipfile.ZipFile(folder / "lib" / "icu4j-localespi-9.0.0.jar") as locales:
        services = [name for name in locales.namelist() if name.startswith("META-INF/services/")]
    assert services == ["META-INF/services/java.text.spi.BreakIteratorProvider"]


def test_the_lock_pins_everything_and_names_no_host() -> None:
    lock = read_lock()
    every = [*artifacts_of(lock["kafka"]), *artifacts_of(lock["opensearch"])]
    assert len({artifact.file_name for artifact in every}) == len(every) > 40
    for artifact in every:
        assert re.fullmatch(r"[0-9a-f]{64}", artifact.sha256), artifact
        assert artifact.size_bytes > 0
    assert re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", lock["versitygw"]["module_sum"])
    assert re.fullmatch(r"[0-9a-f]{64}", lock["versitygw"]["go_wheel_sha256"])
    assert "http" not in artifacts.LOCK_PATH.read_text().replace("jetty-http", "")


def test_a_changed_lock_means_another_tree(tmp_path: Path) -> None:
    one = provision._tree(tmp_path, "kafka", {"version": "4.3.1", "artifacts": []})
    two = provision._tree(tmp_path, "kafka", {"version": "4.3.1", "artifacts": [1]})
    assert one != two
    assert one.name.startswith("kafka-4.3.1-")


@pytest.mark.parametrize(("said", "numbers"), [("go1.26.8", (1, 26)), ("go1.9", (1, 9)), ("1.25", (1, 25)), ("", ())])
def test_go_versions_compare_as_numbers(said: str, numbers: tuple[int, ...]) -> None:
    assert provision._numbers(said) == numbers


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="are needed; free some space"):
        artifacts.require_space(tmp_path, 10**18)
