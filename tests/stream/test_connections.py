"""Every client is made of the same settings, and a password that it sends is in no log."""

import logging
from typing import Any

import pytest
from aiokafka.protocol.admin import SaslAuthenticateRequest
from aiokafka.protocol.metadata import MetadataRequest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from config.settings import Settings, load_settings
from stream.app import create_worker_app
from stream.connections import kafka_options
from tests.secure_servers import PASSWORD

SASL: dict[str, Any] = {"kafka_username": "shoal", "kafka_password": PASSWORD}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_faust_connects_as_all_others_do(protocol: str, mechanism: str) -> None:
    credentials = SASL if protocol.startswith("SASL") else {}
    settings = load_settings(
        kafka="one:9092,two:9092",
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism=mechanism,
        **credentials,
    )
    ours = kafka_options(settings)
    app = create_worker_app(settings)
    fausts: dict[str, Any] = dict(credentials_to_aiokafka_auth(app.conf.broker_credentials))
    assert {str(url) for url in app.conf.broker} == {"kafka://one:9092", "kafka://two:9092"}
    assert ours.pop("bootstrap_servers") == "one:9092,two:9092"
    for options in (ours, fausts):
        options["ssl_context"] = options.get("ssl_context") is not None
    assert fausts == ours
    assert PASSWORD not in repr(app.conf.broker_credentials)


def test_a_password_on_its_way_to_a_broker_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kafka_options(Settings())
    log = logging.getLogger("aiokafka.conn")
    password = SaslAuthenticateRequest(b"\0shoal\0hunter2").prepare({36: (0, 1)})
    metadata = MetadataRequest([]).prepare({3: (0, 5)})
    for request in (password, metadata):
        log.debug("Request to %s:%d %d: %s", "one", 9092, 1, request)
    assert "hunter2" in str(password)
    assert "hunter2" not in caplog.text
    assert "MetadataRequest" in caplog.text
