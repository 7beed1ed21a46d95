"""Servers: a home, its config and the provisioned trees -> settings on disk and the five backing processes.

Sources of the settings: the projects' own documentation, and start-up time and memory measured on two cores.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.local.environment import ONE_THREAD, S3_REGION
from deploy.local.failure import DeployError
from deploy.local.home import Config, Home
from deploy.local.ports import LOOPBACK
from deploy.local.probes import GrpcProbe, HttpProbe, KafkaProbe
from deploy.local.process import Process
from deploy.local.provision import ServerTrees

_MB: Final = 1024 * 1024

_JAVA: Final = (
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # no files in /tmp
    # Without these two, each start writes a page of warnings.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

# Kafka reads a list of folders, split at commas: paths relative to the home, its working folder, have none.
_KAFKA_SETTINGS: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
# a restart after kill -9 takes 5 s instead of 12
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
"""

_OPENSEARCH_SETTINGS: Final = """\
cluster.name: heimdex
node.name: heimdex
network.host: {host}
http.port: {http}
transport.port: {transport}
discovery.type: single-node
action.auto_create_index: false
action.destructive_requires_name: true
cluster.routing.allocation.disk.threshold_enabled: false
path.data: [{data}]
path.logs: {logs}
path.repo: [{snapshots}]
"""

_LOG4J_TO_CONSOLE: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{ISO8601}} %-5p %c{{1.}}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def servers(home: Home, config: Config, trees: ServerTrees) -> tuple[Process, ...]:
    """Return the backing servers in the order they are needed in."""
    return (
        _kafka(home, config, trees),
        _opensearch(home, config, trees),
        _versitygw(home, config, trees),
        _milvus("milvus-text", home, config),
        _milvus("milvus-vision", home, config),
    )


def configure(home: Home, config: Config, trees: ServerTrees) -> None:
    """Write the servers' settings for the home's ports, and format Kafka's storage once.

    Raises:
        DeployError: Kafka's storage cannot be formatted.
    """
    _configure_kafka(home, config, trees)
    _configure_opensearch(home, config)
    for folder in ("objects/root", "objects/iam", "objects/versions", "milvus-text", "milvus-vision"):
        (home.data / folder).mkdir(parents=True, exist_ok=True)


def _java(trees: ServerTrees) -> str:
    return str(trees.java_home / "bin" / "java")


def _kafka_settings_file(home: Home) -> Path:
    return home.conf / "kafka" / "server.properties"


def _kafka_java(home: Home, trees: ServerTrees) -> tuple[str, ...]:
    return (
        _java(trees),
        "-Xms32m",
        "-Xmx192m",
        "-XX:TieredStopAtLevel=1",
        "-Xss512k",
        *_JAVA,
        f"-Dlog4j2.configurationFile={(home.conf / 'kafka' / 'log4j2.properties').relative_to(home.root)}",
        "-cp",
        f"{trees.kafka / 'lib'}/*",
    )


def _kafka(home: Home, config: Config, trees: ServerTrees) -> Process:
    probe = KafkaProbe(config.ports["kafka"])
    return Process(
        name="kafka",
        command=(*_kafka_java(home, trees), "kafka.Kafka", str(_kafka_settings_file(home))),
        ready=probe,
        live=probe,
        ports=_listeners(config, "kafka", "kafka-controller"),
        stop_rank=4,
        memory_bound_bytes=700 * _MB,
        is_server=True,
    )


