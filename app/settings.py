"""Settings: `POLYRANK_*` variables, read once, frozen, checked against each other; what is not set has a default."""

import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from model.errors import PolyrankError

PREFIX = "POLYRANK_"
ELSEWHERE = ("DATA_DIR", "QUALITY_DIR")  # read by the benchmarks, not by the service
ROLES = ("client", "operator", "read-only")
Role: TypeAlias = Literal["client", "operator", "read-only"]
# What Kubernetes and container links put into the environment for a service that is called polyrank….
LINKS = re.compile(r"POLYRANK_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?|NAME)")
LINK_URL = re.compile(r"(tcp|udp)://")

logger = logging.getLogger("polyrank.settings")


class SettingsError(PolyrankError):
    """A setting is unknown, outside its range, or does not go with another one."""


class ApiKey(BaseModel):
    """One key and what it may do."""

    model_config = ConfigDict(frozen=True)

    role: Role
    key: SecretStr


def _parse_keys(value: object) -> object:
    """`role:key,role:key` as a list of keys; the messages never show a key."""
    if not isinstance(value, str):
        return value
    return tuple(_parse_key(part.strip()) for part in value.split(",") if part.strip())


def _parse_key(part: str) -> dict[str, str]:
    role, colon, key = part.partition(":")
    if role not in ROLES or not colon:
        raise ValueError(f"each key is written role:key, and role is one of {', '.join(ROLES)}")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"a {role} key is one or more printable ASCII characters without blanks")
    return {"role": role, "key": key}


class Settings(BaseModel):
    """Everything that can be set; the name of the variable is POLYRANK_ and the field in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="address to listen on; anything but loopback needs api_keys")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 lets the system choose")
    workers: int = Field(1, ge=1, le=256, description="serving processes")
    bundles: Path = Field(Path("bundles"), description="folder of bundles; `current` in it is served by default")
    bundle: Path | None = Field(None, description="the bundle to serve instead of bundles/current")
    redis_url: SecretStr | None = Field(None, description="state store; without it the embedded Valkey")
    state_dir: Path = Field(Path("var/state"), description="where the embedded Valkey keeps its files")
    api_keys: Annotated[tuple[ApiKey, ...], BeforeValidator(_parse_keys)] = Field((), description="role:key,role:key")
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="where the networks run")
    together: int = Field(16, ge=1, le=1024, description="most requests that are ranked in one batch")
    together_wait_ms: float = Field(1.0, ge=0, le=1000, description="longest wait for a fuller batch, on a card")
    timeout_ms: int = Field(1000, ge=1, le=60_000, description="deadline of /recommend when the request gives none")
    state_timeout_ms: int = Field(1000, ge=1, le=60_000, description="longest wait for one reply of the state store")
    follow_ms: int = Field(200, ge=10, le=60_000, description="pause between two looks at what other workers changed")
    max_body_bytes: int = Field(4 << 20, ge=1024, le=1 << 30, description="largest request body")
    max_events: int = Field(1000, ge=1, le=100_000, description="longest list for /feedback")
    max_batch: int = Field(1000, ge=1, le=100_000, description="longest list for /items:batch and /users:batch")
    read_timeout_s: float = Field(10.0, gt=0, le=600, description="longest wait for a request body")
    drain_s: float = Field(10.0, ge=0, le=600, description="longest wait for running requests at the end")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what to log")
    access_log: bool = Field(False, description="one log line a request")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: object) -> Self:
        """Settings from the environment; `given` (the command line) wins unless None. Raises SettingsError."""
        env = os.environ if environ is None else environ
        found = {name.removeprefix(PREFIX).lower(): value for name, value in env.items() if _is_setting(name, value)}
        return cls.checked(found | {name: value for name, value in given.items() if value is not None})

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a mapping; the first thing wrong is raised as SettingsError, keys and URLs left out."""
        values = {name: value for name, value in values.items() if name not in _elsewhere()}
        for name in values.keys() - cls.model_fields.keys():
            raise SettingsError(PREFIX + name.upper(), "an unknown setting", f"the known ones are {known_names()}")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _setting_error(error, values) from None

    def to_env(self) -> dict[str, str]:
        """The variables that make these settings: how a parent hands them to its workers."""
        return {PREFIX + name.upper(): text for name in type(self).model_fields if (text := self._text(name))}

    def _text(self, name: str) -> str:
        value = getattr(self, name)
        if name == "api_keys":
            return ",".join(f"{one.role}:{one.key.get_secret_value()}" for one in self.api_keys)
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return "" if value is None else str(value)

    def check_exposure(self) -> None:
        """Raise SettingsError when others could reach a service that asks for no key."""
        if not self.api_keys and not is_loopback(self.host):
            move = "set POLYRANK_API_KEYS=role:key,… (client, operator, read-only) or listen on 127.0.0.1"
            raise SettingsError("POLYRANK_HOST without POLYRANK_API_KEYS", self.host, move)

    def log(self) -> None:
        """Log every setting and whether it is a default; secrets show only that they are set."""
        for name in type(self).model_fields:
            source = "set" if name in self.model_fields_set else "default"
            logger.info("%s%s=%s (%s)", PREFIX, name.upper(), self._shown(name), source)

    def _shown(self, name: str) -> object:
        value = getattr(self, name)
        if name == "api_keys":
            return ",".join(f"{one.role}:…" for one in self.api_keys) or "none"
        return "…" if isinstance(value, SecretStr) else value


def is_loopback(host: str) -> bool:
    """Is `host` reachable from this machine only?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def known_names() -> str:
    """All variables, for messages."""
    return ", ".join(PREFIX + name.upper() for name in Settings.model_fields)


def _is_setting(name: str, value: str) -> bool:
    """Is this variable ours to read: prefixed, not empty, and not put there for a service called polyrank?"""
    ours = name.startswith(PREFIX) and value != ""
    linked = LINKS.fullmatch(name) or (name.endswith("_PORT") and LINK_URL.match(value))
    return ours and not linked


def _elsewhere() -> set[str]:
    return {name.lower() for name in ELSEWHERE}


def _setting_error(error: ValidationError, values: Mapping[str, Any]) -> SettingsError:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    secret = name in ("api_keys", "redis_url")
    found = "a value that is not shown" if secret else values.get(name)
    return SettingsError(PREFIX + name.upper(), found, first["msg"].removeprefix("Value error, "))
