"""Every setting, typed: config.toml and the environment in, one frozen Settings out. Knows nothing of what the settings do.

Order, later wins: the defaults here, the file (`--config`, else MYVLM_CONFIG, else ./config.toml where there is one), the
environment (`MYVLM_SECTION__NAME`, and `DISCORD_TOKEN` for the bot's token). A setting nobody knows is an error.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

EXAMPLE_FILE = "config.example.toml"
DEFAULT_FILE = Path("config.toml")
PREFIX = "MYVLM_"
NO_SETTINGS = (f"{PREFIX}CONFIG", f"{PREFIX}CACHE")  # which file is read, and where the engine keeps converted models


class ConfigError(Exception):
    """The settings can't be used; the message says which one and what to write instead."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DiscordSettings(Section):
    token: str = Field(default="", repr=False, description="The bot's token; empty: `myvlm run` opens the page of `myvlm try`")
    api_base: str = Field(default="https://discord.com/api/v10", description="Where Discord's REST interface is")
    gateway_url: str = Field(default="wss://gateway.discord.gg/", description="Where Discord's gateway is")
    sync: Literal["changed", "always", "never"] = Field(
        default="changed", description="When the commands are registered with Discord: changed, always or never"
    )


class EngineSettings(Section):
    url: str = Field(
        default="",
        pattern=r"^($|https?://|unix:)",
        description="An engine that runs elsewhere, as http://host:port; empty: `myvlm run` starts its own",
    )
    token: str = Field(
        default="", repr=False, pattern="^[!-~]*$", description="What the engine asks of whoever calls it; empty: nothing (loopback only)"
    )
    host: str = Field(default="127.0.0.1", description="Where `myvlm engine` listens; anything but loopback needs a token")
    port: int = Field(default=8765, ge=0, le=65535, description="The port of `myvlm engine`; 0: any free one")
    vlm: str = Field(default="pocket", description="The vision-language model; `myvlm models list` shows them")
    encoder: str = Field(default="embedded", description="What recognises: embedded, clip, clip:MODEL/WEIGHTS")
    people: bool = Field(default=False, description="Whether people may be taught and are recognised, by their faces")
    face_weights: str = Field(
        default="", description="A file with the weights of facenet's InceptionResnetV1; empty: dlib's, which `make setup` installs"
    )
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="auto, cpu, cuda, cuda:1, mps")
    threads: int = Field(default=0, ge=0, le=512, description="CPU threads of the engine; 0: all cores")
    timeout_s: float = Field(default=120.0, gt=0, description="How long the bot waits for one answer, in seconds")

    @property
    def address(self) -> str:
        """Where a bot finds the engine: as HttpEngine has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host  # IPv6
        return (self.url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def encoders(self) -> tuple[str, ...]:
        """As the engine names them. Without people, nothing of faces is loaded."""
        faces = f"faces:{self.face_weights}" if self.face_weights else "faces"
        return (self.encoder, faces) if self.people else (self.encoder,)


class StoreSettings(Section):
    url: str = Field(
        default="sqlite:///data/myvlm.sqlite3",
        description="Where concepts are kept: sqlite:///FILE, from the folder the bot is started in on (four slashes: from the root on)",
    )


class PhotoSettings(Section):
    max_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, description="The largest upload that is opened, in bytes")
    max_pixels: int = Field(
        default=50_000_000, ge=10_000, description="The largest JPEG that is decoded, width times height; of other formats half of it"
    )
    max_photos: int = Field(default=10, ge=1, le=10, description="Photos of one concept")
    side_px: int = Field(default=1024, ge=256, le=2048, description="The longer side a kept photo is scaled down to, in pixels")


class TeachingSettings(Section):
    max_concepts_per_owner: int = Field(default=50, ge=1, description="Concepts one person may have")
    max_corrections_per_concept: int = Field(
        default=200,
        ge=1,
        description="What members said of answers, of one concept; beyond it the oldest lose their vectors, not their verdict",
    )
    lease_s: float = Field(default=60.0, gt=0, description="How long a broken-off training is left alone before it goes on, in seconds")
    max_attempts: int = Field(default=5, ge=1, description="How often a training is tried before it is given up")
    progress_every_s: float = Field(default=2.0, gt=0, description="At most how often the progress message is edited, in seconds")


class PrivacySettings(Section):
    left_server_days: float = Field(
        default=7.0, ge=0, description="How long a server's concepts are kept after the bot has left it, in days"
    )


class PlaygroundSettings(Section):
    port: int = Field(default=0, ge=0, le=65535, description="The port of `myvlm try`; 0: any free one")


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="debug, info, warning or error")


class Settings(BaseSettings):
    """Made by `load_settings` and handed to whoever needs it; there is no global one."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__")

    discord: DiscordSettings = DiscordSettings()
    engine: EngineSettings = EngineSettings()
    store: StoreSettings = StoreSettings()
    photos: PhotoSettings = PhotoSettings()
    teaching: TeachingSettings = TeachingSettings()
    privacy: PrivacySettings = PrivacySettings()
    playground: PlaygroundSettings = PlaygroundSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # what `load_settings` read from the file is passed in; the environment wins


