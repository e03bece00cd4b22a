"""Channels to the roles: TLS 1.3 both ways, and whose certificate it is.

gRPC for Python checks a server's certificate against the CA and its host name,
but does not show the URI that names the role. So each role is asked for its
certificate in a handshake of its own, under TLS 1.3 and this gateway's CA; if its
URI is that role's, the channel trusts just this certificate and no CA. Whoever
answers the calls therefore holds the key of the certificate that was checked.

A role with a new certificate is checked anew when its connection is lost: the
next session goes to a new channel. What remains open: the channel itself would
take TLS 1.2 from a role that offers it; Tacit's do not.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

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


def check_role(
    config: Config, role: str, timeout: float = _HANDSHAKE_SECONDS
) -> bytes | None:
    """The certificate of `role`, PEM, after checking that it is that role's.

    None without TLS. Raises PERMISSION_DENIED if another role answers at its
    address, UNAVAILABLE if nobody does; UNAUTHENTICATED for another CA's
    certificate or host name.
    """
    if config.ca is None or config.cert is None or config.key is None:
        return None
    domain = trust_domain(_read(config.cert))
    host, port = config.addresses[role].rsplit(":", 1)
    host = host.strip("[]")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(config.ca)
        # Without a password an encrypted key would be asked for at the terminal.
        context.load_cert_chain(config.cert, config.key, password=b"")
    except (OSError, ssl.SSLError) as error:
        raise TacitError("INVALID_ARGUMENT", f"tls: {error}") from None
    try:
        with socket.create_connection((host, int(port)), timeout) as raw:
            with context.wrap_socket(raw, server_hostname=host) as connection:
                der = connection.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise TacitError(
            "UNAUTHENTICATED", f"{role} at {host}:{port}: {error.reason or error}"
        ) from None
    except (OSError, ValueError) as error:
        raise TacitError("UNAVAILABLE", f"{role} at {host}:{port}: {error}") from None
    wanted = f"spiffe://{domain}{_PATHS[role]}"
    certificate = x509.load_der_x509_certificate(der) if der else None
    uris = _uris(certificate) if certificate is not None else []
    if certificate is None or uris != [wanted]:
        raise TacitError(
            "PERMISSION_DENIED",
            f"{host}:{port} has a certificate of {uris}, not of {wanted}",
        )
    return certificate.public_bytes(Encoding.PEM)


def open_channel(
    config: Config, role: str, certificate: bytes | None, max_message_bytes: int
) -> grpc.Channel:
    """A channel to the holder of `certificate`, which check_role has checked.

    Nothing is sent yet. INVALID_ARGUMENT without a certificate where the
    configuration asks for TLS.
    """
    options: list[tuple[str, object]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    address = config.addresses[role]
    if config.ca is None or config.cert is None or config.key is None:
        # What a client without TLS says it is; servers take it on loopback only.
        claim = f"tacit-insecure/spiffe://tacit.local/gateway/{config.name}"
        options.append(("grpc.primary_user_agent", claim))
        return grpc.insecure_channel(address, options)
    if certificate is None:
        raise TacitError("INVALID_ARGUMENT", f"{role} was not checked")
    credentials = grpc.ssl_channel_credentials(
        certificate, _read(config.key), _read(config.cert)
    )
    return grpc.secure_channel(address, credentials, options)
