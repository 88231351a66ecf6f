"""Why a server that is there does not let us in, and what to do about it."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka import errors as kafka
from redis import exceptions as redis
from redis.asyncio.connection import parse_url

from config.settings import Settings

# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL.
_NAME_MISMATCH = frozenset((62, 64))


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server does, as the end of a sentence; `is_final` where waiting will not help."""

    problem: str
    action: str
    is_final: bool = True


def kafka_refusal(error: BaseException, settings: Settings) -> Refusal | None:
    """What an error of connecting to a broker means; None if it is just not there."""
    for cause in _causes(error):
        if isinstance(cause, kafka.SaslAuthenticationFailed):
            return Refusal(
                f"refuses the user {settings.kafka_username!r} or the password",
                "correct SHOAL_KAFKA_USERNAME and SHOAL_KAFKA_PASSWORD, or the "
                f"SHOAL_KAFKA_SASL_MECHANISM that this user has ({settings.kafka_sasl_mechanism})",
            )
        if isinstance(cause, kafka.UnsupportedSaslMechanismError):
            return Refusal(
                f"does not offer {settings.kafka_sasl_mechanism}",
                "set SHOAL_KAFKA_SASL_MECHANISM to what it offers",
            )
        if isinstance(cause, kafka.IllegalSaslStateError):
            return Refusal(
                "asks for no password there",
                "set SHOAL_KAFKA to its SASL listener, or SHOAL_KAFKA_SECURITY_PROTOCOL to SSL or "
                "PLAINTEXT",
            )
        if isinstance(cause, ssl.SSLError) and (refusal := _tls_refusal(cause, "SHOAL_KAFKA")):
            return refusal
    if _is_cut_off(error):
        return Refusal(
            f"ends the connection when it is spoken to as {settings.kafka_security_protocol}",
            "set SHOAL_KAFKA_SECURITY_PROTOCOL to what that listener speaks, or see its log",
            is_final=False,
        )
    return None


def redis_refusal(error: BaseException, settings: Settings) -> Refusal | None:
    """What an error of connecting to Redis means; None if it is just not there."""
    for cause in _causes(error):
        if isinstance(cause, redis.AuthenticationError):
            if not parse_url(settings.redis_url()).get("password"):
                return Refusal("asks for a password", "set SHOAL_REDIS_PASSWORD")
            return Refusal(
                "refuses the user or the password",
                "correct SHOAL_REDIS_USERNAME and SHOAL_REDIS_PASSWORD, or those in SHOAL_REDIS",
            )
        if isinstance(cause, redis.NoPermissionError):
            return Refusal(
                f"forbids this user what Shoal needs ({cause})",
                "give the user the rights that docs/operations.md lists under Security",
            )
        if isinstance(cause, ssl.SSLError) and (refusal := _tls_refusal(cause, "SHOAL_REDIS")):
            return refusal
    if _is_cut_off(error):
        other = (
            ("with TLS", "redis://") if settings.redis_uses_tls else ("without TLS", "rediss://")
        )
        return Refusal(
            f"ends the connection when it is spoken to {other[0]}",
            f"begin SHOAL_REDIS with {other[1]}, or see its log",
            is_final=False,
        )
    return None


def _tls_refusal(error: ssl.SSLError, server: str) -> Refusal | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAME_MISMATCH:
            return Refusal(
                "shows a certificate of another name",
                f"set {server} to a name that the certificate has, or issue it for this one",
            )
        return Refusal(
            f"shows a certificate that is not trusted ({error.verify_message})",
            f"set {server}_CA_FILE to the certificate of its issuer",
        )
    reason = error.reason or ""
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        way = "redis://" if server == "SHOAL_REDIS" else "SHOAL_KAFKA_SECURITY_PROTOCOL"
        return Refusal("does not speak TLS there", f"set {server} to its TLS port, or use {way}")
    if "ALERT" in reason:
        return Refusal(
            f"ends TLS ({reason.lower().replace('_', ' ')})",
            f"set {server}_CERT_FILE and {server}_KEY_FILE to a certificate that it trusts",
        )
    return None


def _is_cut_off(error: BaseException) -> bool:
    return any(
        isinstance(cause, ConnectionResetError | EOFError | ssl.SSLError)
        or "closed by server" in str(cause)  # redis-py's own words
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