def load_settings(config: Path | None = None) -> Settings:
    """Reads the file and the environment. Errors: ConfigError with a sentence for the person who runs the bot."""
    path = file_used(config)
    values = _read(path) if path else {}
    _refuse_unknown_variables(os.environ)
    if token := os.environ.get("DISCORD_TOKEN"):
        values["discord"] = {**values.get("discord", {}), "token": token}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_sentences(error, path)) from error


def file_used(config: Path | None = None) -> Path | None:
    """The file that settings are read from; None where there is none. Errors: ConfigError."""
    named = config or (Path(value) if (value := os.environ.get(f"{PREFIX}CONFIG")) else None)
    if named is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not named.is_file():
        raise ConfigError(f"There is no file {named}. Copy {EXAMPLE_FILE} to {named}, or leave the option out.")
    return named


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} isn't valid TOML: {error}. Compare it with {EXAMPLE_FILE}.") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """pydantic-settings passes over variables it doesn't know, so a misspelt one would silently do nothing."""
    for name in environ:
        section = name.removeprefix(PREFIX).split("__")[0].lower()
        if name.startswith(PREFIX) and name not in NO_SETTINGS and section not in Settings.model_fields:
            known = [known.upper() for known in Settings.model_fields]
            raise ConfigError(f"The environment variable {name} sets nothing.{_nearest(section.upper(), known, f'{PREFIX}%s__…')}")


def _sentences(error: ValidationError, path: Path | None) -> str:
    where = f"{path} and the environment" if path else "the environment"
    return "\n".join([f"The settings in {where} can't be used:", *(f"- {_sentence(dict(item))}" for item in error.errors())])


def _sentence(item: dict[str, Any]) -> str:
    *section, name = (str(part) for part in item["loc"])
    if item["type"] == "model_type":
        return f"{name} is a section, not a setting. Write [{name}] on a line of its own and its settings below."
    if item["type"] == "extra_forbidden":
        place = f"[{section[0]}] has no setting" if section else "There is no section"
        return f'{place} "{name}".{_nearest(name, list(_fields(section)), chr(34) + "%s" + chr(34))}'
    if name == "token" and item["type"] == "string_pattern_mismatch":  # it is not shown
        return f"{section[0]}.token can't be sent: write it with letters, digits and signs of ASCII only, without spaces."
    if item["type"] == "string_pattern_mismatch":
        return f"{section[0]}.{name} can't be {item['input']!r}. It is: {_fields(section)[name].description}."
    found = "" if name == "token" else f" (it is {item['input']!r})"
    return f"{'.'.join([*section, name])}: {item['msg']}{found}."


def _fields(section: list[str]) -> dict[str, FieldInfo]:
    model: Any = Settings.model_fields[section[0]].annotation if section and section[0] in Settings.model_fields else Settings
    return dict(model.model_fields)


def _nearest(word: str, known: list[str], form: str) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {form % near[0]}?"
    return f" Known: {', '.join(known)}."
