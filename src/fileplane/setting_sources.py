"""Where the values of the settings come from: the TOML file, the environment and the options of a command, in rising order of weight."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from fileplane.settings import ENVIRONMENT_PREFIX, REDACTED, Settings, SettingsError

_FILE_SUFFIX: Final = "_FILE"
_ALIKE: Final = 0.85
_OF_MOVES: Final = ENVIRONMENT_PREFIX + "TO_"
"""Those of `fileplane migrate-store` have a prefix of their own."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting with the value in force and where it came from (``default``, a file, an environment variable, an option)."""

    name: str
    value: Any
    source: str
    default: Any
    help: str
    secret: bool

    @property
    def shown_value(self) -> str:
        """The value as it may be printed: a secret never is."""
        return REDACTED if self.secret and self.value is not None else show(self.value)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force together with their sources."""

    settings: Settings
    sources: Mapping[str, str]

    def rows(self) -> Iterator[SettingRow]:
        """The table, in its order."""
        for entry in fields(Settings):
            value = getattr(self.settings, entry.name)
            meta = entry.metadata
            yield SettingRow(entry.name, value, self.sources.get(entry.name, "default"), entry.default, meta["help"], meta["secret"])


def show(value: Any) -> str:
    """A value as the documentation and ``fileplane settings`` print it."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def load_settings(
    *, environment: Mapping[str, str] | None = None, config: Path | None = None, options: Mapping[str, Any] | None = None
) -> LoadedSettings:
    """Reads every source. ``config`` defaults to the file that ``FILEPLANE_CONFIG`` names, if any.

    Raises :class:`SettingsError` for a value that does not fit, an unknown name in the TOML file, or a TLS certificate without key.
    """
    environment = os.environ if environment is None else environment
    taken = _Taken()
    config_path = config or (Path(environment["FILEPLANE_CONFIG"]) if environment.get("FILEPLANE_CONFIG") else None)
    if config_path is not None:
        taken.from_config(config_path)
    taken.from_environment(environment)
    for name, raw in (options or {}).items():
        if raw is not None:
            taken.take(name, raw, f"--{name.replace('_', '-')}")
    settings = Settings(**taken.values)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("tls_cert and tls_key go together: set both, or neither.")
    if settings.content_delivery == "redirect" and (settings.blob_store.is_local or settings.verify_reads):
        raise SettingsError(
            "content_delivery=redirect needs an object store as blob_store, and no verify_reads: redirected readers read past the server."
        )
    return LoadedSettings(settings, taken.sources)


class _Taken:
    """Values on their way into the settings, with their sources. A later one replaces an earlier one."""

    def __init__(self) -> None:
        self.table = {entry.name: entry for entry in fields(Settings)}
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def take(self, name: str, raw: object, source: str) -> None:
        self.values[name] = _parsed(self.table[name], raw, source)
        self.sources[name] = source

    def from_config(self, path: Path) -> None:
        for name, raw in _read_config(path).items():
            if name not in self.table:
                raise SettingsError(f"{path} has an unknown setting '{name}'. Known settings: {', '.join(self.table)}.")
            self.take(name, raw, str(path))

    def from_environment(self, environment: Mapping[str, str]) -> None:
        for name, entry in self.table.items():
            for variable in own_variables_of(entry):
                if environment.get(variable):
                    raw = environment[variable]
                    self.take(name, _read_secret(raw, variable) if variable.endswith(_FILE_SUFFIX) else raw, variable)
                    break
        fallbacks = {name: entry.metadata["fallback"] for name, entry in self.table.items() if entry.metadata["fallback"]}
        if not fallbacks.keys() & self.values.keys():
            # All or none: a key of ours must not be sent to a server of theirs, nor the other way round.
            for name, variable in fallbacks.items():
                if environment.get(variable):
                    self.take(name, environment[variable], variable)


def own_variables_of(entry: Field[Any]) -> tuple[str, ...]:
    """Our environment variables of a setting, the first that is set winning. A secret may also be in a file that one names."""
    own = ENVIRONMENT_PREFIX + entry.name.upper()
    return (own, own + _FILE_SUFFIX) if entry.metadata["secret"] else (own,)


def variables_of(entry: Field[Any]) -> tuple[str, ...]:
    """Every environment variable of a setting; the last may be another program's, which serves when none of ours is set."""
    fallback = (entry.metadata["fallback"],) if entry.metadata["fallback"] else ()
    return (*own_variables_of(entry), *fallback)


def misspelt_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that looks like one of a setting and is none.

    Others that begin as ours do are none of our business: Kubernetes makes some for services.
    """
    known = {variable.removeprefix(ENVIRONMENT_PREFIX): variable for entry in fields(Settings) for variable in own_variables_of(entry)}
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or name in known or variable.startswith(_OF_MOVES):
            continue
        for meant in get_close_matches(name, known, 1, _ALIKE):
            yield f"The environment variable {variable} is no setting and does nothing; is {known[meant]} meant?"


def _read_secret(path: str, variable: str) -> str:
    try:
        secret = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The file that {variable} names cannot be read: {error}.") from error
    if not secret:
        raise SettingsError(f"The file that {variable} names is empty: {path}.")
    return secret


def _parsed(entry: Field[Any], raw: object, source: str) -> Any:
    try:
        return entry.metadata["parse"](raw)
    except ValueError as error:
        hint = ""
        if isinstance(raw, str) and raw.startswith("tcp://"):
            hint = " (Kubernetes sets such variables for a service named fileplane: use enableServiceLinks: false)"
        shown = "its value" if entry.metadata["secret"] else f"{raw!r}"
        raise SettingsError(f"{entry.name} from {source} must be {error}, not {shown}{hint}.") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error}.") from error
