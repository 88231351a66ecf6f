"""A Redis that demands TLS and a password is reached, or what is wrong is said in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import load_settings
from stream.embedded import EmbeddedRedis
from stream.names import Keys
from stream.preflight import check
from stream.reach import UnreachableError, reach_redis
from stream.redis_store import RedisStore
from tests.redis_cluster import ValkeyCluster, ask
from tests.secure_servers import (
    NO_REDIS_SERVER,
    PASSWORD,
    REDIS_SERVER,
    Authority,
    SecureRedis,
    listed_rights,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REDIS_SERVER is None, reason=NO_REDIS_SERVER),
]

Given = dict[str, Any]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "other")


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    with SecureRedis(tmp_path_factory.mktemp("redis"), authority) as started:
        yield started


@pytest.fixture(scope="module")
def mutual(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    directory = tmp_path_factory.mktemp("redis")
    with SecureRedis(directory, authority, wants_certificate=True) as started:
        yield started


@pytest.fixture
def given(server: SecureRedis, authority: Authority) -> Given:
    """Settings that are right."""
    return {
        "redis": server.url,
        "redis_username": "shoal",
        "redis_password": PASSWORD,
        "redis_ca_file": authority.ca,
        "start_timeout_seconds": 5,
    }


async def refused(**given: Any) -> str:
    """What is said; neither in it nor in what led to it is the password."""
    with pytest.raises(UnreachableError) as caught:
        async with reach_redis(load_settings(**given)):
            pass
    said = str(caught.value)
    assert "hunter2" not in repr(caught.getrepr(chain=True, showlocals=False))
    assert "\n" not in said
    return said


async def test_who_knows_the_password_and_trusts_the_server_is_let_in(given: Given) -> None:
    async with reach_redis(load_settings(**given)) as client:
        assert await client.ping()
        assert "hunter2" not in repr(client) + repr(vars(client))


async def test_the_password_may_stand_in_the_url(given: Given) -> None:
    url = load_settings(**given).redis_url()
    async with reach_redis(
        load_settings(redis=url, redis_ca_file=given["redis_ca_file"])
    ) as client:
        assert await client.ping()


async def test_a_wrong_password(given: Given) -> None:
    said = await refused(**given | {"redis_password": "hunter2"})
    assert "refuses the user or the password: correct SHOAL_REDIS_USERNAME and" in said


async def test_no_password(given: Given) -> None:
    said = await refused(**given | {"redis_username": None, "redis_password": None})
    assert said.endswith("asks for a password: set SHOAL_REDIS_PASSWORD")


async def test_a_server_of_another_authority(given: Given, stranger: Authority) -> None:
    said = await refused(**given | {"redis_ca_file": stranger.ca})
    assert "shows a certificate that is not trusted (" in said
    assert said.endswith(": set SHOAL_REDIS_CA_FILE to the certificate of its issuer")


async def test_a_certificate_of_another_name(given: Given) -> None:
    url = given["redis"].replace("127.0.0.1", "localhost")
    said = await refused(**given | {"redis": url})
    assert "shows a certificate of another name: set SHOAL_REDIS to a name that" in said


async def test_no_tls_where_it_is_demanded(given: Given) -> None:
    url = given["redis"].replace("rediss://", "redis://")
    short = {"redis_ca_file": None, "start_timeout_seconds": 0.5}
    said = await refused(**given | short | {"redis": url})
    assert "without TLS: begin SHOAL_REDIS with rediss://" in said


async def test_tls_where_nobody_speaks_it(
    redis_server: EmbeddedRedis, authority: Authority
) -> None:
    url = redis_server.url.replace("redis://", "rediss://")
    said = await refused(redis=url, redis_ca_file=authority.ca, start_timeout_seconds=0.5)
    assert said.startswith(f"Redis does not answer at {url}: ")
    assert "redis:// without TLS" in said


async def test_no_certificate_where_one_is_demanded(given: Given, mutual: SecureRedis) -> None:
    said = await refused(**given | {"redis": mutual.url})
    assert "certificate required): set SHOAL_REDIS_CERT_FILE and SHOAL_REDIS_KEY_FILE" in said


async def test_a_certificate_of_another_authority(
    given: Given, mutual: SecureRedis, stranger: Authority
) -> None:
    ours = stranger.issue("client")
    files = {"redis_cert_file": ours.cert, "redis_key_file": ours.key}
    assert "unknown ca): set SHOAL_REDIS_CERT_FILE" in await refused(
        **given | files | {"redis": mutual.url}
    )


@pytest.mark.parametrize("key_password", [None, PASSWORD])
async def test_a_certificate_that_the_server_trusts(
    given: Given, mutual: SecureRedis, authority: Authority, key_password: str | None
) -> None:
    ours = authority.issue("client", key_password=key_password)
    files = {
        "redis_cert_file": ours.cert,
        "redis_key_file": ours.key,
        "redis_key_password": key_password,
    }
    async with reach_redis(load_settings(**given | files | {"redis": mutual.url})) as client:
        assert await client.ping()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("~other:* -@all +@read +@write +ping +evalsha", "cannot be written to ("),
        ("~shoal:* -@all +@read +ping", "cannot be written to ("),
        ("~shoal:* -@all +@read +@write +ping", "has no permissions to run the 'evalsha' command"),
        ("~shoal:* -@all", "forbids this user what Shoal needs ("),
    ],
)
async def test_rights_that_are_missing_are_named_before_anything_starts(
    rules: str, said: str, given: Given, authority: Authority, tmp_path: Path
) -> None:
    with SecureRedis(tmp_path, authority, rules=rules) as server:
        own = {"redis": server.url, "start_timeout_seconds": 2}
        findings = await check(load_settings(**given | own))
    (finding,) = [finding for finding in findings if finding.name == "redis"]
    assert not finding.ok
    assert said in finding.detail
    assert finding.action


async def test_the_rights_that_the_page_lists_are_enough_for_a_cluster(
    cluster: ValkeyCluster, namespace: str
) -> None:
    for node in cluster.nodes:
        ask(node, "ACL SETUSER", namespace, "on", f">{PASSWORD}", *listed_rights(namespace).split())
    settings = load_settings(
        redis=cluster.url,
        redis_cluster=True,
        redis_replicas=1,
        redis_username=namespace,
        redis_password=PASSWORD,
        namespace=namespace,
        start_timeout_seconds=2,
    )
    findings = {finding.name: finding for finding in await check(settings)}
    assert findings["redis"].ok
    assert findings["durability"].ok
    async with reach_redis(settings) as client:
        store = RedisStore(client, Keys(namespace), replicas=1)
        assert (await store.claim(0, owner="me")).epoch == 1
    denied = [entry for node in cluster.nodes for entry in ask(node, "ACL LOG")]
    assert {e["object"] for e in denied if e["username"] == namespace} <= {"client|setinfo"}
