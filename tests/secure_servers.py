"""Servers that let in only those who know a password and can tell whom they talk to."""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from ssl import create_default_context

import redis
import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stream.embedded import EmbeddedRedis
from stream.server_process import HOST, free_port
from tests.apache_kafka import ApacheKafka
from tests.pages import OPERATIONS, blocks, section

# With what a URL, a format or a shell might stumble over.
PASSWORD = "hunter2:/?#@ %s{}$"  # noqa: S105 - of servers that live for one test
ADMIN_PASSWORD = "correct-horse-battery"  # noqa: S105 - likewise
SECURITY = section(OPERATIONS, "Security")
# Numbers of Kafka's protocol, of which aiokafka knows none.
RESOURCES = {"TOPIC": 2, "GROUP": 3}
MAY = {"READ": 3, "WRITE": 4, "CREATE": 5, "DESCRIBE": 8, "DESCRIBE_CONFIGS": 10}
PREFIXED, ALLOW = 4, 3
REDIS_SERVER = shutil.which("redis-server")
NO_REDIS_SERVER = "no redis-server with TLS on this machine: apt-get install redis-server"


def listed_rights(namespace: str) -> str:
    """The rules that docs/operations.md has for a user of Redis, for another namespace."""
    (rules,) = blocks(SECURITY, "text")
    return " ".join(rules.split()).replace("~shoal:", f"~{namespace}:")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, in PEM files; `both` is key and certificate in one."""

    cert: Path
    key: Path
    both: Path


class Authority:
    """Issues certificates for names on this machine; `ca` is the file to trust them by."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *, key_password: str | None = None) -> Identity:
        """A certificate of `name`, which is a host, an address or a client's."""
        issued = self._authority.issue_cert(name)
        # Kafka reads PKCS #8 and nothing else.
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        locked: KeySerializationEncryption = NoEncryption()
        if key_password is not None:
            locked = BestAvailableEncryption(key_password.encode())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        kind = "locked" if key_password else "open"
        identity = Identity(
            *(self._directory / f"{name}-{kind}-{part}.pem" for part in ("cert", "key", "both"))
        )
        identity.cert.write_bytes(chain)
        identity.key.write_bytes(pem)
        identity.both.write_bytes(pem + chain)
        return identity


class SecureKafka(ApacheKafka):
    """Kafka that asks `shoal` for a password over TLS, by PLAIN or SCRAM-SHA-512.

    Its certificate is of 127.0.0.1 and of no other name; `shoal` may do what `allow` says.
    At `mutual_address` it asks for a certificate instead of a password.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        port, mutual_port, controller_port = (free_port() for _ in range(3))
        self.mutual_address = f"{HOST}:{mutual_port}"
        controller = f"{HOST}:{controller_port}"
        modules = "org.apache.kafka.common.security"
        extra = {
            "listeners": f"SASL_SSL://{HOST}:{port},SSL://{self.mutual_address},"
            f"CONTROLLER://{controller}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
            "controller.quorum.bootstrap.servers": controller,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{modules}.plain.PlainLoginModule required username="admin" '
                f'password="{ADMIN_PASSWORD}" user_admin="{ADMIN_PASSWORD}" '
                f'user_shoal="{PASSWORD}";'
            ),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                f"{modules}.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.issue(HOST).both),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.ca),
            "listener.name.ssl.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",
        }
        scram = f"SCRAM-SHA-512=[name=shoal,password={PASSWORD}]"
        super().__init__(
            directory,
            port=port,
            protocol="SASL_SSL",
            extra=extra,
            formatting=("--add-scram", scram),
        )
        self.ca = authority.ca

    async def allow(self, resource: str, prefix: str, operation: str) -> None:
        """Let `shoal` do something with all topics or groups of a prefix."""
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self.address,
            security_protocol="SASL_SSL",
            sasl_mechanism="PLAIN",
            sasl_plain_username="admin",
            sasl_plain_password=ADMIN_PASSWORD,
            ssl_context=create_default_context(cafile=self.ca),
        )
        await admin.start()
        try:
            rule = CreateAclsRequest(
                RESOURCES[resource],
                prefix,
                PREFIXED,
                "User:shoal",
                "*",
                MAY[operation],
                ALLOW,
            )
            answer = await admin._send_to_controller(rule)
            assert [code for code, _ in answer.creation_responses] == [0]
        finally:
            await admin.close()


class SecureRedis(EmbeddedRedis):
    """Redis with TLS; `shoal` may what the rules say, `admin` everything, nobody else anything.

    Parameters
    ----------
    rules
        What the user `shoal` may do, as ACL rules.
    wants_certificate
        Whether a client must show a certificate of the authority.
    """

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        *,
        rules: str = "~* &* +@all",
        wants_certificate: bool = False,
    ) -> None:
        self._authority = authority
        self._identity = authority.issue(HOST)
        users = directory / "users.acl"
        directory.mkdir(parents=True, exist_ok=True)
        users.write_text(
            "user default off\n"
            f"user shoal on #{sha256(PASSWORD.encode()).hexdigest()} {rules}\n"
            f"user admin on >{ADMIN_PASSWORD} ~* &* +@all\n"
        )
        options = {
            "aclfile": str(users),
            "tls-cert-file": str(self._identity.cert),
            "tls-key-file": str(self._identity.key),
            "tls-ca-cert-file": str(authority.ca),
            "tls-auth-clients": "yes" if wants_certificate else "no",
        }
        super().__init__(directory, program=Path(REDIS_SERVER or ""), options=options)

    @property
    def url(self) -> str:
        """For SHOAL_REDIS, without user and password."""
        return f"rediss://{self.address}/0"

    def admin(self) -> redis.Redis:
        """A client that may do everything."""
        return self._client(int(self.address.rpartition(":")[2]))

    def _command(self, port: int) -> list[str]:
        return [*super()._command(port), "--port", "0", "--tls-port", str(port)]

    def _answers(self, port: int) -> bool:
        try:
            with self._client(port) as client:
                client.ping()
                server = client.info("server")
        except redis.RedisError:
            return False
        return isinstance(server, dict) and server["process_id"] == self.pid

    def _client(self, port: int) -> redis.Redis:
        return redis.Redis(
            host=HOST,
            port=port,
            username="admin",
            password=ADMIN_PASSWORD,
            ssl=True,
            ssl_ca_certs=str(self._authority.ca),
            ssl_certfile=str(self._identity.cert),
            ssl_keyfile=str(self._identity.key),
            decode_responses=True,
        )
