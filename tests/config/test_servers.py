"""Settings of connections: what contradicts itself is refused, and no secret is ever shown."""

import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from config.files import SettingsError
from config.settings import Settings, load_settings
from tests.secure_servers import PASSWORD, Authority, Identity

Variables = dict[str, str]

SASL = {
    "SHOAL_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "SHOAL_KAFKA_USERNAME": "shoal",
    "SHOAL_KAFKA_PASSWORD": PASSWORD,
}
TLS = {"SHOAL_KAFKA_SECURITY_PROTOCOL": "SSL"}
REDIS_TLS = {"SHOAL_REDIS": "rediss://cache:6379/0"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Authority(tmp_path_factory.mktemp("ca") / "ca").issue("client")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Authority(tmp_path_factory.mktemp("ca") / "ca").issue("client", key_password=PASSWORD)


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> Callable[[Variables], str]:
    """What is said of settings that are refused; in one line, with no secret."""

    def refuse(variables: Variables) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            load_settings()
        assert "\n" not in str(caught.value)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
        return str(caught.value)

    return refuse


Refusal = Callable[[Variables], str]


@pytest.mark.parametrize("missing", ["SHOAL_KAFKA_USERNAME", "SHOAL_KAFKA_PASSWORD"])
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_sasl_without_a_user_or_a_password_names_what_is_missing(
    missing: str, protocol: str, refusal: Refusal
) -> None:
    given = {name: value for name, value in SASL.items() if name != missing}
    said = refusal(given | {"SHOAL_KAFKA_SECURITY_PROTOCOL": protocol})
    assert said == f"SHOAL_KAFKA_SECURITY_PROTOCOL is {protocol}, but {missing} is not set: set it"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_kafka_password_that_would_not_be_used_is_refused(
    protocol: str, refusal: Refusal
) -> None:
    said = refusal({"SHOAL_KAFKA_PASSWORD": PASSWORD, "SHOAL_KAFKA_SECURITY_PROTOCOL": protocol})
    assert said == (
        f"SHOAL_KAFKA_PASSWORD is set, but SHOAL_KAFKA_SECURITY_PROTOCOL is {protocol}: "
        "set it to SASL_SSL"
    )


def test_a_certificate_that_would_not_be_used_is_refused(
    client: Identity, refusal: Refusal
) -> None:
    said = refusal({"SHOAL_KAFKA_CA_FILE": str(client.cert)})
    assert "SHOAL_KAFKA_CA_FILE is set, but SHOAL_KAFKA_SECURITY_PROTOCOL is PLAINTEXT" in said


def test_a_redis_certificate_without_tls_is_refused_without_the_password_of_the_url(
    client: Identity, refusal: Refusal
) -> None:
    said = refusal(
        {"SHOAL_REDIS": "redis://:hunter2@cache:1/0", "SHOAL_REDIS_CA_FILE": str(client.cert)}
    )
    assert said == (
        "SHOAL_REDIS_CA_FILE is set, but SHOAL_REDIS is redis://cache:1/0: begin it with rediss://"
    )


@pytest.mark.parametrize(("server", "tls"), [("KAFKA", TLS), ("REDIS", REDIS_TLS)])
@pytest.mark.parametrize("part", ["CERT", "KEY"])
def test_a_certificate_goes_with_its_key(
    server: str, tls: Variables, part: str, client: Identity, refusal: Refusal
) -> None:
    said = refusal(tls | {f"SHOAL_{server}_{part}_FILE": str(client.cert)})
    assert said == f"SHOAL_{server}_CERT_FILE and SHOAL_{server}_KEY_FILE go together: set both"


@pytest.mark.parametrize(("server", "tls"), [("KAFKA", TLS), ("REDIS", REDIS_TLS)])
def test_a_key_password_without_a_key_is_refused(
    server: str, tls: Variables, refusal: Refusal
) -> None:
    said = refusal(tls | {f"SHOAL_{server}_KEY_PASSWORD": PASSWORD})
    assert f"SHOAL_{server}_KEY_PASSWORD is set, but SHOAL_{server}_KEY_FILE is not" in said


@pytest.mark.parametrize(("server", "tls"), [("KAFKA", TLS), ("REDIS", REDIS_TLS)])
@pytest.mark.parametrize("part", ["CA", "CERT", "KEY"])
def test_a_file_that_is_missing_is_named(
    server: str, tls: Variables, part: str, refusal: Refusal
) -> None:
    setting = f"SHOAL_{server}_{part}_FILE"
    assert refusal(tls | {setting: "no.pem"}) == f"{setting}: file no.pem does not exist"


@pytest.mark.parametrize(("server", "tls"), [("KAFKA", TLS), ("REDIS", REDIS_TLS)])
def test_a_file_that_holds_no_certificate_is_named(
    server: str, tls: Variables, client: Identity, refusal: Refusal
) -> None:
    said = refusal(tls | {f"SHOAL_{server}_CA_FILE": str(client.key)})
    assert said == f"SHOAL_{server}_CA_FILE: {client.key} holds no certificate in PEM form"


@pytest.mark.parametrize("password", [None, "wrong"])
@pytest.mark.parametrize(("server", "tls"), [("KAFKA", TLS), ("REDIS", REDIS_TLS)])
def test_a_locked_key_without_its_password_is_refused_and_nobody_is_asked_for_it(
    server: str, tls: Variables, password: str | None, locked: Identity, refusal: Refusal
) -> None:
    given = {
        f"SHOAL_{server}_CERT_FILE": str(locked.cert),
        f"SHOAL_{server}_KEY_FILE": str(locked.key),
    }
    if password is not None:
        given[f"SHOAL_{server}_KEY_PASSWORD"] = password
    assert f"SHOAL_{server}_KEY_PASSWORD is not the key's" in refusal(tls | given)


def test_a_locked_key_with_its_password_is_taken(locked: Identity) -> None:
    settings = load_settings(
        kafka_security_protocol="SSL",
        kafka_cert_file=locked.cert,
        kafka_key_file=locked.key,
        kafka_key_password=PASSWORD,
    )
    assert settings.kafka_tls() is not None


def test_a_broker_with_a_user_in_it_is_refused_without_being_quoted(refusal: Refusal) -> None:
    said = refusal({"SHOAL_KAFKA": "shoal:hunter2@broker:9092"})
    assert said.startswith("SHOAL_KAFKA: host:port without a user")


def test_user_and_password_of_redis_win_over_those_of_the_url() -> None:
    settings = load_settings(
        redis="redis://a:b@cache:1/0", redis_username="u", redis_password=PASSWORD
    )
    assert settings.redis_url() == f"redis://u:{quote(PASSWORD, safe='')}@cache:1/0"
    only = load_settings(redis="redis://a:b@cache:1/0", redis_password=PASSWORD)
    assert only.redis_url() == f"redis://a:{quote(PASSWORD, safe='')}@cache:1/0"


@pytest.fixture
def secretive(locked: Identity) -> Settings:
    """Settings with a secret wherever there may be one."""
    files = {"cert_file": locked.cert, "key_file": locked.key, "key_password": PASSWORD}
    return load_settings(
        kafka_security_protocol="SASL_SSL",
        kafka_username="shoal",
        kafka_password=PASSWORD,
        redis="rediss://:hunter2@cache:6379/0",
        redis_username="shoal",
        redis_password=PASSWORD,
        **{
            f"{server}_{name}": value
            for server in ("kafka", "redis")
            for name, value in files.items()
        },
    )


def test_settings_show_no_secret(secretive: Settings) -> None:
    shown = [repr(secretive), str(secretive), f"{secretive.redis}", secretive.model_dump_json()]
    shown += [str(secretive.model_dump()), str(secretive.model_dump(mode="json"))]
    assert "hunter2" not in "".join(shown)


def test_the_environment_gives_another_process_the_same_settings_with_their_secrets(
    secretive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in secretive.environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == secretive


def test_secrets_come_from_files_unless_the_environment_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shoal_redis_password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    (tmp_path / "shoal_redis_username").write_text("shoal", encoding="utf-8")
    (tmp_path / "of_somebody_else").write_text("1", encoding="utf-8")
    monkeypatch.setenv("SHOAL_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SHOAL_REDIS_USERNAME", "root")
    settings = load_settings()
    assert settings.redis_password is not None
    assert settings.redis_password.get_secret_value() == PASSWORD
    assert settings.redis_username == "root"


def test_a_directory_of_secrets_that_is_missing_is_named(refusal: Refusal, tmp_path: Path) -> None:
    said = refusal({"SHOAL_SECRETS_DIR": str(tmp_path / "none")})
    assert said == f"SHOAL_SECRETS_DIR names {tmp_path / 'none'}, no directory: correct the path"


@pytest.mark.parametrize(
    "line",
    [
        "kafka_password: [hunter2",
        "kafka_password: *hunter2",
        "kafka_password: !hunter2 x",
        "kafka_password: !!int hunter2",
        "kafka_password: 'hunter2",
        "kafka_password: hunter2: x",
    ],
)
def test_a_file_that_is_no_yaml_keeps_its_secrets(
    line: str, refusal: Refusal, tmp_path: Path
) -> None:
    path = tmp_path / "shoal.yaml"
    path.write_text(f"partitions: 3\n{line}\n", encoding="utf-8")
    assert refusal({"SHOAL_CONFIG": str(path)}).startswith(f"{path} is not readable YAML: ")


@pytest.mark.parametrize(
    "code", ["Settings(partitions='x')", "Settings(partitions='x', redis='x')"]
)
def test_an_error_that_nobody_catches_shows_no_secret(code: str) -> None:
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", f"from config.settings import Settings; {code}"],
        env=SASL | {"SHOAL_REDIS": "redis://:hunter2@cache:x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ValidationError" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SHOAL_REDIS": "redis://cache:6379/2"}, "a cluster has database 0 only"),
        ({"SHOAL_REDIS": "unix:///run/redis.sock"}, "name a node by host and port"),
        (REDIS_TLS | {"SHOAL_REDIS_KEY_PASSWORD": PASSWORD}, "too: use a key without"),
    ],
)
def test_what_a_cluster_cannot_have_is_refused(
    given: Variables, said: str, refusal: Refusal
) -> None:
    assert said in refusal({"SHOAL_REDIS_CLUSTER": "true"} | given)
