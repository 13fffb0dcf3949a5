"""The settings: where each comes from, what it may be, and all faults at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import marshmallow as ma
from dotenv import dotenv_values
from marshmallow import validate

from . import turns
from .address import check_url
from .errors import ConfigError, InvalidInput, nearest

PREFIX = "MINICELERY_"
REPLICATED = "replicated"
_URL = f"{PREFIX}REDIS_URL"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting, checked. Times are seconds, sizes bytes. ``from_env`` reads them from the environment.

    ``queues`` may have weights behind the names, see ``turns``.
    """

    redis_url: str = "redis://localhost:6379/0"
    namespace: str = ""
    app: str = ""
    worker_concurrency: int = 5
    worker_processes: int = 1
    max_tasks_per_child: int = 0
    max_memory_per_child: int = 0
    stall_limit: float = 120.0
    queues: tuple[str, ...] = ("default",)
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    pool_size: int = 50
    redis_timeout: float = 2.0
    patience: float = 5.0
    durability: str = "fast"
    replica_timeout: float = 1.0
    lease: float = 15.0
    grace: float = 25.0
    result_ttl: float = 86_400.0
    idempotency_ttl: float = 86_400.0
    max_body_bytes: int = 1_048_576
    allowed_origins: tuple[str, ...] = ()
    log_level: str = "INFO"
    log_format: str = "auto"

    @classmethod
    def from_env(cls, environ: Mapping[str, str], dotenv: Path | None = None, **overrides: Any) -> Self:
        """The settings of ``environ``, over those of a ``.env`` file, with ``overrides`` by field name over both.

        Raises ``ConfigError``, which lists every fault, and for a name nobody reads the nearest that is read.
        """
        from_file = {k: v for k, v in dotenv_values(dotenv).items() if v is not None} if dotenv else {}
        if not environ.get(_URL) and (environ.get("REDIS_HOST") or environ.get("REDIS_PORT")):
            from_file.pop(_URL, None)  # the environment names another server than the file
        merged = {**from_file, **environ}
        faults = [*_unknown_variables(merged), *_unknown_overrides(overrides)]
        given: dict[str, tuple[str, Any]] = {}
        for name, source in _SOURCES.items():
            if merged.get(source, "") != "":
                given[name] = (source, merged[source])
        given |= {name: (name, value) for name, value in overrides.items()}
        checked = _check(given, faults)
        checked |= _redis_url(merged, checked, faults)
        if faults:
            raise ConfigError(faults)
        return _agreeing(cls(**checked))

    def overridden(self, **overrides: Any) -> Self:
        """The same settings with some replaced, which are checked as those of ``from_env`` are."""
        faults = _unknown_overrides(overrides)
        checked = _check({name: (name, value) for name, value in overrides.items()}, faults)
        if faults:
            raise ConfigError(faults)
        return _agreeing(replace(self, **checked))

    @property
    def turns(self) -> turns.Turns:
        """The queues that a worker serves, by their names, and their weights."""
        return turns.read(self.queues)

    @property
    def confirm(self) -> float | None:
        """Seconds that a replica has to confirm a submission; None where none is asked."""
        return self.replica_timeout if self.durability == REPLICATED else None