def _configure_kafka(home: Home, config: Config, trees: ServerTrees) -> None:
    data = home.data / "kafka"
    settings = _kafka_settings_file(home)
    settings.parent.mkdir(parents=True, exist_ok=True)
    (settings.parent / "log4j2.properties").write_text(_LOG4J_TO_CONSOLE.format(), encoding="utf-8")
    text = _KAFKA_SETTINGS.format(
        host=LOOPBACK,
        broker=config.ports["kafka"],
        controller=config.ports["kafka-controller"],
        data=data.relative_to(home.root),
    )
    settings.write_text(text, encoding="utf-8")
    if (data / "meta.properties").exists():
        return
    tool = (*_kafka_java(home, trees), "kafka.tools.StorageTool", "format", "--ignore-formatted")
    # In one word: one id in 64 begins with a hyphen and would be taken for an option.
    command = [*tool, f"--cluster-id={config.kafka_cluster_id}", "--config", str(settings)]
    done = subprocess.run(command, cwd=home.root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"Kafka's storage in {data} cannot be formatted: {(done.stderr or done.stdout).strip()[-300:]}"
        raise DeployError(message, "see whether the disk is full or the folder belongs to somebody else")


def _opensearch_conf(home: Home) -> Path:
    return home.conf / "opensearch"


def _opensearch(home: Home, config: Config, trees: ServerTrees) -> Process:
    tree, conf, scratch = trees.opensearch, _opensearch_conf(home), home.data / "opensearch-tmp"
    command = (
        _java(trees),
        "-Xms256m",
        "-Xmx512m",
        "-XX:MaxDirectMemorySize=128m",
        *_JAVA,
        f"-javaagent:{tree}/agent/opensearch-agent.jar",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "-Djna.nosys=true",
        "-Djava.locale.providers=SPI,CLDR",
        f"-Djava.io.tmpdir={scratch}",
        f"-Djna.tmpdir={scratch}",  # else a folder in the home of whoever it takes itself for
        "-Dlog4j2.disable.jmx=true",
        "-Dlog4j.shutdownHookEnabled=false",  # OpenSearch ends its log itself, after everything else
        f"-Dopensearch.path.home={tree}",
        f"-Dopensearch.path.conf={conf}",
        "-Dopensearch.distribution.type=zip",
        "-Dopensearch.bundled_jdk=false",
        "-cp",
        f"{tree}/lib/*",
        "org.opensearch.bootstrap.OpenSearch",
    )
    return Process(
        name="opensearch",
        command=command,
        environment={
            "OPENSEARCH_PATH_CONF": str(conf),
            "OPENSEARCH_TMPDIR": str(scratch),
            "OPENSEARCH_JAVA_HOME": str(trees.java_home),
        },
        ready=HttpProbe(config.ports["opensearch"], "/_cluster/health?wait_for_status=yellow&timeout=1s"),
        live=HttpProbe(config.ports["opensearch"], "/"),
        ports=_listeners(config, "opensearch", "opensearch-transport"),
        stop_rank=6,
        memory_bound_bytes=1400 * _MB,
        is_server=True,
        stop_wait_s=30,
        refuses_root=True,
    )


def _configure_opensearch(home: Home, config: Config) -> None:
    conf = _opensearch_conf(home)
    shutil.rmtree(home.data / "opensearch-tmp", ignore_errors=True)  # a killed one leaves its libraries there
    for folder in (conf, home.data / "opensearch", home.data / "opensearch-tmp", home.data / "opensearch-snapshots"):
        folder.mkdir(parents=True, exist_ok=True)
    (conf / "log4j2.properties").write_text(_LOG4J_TO_CONSOLE.format(), encoding="utf-8")
    text = _OPENSEARCH_SETTINGS.format(
        host=LOOPBACK,
        http=config.ports["opensearch"],
        transport=config.ports["opensearch-transport"],
        data=json.dumps(str(home.data / "opensearch")),
        logs=json.dumps(str(home.logs)),
        snapshots=json.dumps(str(home.data / "opensearch-snapshots")),
    )
    (conf / "opensearch.yml").write_text(text, encoding="utf-8")


def _versitygw(home: Home, config: Config, trees: ServerTrees) -> Process:
    port, data = config.ports["objects"], home.data / "objects"
    probe = HttpProbe(port, "/health")
    command = (
        str(trees.versitygw),
        *("--port", f"{LOOPBACK}:{port}"),
        *("--region", S3_REGION),
        "--keep-alive",
        "--quiet",
        *("--health", "/health"),
        *("--iam-dir", str(data / "iam")),
        "posix",
        *("--versioning-dir", str(data / "versions")),
        str(data / "root"),
    )
    return Process(
        name="objects",
        command=command,
        environment={
            "ROOT_ACCESS_KEY": config.s3_access_key,
            "ROOT_SECRET_KEY": config.s3_secret_key,
            "GOMEMLIMIT": "192MiB",
        },
        ready=probe,
        live=probe,
        ports=_listeners(config, "objects"),
        stop_rank=7,
        memory_bound_bytes=700 * _MB,
        is_server=True,
    )


def _milvus(name: str, home: Home, config: Config) -> Process:
    port = config.ports[name]
    probe = GrpcProbe(port)
    return Process(
        name=name,
        command=(
            *(sys.executable, "-m", "milvus_lite.cmdline", "server"),
            *("--data-dir", str(home.data / name)),
            *("--host", LOOPBACK),
            *("--port", str(port)),
        ),
        environment=ONE_THREAD,
        ready=probe,
        live=probe,
        ports=_listeners(config, name),
        stop_rank=5,
        memory_bound_bytes=3000 * _MB,
        is_server=True,
        stop_signal="INT",  # it closes its database on KeyboardInterrupt only
    )


def _listeners(config: Config, *names: str) -> dict[str, int]:
    return {name: config.ports[name] for name in names}
