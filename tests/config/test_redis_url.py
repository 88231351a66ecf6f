"""A Redis URL is read whole and shown without what is secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import parse_url

from config.redis_url import RedisUrl, check_redis_url, redact, with_credentials


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://user:hunter2@cache.example:6380/1", "rediss://cache.example:6380/1"),
        ("redis://:hunter2@[::1]:6379", "redis://[::1]:6379"),
        ("redis://cache/0?password=hunter2", "redis://cache/0"),
        ("redis://cache/0?password=hunter2@x", "redis://***"),
        ("redis://:hunter2/x@cache:6379/0", "redis://***"),
        ("redis://:hunter2?x@cache:6379/0", "redis://***"),
        ("redis://:hunter2#x@cache:6379/0", "redis://***"),
        ("redis://u:12345/x@cache:6379/0", "redis://***"),
        ("redis://:x@hunter2@cache:6379/0", "redis://cache:6379/0"),
        ("redis://:hunter2", "redis://***"),
        ("redis://[hunter2", "redis://***"),
        ("unix://user:hunter2@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert repr(RedisUrl(url)) == f"RedisUrl({shown!r})"
    assert f"{RedisUrl(url)}" == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/x@cache:6379/0",
        "redis://:12345/x@cache:6379/0",
        "redis://:12345?hunter2@cache:6379/0",
        "redis://:12345#hunter2@cache:6379/0",
        "redis://[hunter2",
        "redis://:hunter2@cache/0?db=hunter2",
    ],
)
def test_a_url_that_would_be_misread_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"percent-encode|an option of redis://cache/0") as caught:
        check_redis_url(url)
    assert "hunter2" not in str(caught.value)


@given(user=st.text(min_size=1), password=st.text(min_size=1))
@pytest.mark.parametrize("url", ["rediss://a:b@cache:6379/2", "unix:///run/redis.sock?db=2"])
def test_any_user_and_password_win_over_the_urls_own(url: str, user: str, password: str) -> None:
    ours = with_credentials(url, user, password)
    check_redis_url(ours)
    wanted = parse_url(url) | {"username": user, "password": password}
    assert parse_url(ours) == wanted
    assert redact(ours) == redact(url)
