"""Channels to the roles: TLS 1.3 both ways, and whose certificate it is.

gRPC for Python checks a server's certificate against the CA and its host name,
but not the role that its URI names. So each role is asked for its certificate in
a handshake of its own before the first call. What remains open: a role that
passes this check and lets another, with a certificate of the same CA for the
same host name, answer the calls after it.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from cryptography import x509

from tacit.config import Config
from tacit.errors import TacitError

_PATHS = {"dealer": "/dealer", "party0": "/party/0", "party1": "/party/1"}
_HANDSHAKE_SECONDS = 10.0


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TacitError("NOT_FOUND", f"{path}: {error.strerror}") from None


def trust_domain(certificate: bytes) -> str:
    """Of the gateway's own certificate, PEM. INVALID_ARGUMENT if it has none."""
    try:
        uris = _uris(x509.load_pem_x509_certificate(certificate))
    except ValueError:
        raise TacitError(
            "INVALID_ARGUMENT", "tls.cert is no PEM certificate"
        ) from None
    for uri in uris:
        parts = urlsplit(uri)
        if parts.scheme == "spiffe" and parts.path.startswith("/gateway/"):
            return parts.netloc
    raise TacitError(
        "INVALID_ARGUMENT",
        "tls.cert names no gateway: it needs a URI spiffe://DOMAIN/gateway/NAME",
    )


def check_role(config: Config, role: str) -> None:
    """Raises PERMISSION_DENIED unless `role` answers at its address.

    UNAVAILABLE if nobody answers; UNAUTHENTICATED for another CA's certificate
    or host name.
    """
    if config.ca is None or config.cert is None or config.key is None:
        return
    domain = trust_domain(_read(config.cert))
    host, port = config.addresses[role].rsplit(":", 1)
    host = host.strip("[]")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = config.check_hostname
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(config.ca)
        context.load_cert_chain(config.cert, config.key)
    except (OSError, ssl.SSLError) as error:
        raise TacitError("INVALID_ARGUMENT", f"tls: {error}") from None
    try:
        with socket.create_connection((host, int(port)), _HANDSHAKE_SECONDS) as raw:
            with context.wrap_socket(raw, server_hostname=host) as connection:
                der = connection.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise TacitError(
            "UNAUTHENTICATED", f"{role} at {host}:{port}: {error.reason or error}"
        ) from None
    except (OSError, ValueError) as error:
        raise TacitError("UNAVAILABLE", f"{role} at {host}:{port}: {error}") from None
    wanted = f"spiffe://{domain}{_PATHS[role]}"
    uris = _uris(x509.load_der_x509_certificate(der)) if der else []
    if uris != [wanted]:
        raise TacitError(
            "PERMISSION_DENIED",
            f"{host}:{port} has a certificate of {uris}, not of {wanted}",
        )


def open_channel(config: Config, role: str, max_message_bytes: int) -> grpc.Channel:
    """A channel to `role`; nothing is sent yet."""
    options: list[tuple[str, object]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    address = config.addresses[role]
    if config.ca is None or config.cert is None or config.key is None:
        # What a client without TLS says it is; servers take it on loopback only.
        claim = f"tacit-insecure/spiffe://tacit.local/gateway/{config.name}"
        options.append(("grpc.primary_user_agent", claim))
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(
        _read(config.ca), _read(config.key), _read(config.cert)
    )
    if not config.check_hostname:
        raise TacitError(
            "INVALID_ARGUMENT",
            "tls.check_hostname: false is not supported by the Python SDK",
        )
    return grpc.secure_channel(address, credentials, options)