class _Words(ma.fields.Field[tuple[str, ...]]):
    """A list of words, separated by commas where it comes as text."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else list(value)
        return tuple(word.strip() for word in words if word.strip())


def _are_queues(entries: tuple[str, ...]) -> None:
    try:
        turns.read(entries)
    except InvalidInput as error:
        raise ma.ValidationError(error.detail) from error


def _are_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
            raise ma.ValidationError(f"'{origin}' is not an origin; give https://host or https://host:port, or *")


def _is_redis_url(url: str) -> None:
    try:
        check_url(url)
    except ValueError as error:
        raise ma.ValidationError(str(error)) from error


def _number(low: float, high: float) -> ma.fields.Float:
    rule = f"give a number from {low:g} to {high:g}"
    return ma.fields.Float(validate=validate.Range(low, high, error=rule), error_messages={"invalid": rule})


def _whole(low: int, high: int) -> ma.fields.Integer:
    rule = f"give a whole number from {low} to {high}"
    return ma.fields.Integer(validate=validate.Range(low, high, error=rule), error_messages={"invalid": rule})


_NAMESPACE = validate.Regexp(r"[A-Za-z0-9_.{}-]{0,64}\Z", error="use at most 64 of A-Z a-z 0-9 _ . - and braces")

_FIELDS: dict[str, ma.fields.Field[Any]] = {
    "redis_url": ma.fields.String(validate=_is_redis_url),
    "namespace": ma.fields.String(validate=_NAMESPACE),
    "app": ma.fields.String(),
    "worker_concurrency": _whole(1, 1000),  # as many as a worker's board has slots
    "worker_processes": _whole(1, 100),
    "max_tasks_per_child": _whole(0, 1_000_000_000),
    "max_memory_per_child": _whole(0, 1_000_000_000),
    "stall_limit": _number(5, 86_400),
    "queues": _Words(validate=[_are_queues, validate.Length(min=1, error="name at least one queue")]),
    "api_host": ma.fields.String(),
    "api_port": _whole(1, 65_535),
    "pool_size": _whole(1, 10_000),
    "redis_timeout": _number(0.05, 60),
    "patience": _number(0, 600),
    "durability": ma.fields.String(validate=validate.OneOf(["fast", REPLICATED], error="give fast or replicated")),
    "replica_timeout": _number(0.001, 60),
    "lease": _number(0.5, 3600),
    "grace": _number(0, 86_400),
    "result_ttl": _number(1, 366 * 86_400),
    "idempotency_ttl": _number(1, 366 * 86_400),
    "max_body_bytes": _whole(1_000, 1_000_000_000),
    "allowed_origins": _Words(validate=_are_origins),
    "log_level": ma.fields.String(
        validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"], error="give DEBUG, INFO, WARNING or ERROR")
    ),
    "log_format": ma.fields.String(
        validate=validate.OneOf(["auto", "console", "json"], error="give auto, console or json")
    ),
}
_PLAIN = {"worker_concurrency", "worker_processes", "api_host", "api_port"}
_SOURCES = {name: name.upper() if name in _PLAIN else PREFIX + name.upper() for name in _FIELDS}
_REDIS_PARTS: dict[str, ma.fields.Field[Any]] = {
    "REDIS_HOST": ma.fields.String(validate=validate.Regexp(r"[^\s/@]+\Z", error="give a host name or address")),
    "REDIS_PORT": _whole(1, 65_535),
    "REDIS_DB": _whole(0, 1_000_000),
    "REDIS_PASSWORD": ma.fields.String(),
}

# Kubernetes sets such variables for a service that is called "minicelery".
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP)\w*)?=(tcp|udp)://|_PORT_\d+_(TCP|UDP)_")

assert set(_FIELDS) == {field.name for field in fields(Config)}


def without_password(url: str) -> str:
    """A Redis URL as it may be shown."""
    parts = urlsplit(url)
    if parts.password is not None:
        url = url.replace(parts.netloc, f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}", 1)
    options = parse_qsl(parts.query, keep_blank_values=True)
    if any(_is_secret(name) for name, _ in options):
        masked = [(name, "***" if _is_secret(name) else value) for name, value in options]
        url = f"{url.partition('?')[0]}?{urlencode(masked, safe='*/')}"
    return url


def _is_secret(option: str) -> bool:
    return option in ("password", "ssl_password", "sentinel_password")


def variables() -> dict[str, str]:
    """Every variable that is read → the setting it feeds."""
    return {source: name for name, source in _SOURCES.items()} | dict.fromkeys(_REDIS_PARTS, "redis_url")


C = TypeVar("C", bound=Config)


def _agreeing(config: C) -> C:
    """The configuration, whose settings must also agree with each other."""
    if config.confirm is not None and config.confirm >= config.redis_timeout:
        wanted = f"give less than the {config.redis_timeout:g} s of {PREFIX}REDIS_TIMEOUT"
        raise ConfigError([f"{PREFIX}REPLICA_TIMEOUT={config.confirm:g}: {wanted}, or the answer comes too late"])
    if config.stall_limit < 2 * config.redis_timeout + 3:
        wanted = f"give more than twice the {config.redis_timeout:g} s of {PREFIX}REDIS_TIMEOUT and 3 s"
        raise ConfigError(
            [f"{PREFIX}STALL_LIMIT={config.stall_limit:g}: {wanted}, or a slow Redis looks like a stuck task"]
        )
    return config


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    ours = variables()
    return [
        f"{name}: nothing reads this variable{_hint(name, list(ours))}"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in ours and not _SERVICE_LINK.search(f"{name}={environ[name]}")
    ]


def _check(given: Mapping[str, tuple[str, Any]], faults: list[str]) -> dict[str, Any]:
    """The values of settings, given with the source that a fault is to name, as far as they are right."""
    checked = {}
    for name, (source, value) in given.items():
        if name not in _FIELDS:
            continue
        try:
            checked[name] = _FIELDS[name].deserialize(value)
        except ma.ValidationError as error:
            shown = "***" if name == "redis_url" and re.search("[@?]", str(value)) else f"{value!r:.100}"
            faults += [f"{source}={shown}: {reason}" for reason in _flat(error.messages)]
    return checked


def _unknown_overrides(overrides: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: there is no setting of this name{_hint(name, list(_FIELDS))}"
        for name in sorted(overrides)
        if name not in _FIELDS
    ]


def _hint(name: str, names: list[str]) -> str:
    near = nearest(name, names)
    return f"; did you mean {near}?" if near else ""


def _redis_url(environ: Mapping[str, str], checked: Mapping[str, Any], faults: list[str]) -> dict[str, str]:
    """The address from ``REDIS_HOST`` and its companions, unless a whole URL is given."""
    parts = {}
    for name, field in _REDIS_PARTS.items():
        if environ.get(name, "") != "":
            try:
                parts[name] = field.deserialize(environ[name])
            except ma.ValidationError as error:
                shown = "***" if name == "REDIS_PASSWORD" else repr(environ[name])
                faults += [f"{name}={shown}: {reason}" for reason in _flat(error.messages)]
    if not parts or "redis_url" in checked:
        return {}
    secret = f":{quote(parts['REDIS_PASSWORD'], safe='')}@" if "REDIS_PASSWORD" in parts else ""
    host, port = parts.get("REDIS_HOST", "localhost"), parts.get("REDIS_PORT", 6379)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    url = f"redis://{secret}{host}:{port}/{parts.get('REDIS_DB', 0)}"
    try:
        _is_redis_url(url)
    except ma.ValidationError:
        faults.append(f"REDIS_HOST={parts['REDIS_HOST']!r}: give a host name or address, without its port")
    return {"redis_url": url}


def _flat(messages: Any) -> list[str]:
    if isinstance(messages, dict):
        return [reason for part in messages.values() for reason in _flat(part)]
    return [messages] if isinstance(messages, str) else list(map(str, messages))
