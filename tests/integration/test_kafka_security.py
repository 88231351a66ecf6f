"""A Kafka that demands TLS and a password is reached, or what is wrong is said in one line."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from config.settings import load_settings
from stream.reach import UnreachableError, reach_kafka
from tests.secure_servers import PASSWORD, Authority, SecureKafka

pytestmark = [pytest.mark.slow, pytest.mark.apache]

Given = dict[str, Any]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "other")


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("kafka"), authority) as started:
        yield started


@pytest.fixture
def given(server: SecureKafka, authority: Authority) -> Given:
    """Settings that are right."""
    return {
        "kafka": server.address,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_username": "shoal",
        "kafka_password": PASSWORD,
        "kafka_ca_file": authority.ca,
        "start_timeout_seconds": 10,
    }


@pytest.fixture
def mutual(server: SecureKafka, authority: Authority) -> Given:
    """Settings of the listener that asks for a certificate; there is none yet."""
    return {
        "kafka": server.mutual_address,
        "kafka_security_protocol": "SSL",
        "kafka_ca_file": authority.ca,
        "start_timeout_seconds": 10,
    }


async def refused(caplog: pytest.LogCaptureFixture, **given: Any) -> str:
    """What is said; neither in it nor in what led to it is the password."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UnreachableError) as caught:
        await reach(given)
    said = str(caught.value)
    assert "hunter2" not in caplog.text + repr(caught.getrepr(chain=True))
    assert "\n" not in said
    return said


async def reach(given: Given) -> None:
    async with reach_kafka(load_settings(**given)) as admin:
        assert (await admin.describe_cluster())["cluster_id"]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_who_knows_the_password_and_trusts_the_broker_is_let_in(
    mechanism: str, given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await reach(given | {"kafka_sasl_mechanism": mechanism})
    assert "Authenticated as shoal" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
@pytest.mark.parametrize("wrong", [{"kafka_password": "hunter2"}, {"kafka_username": "nobody"}])
async def test_a_wrong_user_or_password(
    mechanism: str, wrong: Given, given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    said = await refused(caplog, **given | wrong | {"kafka_sasl_mechanism": mechanism})
    assert f"refuses the user {(given | wrong)['kafka_username']!r} or the password" in said
    assert "correct SHOAL_KAFKA_USERNAME and SHOAL_KAFKA_PASSWORD" in said


async def test_a_mechanism_that_is_not_offered(
    given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    said = await refused(caplog, **given | {"kafka_sasl_mechanism": "SCRAM-SHA-256"})
    assert "does not offer SCRAM-SHA-256: set SHOAL_KAFKA_SASL_MECHANISM" in said


async def test_a_broker_of_another_authority(
    given: Given, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    said = await refused(caplog, **given | {"kafka_ca_file": stranger.ca})
    assert "shows a certificate that is not trusted (" in said
    assert said.endswith(": set SHOAL_KAFKA_CA_FILE to the certificate of its issuer")


async def test_a_certificate_of_another_name(
    given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    brokers = given["kafka"].replace("127.0.0.1", "localhost")
    said = await refused(caplog, **given | {"kafka": brokers})
    assert "shows a certificate of another name: set SHOAL_KAFKA to a name that" in said


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT"])
async def test_another_protocol_than_the_listener_speaks(
    protocol: str, given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"kafka_security_protocol": protocol, "start_timeout_seconds": 1}
    if not protocol.startswith("SASL"):
        wrong |= {"kafka_username": None, "kafka_password": None}
    if not protocol.endswith("SSL"):
        wrong |= {"kafka_ca_file": None}
    said = await refused(caplog, **given | wrong)
    assert f"ends the connection when it is spoken to as {protocol}: set SHOAL_KAFKA_SEC" in said


async def test_a_password_where_none_is_asked_for(
    given: Given, mutual: Given, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    ours = authority.issue("client")
    files = {"kafka_cert_file": ours.cert, "kafka_key_file": ours.key}
    said = await refused(caplog, **given | files | {"kafka": mutual["kafka"]})
    assert "asks for no password there: set SHOAL_KAFKA to its SASL listener, or" in said


async def test_no_certificate_where_one_is_demanded(
    mutual: Given, caplog: pytest.LogCaptureFixture
) -> None:
    said = await refused(caplog, **mutual)
    assert "ends TLS (" in said
    assert "set SHOAL_KAFKA_CERT_FILE and SHOAL_KAFKA_KEY_FILE" in said


@pytest.mark.parametrize("key_password", [None, PASSWORD])
async def test_a_certificate_that_the_broker_trusts(
    mutual: Given, authority: Authority, key_password: str | None
) -> None:
    ours = authority.issue("client", key_password=key_password)
    files = {"kafka_cert_file": ours.cert, "kafka_key_file": ours.key}
    await reach(mutual | files | {"kafka_key_password": key_password})
