"""Apache Kafka itself, without Docker: one JVM that is broker and controller, its jars by Maven.

Where noida-db is for development, this is what Shoal promises its guarantees on: members that died
expire, and what was acknowledged outlives a SIGKILL. On an idle machine it is ready three seconds
after its start, four after a kill.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from zlib import crc32

from stream.embedded import EmbeddedKafka
from stream.server_process import HOST, EmbeddedError, EmbeddedServer, free_port

POM = Path(__file__).with_name("pom.xml")
PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}
STARTED = "Kafka Server started"
JVM = (
    "-Xmx768m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # ready a quarter sooner than with all of the compiler
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # prints STARTED
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A broker that was killed is let in again when the session of its former life has ended.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "1048576",
}


class ApacheKafka(EmbeddedServer):
    """A Kafka cluster of one node; each data directory is a cluster of its own.

    Parameters
    ----------
    protocol
        Security protocol of the listener for clients; what it needs more stands in `extra`.
    extra
        Kafka's own properties; they win over what is set here.
    jvm
        More arguments of the JVM.
    formatting
        More arguments of `StorageTool format`, such as `--add-scram`.
    """

    name = "Kafka"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        protocol: str = "PLAINTEXT",
        extra: Mapping[str, str] | None = None,
        jvm: Sequence[str] = (),
        formatting: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, port=port)
        self._protocol = protocol
        self._extra = extra or {}
        self._jvm = (*JVM, *jvm)
        self._formatting = formatting

    def _command(self, port: int) -> list[str]:
        java = [*java_with_kafka(), *self._jvm]
        # The only voter may move, so the controller takes a new port each time.
        controller = f"{HOST}:{free_port()}"
        data = self.directory / "data"
        properties = {
            **PROPERTIES,
            "listeners": f"{self._protocol}://{HOST}:{port},CONTROLLER://{controller}",
            "inter.broker.listener.name": self._protocol,
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(data),
            **self._extra,
        }
        path = self.directory / "server.properties"
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        path.write_text("".join(lines), encoding="utf-8")
        if not (data / "meta.properties").exists():
            self._format([*java, "kafka.tools.StorageTool", "format"], path)
        return [*java, "kafka.Kafka", str(path)]

    def _format(self, command: Sequence[str], properties: Path) -> None:
        cluster = f"--cluster-id={secrets.token_urlsafe(16)}"
        done = _run([*command, "--standalone", cluster, "-c", str(properties), *self._formatting])
        if done.returncode:
            raise EmbeddedError(f"Kafka cannot format its data directory: {_in_a_line(done)}")

    def _answers(self, port: int) -> bool:  # noqa: ARG002 - whatever its listener speaks
        return STARTED in self._output()


KafkaKind = type[EmbeddedKafka] | type[ApacheKafka]


def java_with_kafka() -> list[str]:
    """The program `java`, and the arguments that show it Apache Kafka.

    Raises
    ------
    EmbeddedError
        Java or Maven is not installed, or Maven cannot download.
    """
    if missing := [name for name in PACKAGES if shutil.which(name) is None]:
        raise EmbeddedError(
            f"Apache Kafka needs {' and '.join(missing)}: "
            f"apt-get install {' '.join(PACKAGES[name] for name in missing)}"
        )
    return ["java", "-cp", classpath()]


@cache
def classpath() -> str:
    """The jars of Apache Kafka; the first time on a machine Maven downloads them, 45 MB.

    Raises
    ------
    EmbeddedError
        Maven cannot download them.
    """
    # Maven takes some seconds to find out what it knows.
    known = POM.with_name("target") / f"classpath-{crc32(POM.read_bytes()):08x}"
    if known.exists():
        jars = known.read_text(encoding="utf-8")
        if all(Path(jar).exists() for jar in jars.split(os.pathsep)):
            return jars
    maven = ["mvn", "--batch-mode", "--quiet", "--file", str(POM)]
    done = _run([*maven, "dependency:build-classpath", f"-Dmdep.outputFile={known}"])
    if done.returncode:
        raise EmbeddedError(
            f"Maven cannot get Apache Kafka ({_in_a_line(done)}): see that this machine "
            "reaches Maven Central, or a mirror that ~/.m2/settings.xml names"
        )
    return known.read_text(encoding="utf-8")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - java or mvn
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def _in_a_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    # Maven resets the colours of a terminal that is not there.
    return lines[0].replace("\x1b[0m", "") if lines else f"it ended with {done.returncode}"
