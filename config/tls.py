"""TLS to Kafka and Redis, from files in PEM form."""

import ssl
from pathlib import Path


def tls_context(
    server: str,
    *,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    key_password: str | None,
) -> ssl.SSLContext:
    """A client's context, which verifies the server's certificate and name.

    Parameters
    ----------
    server
        How the names of the settings begin: `SHOAL_KAFKA`.
    ca_file
        Whom to trust; None trusts whom the system trusts.

    Raises
    ------
    ValueError
        A file cannot be used; the message names its setting.
    """
    if (cert_file is None) != (key_file is None):
        raise ValueError(f"{server}_CERT_FILE and {server}_KEY_FILE go together: set both")
    if key_password is not None and key_file is None:
        raise ValueError(f"{server}_KEY_PASSWORD is set, but {server}_KEY_FILE is not: set it")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ValueError(f"{server}_CA_FILE: {ca_file} holds no certificate in PEM form") from None
    if cert_file is not None:
        try:
            # Never None: OpenSSL would ask the terminal for the password of an encrypted key.
            context.load_cert_chain(cert_file, key_file, password=key_password or "")
        except (OSError, ValueError):
            raise ValueError(
                f"{server}_CERT_FILE and {server}_KEY_FILE: {cert_file} and {key_file} are no "
                f"certificate and its key in PEM form, or {server}_KEY_PASSWORD is not the key's"
            ) from None
    return context
