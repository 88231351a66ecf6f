"""Where settings come from, and what a person reads when one is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.files import SettingsError
from config.settings import DEFAULT_SEGMENTATION, Settings, load_settings

SECRET = "hunter2"  # noqa: S105 - nobody's
File = Callable[[str | bytes], Path]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith("SHOAL_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> File:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "shoal.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        monkeypatch.setenv("SHOAL_CONFIG", str(path))
        return path

    return write


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert settings.kafka == "127.0.0.1:9092"
    assert settings.segmentation == DEFAULT_SEGMENTATION
    assert settings.durability == "strict"


def test_every_setting_says_what_it_is_or_lists_its_values() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description or name == "log_level"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAFKA", ""),
        ("KAFKA", "broker"),
        ("KAFKA", "broker:"),
        ("KAFKA", ":9092"),
        ("KAFKA", "broker:0"),
        ("KAFKA", "broker:65536"),
        ("KAFKA", "one:9092,"),
        ("KAFKA", "kafka://one:port"),
        ("REDIS", ""),
        ("REDIS", "localhost:6379"),
        ("REDIS", "http://localhost:6379"),
        ("NAMESPACE", ""),
        ("NAMESPACE", "Shoal"),
        ("NAMESPACE", "1shop"),
        ("NAMESPACE", "two words"),
        ("NAMESPACE", "shop\n"),
        ("NAMESPACE", "s" * 42),
        ("PARTITIONS", "0"),
        ("PARTITIONS", "10001"),
        ("PARTITIONS", "eight"),
        ("PARTITIONS", ""),
        ("PARTITIONS", "2.5"),
        ("REPLICATION", "0"),
        ("PARTITIONER", "random"),
        ("DURABILITY", "loose"),
        ("CLOCK", "wall"),
        ("SESSION_TIMEOUT_SECONDS", "5"),
        ("SESSION_TIMEOUT_SECONDS", "301"),
        ("SESSION_TIMEOUT_SECONDS", "nan"),
        ("START_TIMEOUT_SECONDS", "0"),
        ("CACHE_PROFILES", "999"),
        ("BATCH_EVENTS", "0"),
        ("BATCH_EVENTS", "10001"),
        ("SWEEP_CUSTOMERS_PER_SECOND", "0"),
        ("METRICS_PORT", "-1"),
        ("METRICS_PORT", "65536"),
        ("TRAINER_METRICS_PORT", "65536"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SHOAL_{variable}", value)
    message = refusal()
    assert message.startswith(f"SHOAL_{variable}: ")
    assert message.count("SHOAL_") == 1


def test_all_that_is_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_KAFKA", "broker")
    monkeypatch.setenv("SHOAL_PARTITIONS", "eight")
    assert "SHOAL_KAFKA: 'broker' is not host:port; SHOAL_PARTITIONS: " in refusal()


def test_a_segmentation_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_SEGMENTATION", str(tmp_path / "none.yaml"))
    assert f"{tmp_path / 'none.yaml'} does not exist" in refusal()


@pytest.mark.parametrize(
    "brokers", ["one:9092", "one:9092,two:9093", "one:9092, two:9093", "[::1]:9092"]
)
def test_brokers_are_a_list_of_hosts_and_ports(brokers: str) -> None:
    assert load_settings(kafka=brokers).kafka == brokers


@pytest.mark.parametrize("url", ["redis://h", "rediss://u:p@h:1/2", "unix:///run/redis.sock"])
def test_a_redis_url_may_be_plain_encrypted_or_a_socket(url: str) -> None:
    assert load_settings(redis=url).redis_url() == url


def test_arguments_win_over_the_environment_and_the_environment_over_the_file(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    file("partitions: 3\nreplication: 2\nnamespace: fromfile\nclock: replay\n")
    monkeypatch.setenv("SHOAL_REPLICATION", "4")
    monkeypatch.setenv("SHOAL_NAMESPACE", "fromenv")
    settings = load_settings(namespace="fromargs", clock=None)
    assert settings.namespace == "fromargs"
    assert settings.replication == 4
    assert settings.partitions == 3
    assert settings.clock == "replay"


def test_a_value_of_the_file_that_the_environment_overrides_is_not_looked_at(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    file("partitions: eight\n")
    monkeypatch.setenv("SHOAL_PARTITIONS", "8")
    assert load_settings().partitions == 8


def test_a_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        monkeypatch.setenv("SHOAL_CONFIG", str(path))
        assert refusal().startswith(f"SHOAL_CONFIG names {path}, which does not exist")


def test_an_empty_file_sets_nothing(file: File) -> None:
    file("")
    assert load_settings() == Settings()


def test_an_unknown_name_in_the_file_is_refused(file: File) -> None:
    file("partition: 3\n")
    assert refusal() == "SHOAL_PARTITION: Extra inputs are not permitted"


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(SettingsError, match="SHOAL_PARTITION: Extra"):
        load_settings(partition=3)


@pytest.mark.parametrize("content", ["- partitions", "partitions", "1: 2"])
def test_a_file_that_is_no_mapping_of_names_is_named(content: str, file: File) -> None:
    path = file(content)
    assert refusal().startswith(f"{path} must hold names and values")


@pytest.mark.parametrize("content", ["kafka: [", b"\xff\xfe"])
def test_a_file_that_is_no_yaml_is_named_in_one_line(content: str | bytes, file: File) -> None:
    path = file(content)
    assert refusal().startswith(f"{path} is not readable YAML: ")


@pytest.mark.parametrize("port", ["abc", "99999"])
def test_a_redis_port_that_is_none_is_refused_without_the_password(
    port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_REDIS", f"redis://:{SECRET}@cache:{port}/0")
    assert refusal().startswith("SHOAL_REDIS: the port is not a number from 1 to 65535")


def test_a_segmentation_that_is_missing_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOAL_SEGMENTATION", "nowhere.yaml")
    assert refusal() == "SHOAL_SEGMENTATION: file nowhere.yaml does not exist"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAFKA", "broker"),
        ("PARTITIONS", "x"),
        ("NAMESPACE", "?"),
        ("REDIS", f"http://:{SECRET}@h"),
    ],
)
def test_the_password_of_redis_is_in_no_message(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_REDIS", f"redis://:{SECRET}@h:6379/0")
    monkeypatch.setenv(f"SHOAL_{variable}", value)
    assert SECRET not in refusal()


@pytest.mark.parametrize(
    "rest", ["partitions: x", "colour: red", "kafka: [one]", "kafka: {a: b}", "kafka: ["]
)
def test_the_password_of_redis_in_a_file_is_in_no_message(rest: str, file: File) -> None:
    file(f"redis: redis://:{SECRET}@h:6379/0\n{rest}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert SECRET not in str(caught.value)


def test_settings_cannot_be_changed_once_they_are_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().partitions = 9  # type: ignore[misc]  # that is the point
