"""A gateway's configuration file; fields as docs/deployment.md has them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import yaml

from tacit.errors import TacitError

ROLES = ("dealer", "party0", "party1")


@dataclass(frozen=True)
class Config:
    """Addresses by role, and where this gateway's files are.

    `ca`, `cert` and `key` are None without TLS, which works on loopback only.
    """

    addresses: Mapping[str, str]
    model: Path
    ca: Path | None
    cert: Path | None
    key: Path | None
    name: str = "local"
    step_timeout: float = 30.0  # seconds of a party's silence


def _is_loopback(address: str) -> bool:
    host = address.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _seconds(text: object) -> float:
    units = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    value = str(text).strip()
    for unit in ("ms", "s", "m", "h"):
        if value.endswith(unit):
            try:
                return float(value[: -len(unit)]) * units[unit]
            except ValueError:
                break
    raise ValueError(f"{value!r} is no duration such as 30s")


def load_config(path: str | Path) -> Config:
    """Reads a gateway's YAML file. Paths in it are relative to its folder.

    Raises TacitError INVALID_ARGUMENT, naming the field, or NOT_FOUND.
    """
    file = Path(path)
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TacitError("NOT_FOUND", f"{file} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TacitError("INVALID_ARGUMENT", f"{file}: {error}") from None

    def bad(field: str, why: str) -> TacitError:
        return TacitError("INVALID_ARGUMENT", f"{file}: {field}: {why}")

    def get(field: str) -> Any:
        value: Any = raw
        for part in field.split("."):
            if not isinstance(value, dict):
                return None
            value = value.get(part)
        return value

    def file_of(field: str) -> Path:
        value = get(field)
        if not isinstance(value, str) or not value:
            raise bad(field, "is missing")
        return file.parent / value

    addresses = {}
    for role in ROLES:
        address = get(f"{role}.address")
        port = address.rpartition(":")[2] if isinstance(address, str) else ""
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise bad(f"{role}.address", "must be HOST:PORT")
        addresses[role] = address
    insecure = get("tls.insecure") is True
    if insecure:
        for role, address in addresses.items():
            if not _is_loopback(address):
                raise bad("tls.insecure", f"{role} is at {address}, not on loopback")
    elif get("tls.check_hostname") is False:
        raise bad("tls.check_hostname", "the Python SDK always checks host names")
    name = str(get("name") or "local")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", name):
        raise bad("name", "letters, digits, '_', '.' and '-' only")
    try:
        step = get("deadlines.step")
        step_timeout = 30.0 if step is None else _seconds(step)
    except ValueError as error:
        raise bad("deadlines.step", str(error)) from None
    return Config(
        addresses=addresses,
        model=file_of("model"),
        ca=None if insecure else file_of("tls.ca"),
        cert=None if insecure else file_of("tls.cert"),
        key=None if insecure else file_of("tls.key"),
        name=name,
        step_timeout=step_timeout,
    )
