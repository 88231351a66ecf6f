"""A Redis URL, which may hold a password and does not show it."""

from urllib.parse import quote, urlsplit

from pydantic import Secret
from redis.asyncio.connection import parse_url

SCHEMES = ("redis://", "rediss://", "unix://")


class RedisUrl(Secret[str]):
    """Prints without user, password and options; `get_secret_value` is the whole URL.

    >>> RedisUrl("redis://shop:secret@cache:6379/2?socket_timeout=1")
    RedisUrl('redis://cache:6379/2')
    """

    def _display(self) -> str:
        return redact(self.get_secret_value())


def redact(url: str) -> str:
    """A Redis URL without user, password and options.

    >>> redact("redis://shop:secret@cache:6379/2?socket_timeout=1")
    'redis://cache:6379/2'
    >>> redact("redis://:se/cret@cache:6379/2")
    'redis://***'
    """
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2] if parts.port or parts.hostname else ""
    except ValueError:
        return f"{scheme}://***"
    # An @ behind the host means that the password ended where nobody thought it would.
    if "@" in parts.path + parts.query + parts.fragment or not (place or scheme == "unix"):
        return f"{scheme}://***"
    return f"{scheme}://{place}{parts.path}"


def check_redis_url(url: str) -> None:
    """Return if redis-py can read the URL.

    Raises
    ------
    ValueError
        It cannot; the message does not quote it.
    """
    if not url.startswith(SCHEMES):
        raise ValueError("expected redis://host:port/db, rediss:// or unix://")
    try:
        _ = urlsplit(url).port
    except ValueError:
        # Its own message would show the password.
        raise ValueError(
            "the port is not a number from 1 to 65535 (percent-encode / ? # @ : in a password)"
        ) from None
    try:
        parse_url(url)
    except ValueError:
        raise ValueError(f"an option of {redact(url)} has a value that it cannot have") from None
    if "@" in url and redact(url).endswith("***"):
        raise ValueError("a / ? # @ or : in the user or the password must be percent-encoded")


def with_credentials(url: str, username: str | None, password: str | None) -> str:
    """The URL with this user and password in place of its own; None leaves what is there.

    >>> with_credentials("redis://shop:old@cache:6379/2", None, "p/w")
    'redis://shop:p%2Fw@cache:6379/2'
    """
    if username is None and password is None:
        return url
    parts = urlsplit(url)
    user = parts.username or "" if username is None else quote(username, safe="")
    word = parts.password or "" if password is None else quote(password, safe="")
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{word}@{place}").geturl()
