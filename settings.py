"""All settings, read once from the environment and ``.env``.

Names are ``TANDEM_`` plus the field, ``__`` between levels: ``TANDEM_LLM__BASE_URLS``. With nothing
set, the embedded default runs. Every setting is explained in ``.env.example``.
"""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettings

from errors import SettingsError


def _split(value: object) -> object:
    """``a, b`` from the environment as a list; lists pass through."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _without_slash(value: str) -> str:
    """An address as paths are put after it; the value itself may hold a password: not shown."""
    address = value.strip().rstrip("/")
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
        raise ValueError("this is no address like http://127.0.0.1:6006")
    return address


def _none_if_empty(value: object) -> object:
    """Compose files and CI write what they leave out as an empty value."""
    return None if isinstance(value, str) and not value.strip() else value


CommaSeparated = BeforeValidator(_split)
Address = Annotated[str, AfterValidator(_without_slash)]
"""A server's address: http or https, a host, no slash at the end."""
OptionalAddress = Annotated[Address | None, BeforeValidator(_none_if_empty)]


TenantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class LanguageModelSettings(BaseModel):
    """The server machine. Without a base URL the extractive reader answers."""

    provider: Literal["vllm", "openai", "ollama"] = "vllm"
    base_urls: Annotated[list[Address], NoDecode, CommaSeparated] = []
    model: str | None = None
    api_key: SecretStr | None = None
    balance: Literal["order", "spread"] = "order"
    timeout_s: float = Field(60.0, gt=0)
    connect_timeout_s: float = Field(1.0, gt=0)
    max_answer_tokens: int = Field(768, ge=1)


class EmbeddingSettings(BaseModel):
    """Where texts become vectors."""

    provider: Literal["minilm", "ollama", "openai"] = "minilm"
    base_url: OptionalAddress = None
    model: str | None = None
    api_key: SecretStr | None = None
    timeout_s: float = Field(60.0, gt=0)
    query_timeout_s: float = Field(10.0, gt=0)
    batch_size: int = Field(32, ge=1, le=512)


class QdrantSettings(BaseModel):
    """Where vectors live. Without a URL: embedded, in the data folder."""

    url: OptionalAddress = None
    api_key: SecretStr | None = None
    collection: str = Field("documents", min_length=1, max_length=200)
    take_over: bool = False
    prefer_grpc: bool = False
    timeout_s: float = Field(20.0, gt=0)


class PhoenixSettings(BaseModel):
    """Where traces go. An empty endpoint switches tracing off."""

    endpoint: Address = "http://127.0.0.1:6006"
    project: str = "tandem"
    retention_days: int = Field(30, ge=0)


class WatchSettings(BaseModel):
    """How the folders are watched."""

    mode: Literal["auto", "events", "polling", "off"] = "auto"
    reconcile_s: float = Field(300.0, ge=1)
    poll_s: float = Field(5.0, ge=0.1)


class GradingSettings(BaseModel):
    """How retrieved passages are judged."""

    strategy: Literal["shared_prefix", "pointwise", "off"] = "shared_prefix"
    threshold: float = Field(0.5, ge=0, le=1)
    speculate: bool = False


class Settings(BaseSettings):
    """Everything that can be configured. Only entry points create one."""

    model_config = SettingsConfigDict(
        env_prefix="TANDEM_",
        env_nested_delimiter="__",
        env_file=".env",
        env_ignore_empty=False,
        extra="ignore",
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    allowed_hosts: Annotated[list[str], NoDecode, CommaSeparated] = []
    cors_origins: Annotated[list[Address], NoDecode, CommaSeparated] = []
    allow_unauthenticated: bool = False
    require_keys: bool = False
    max_runs: int = Field(64, ge=1, le=10_000)
    max_queued: int = Field(256, ge=0, le=100_000)
    rate_limit_per_minute: Annotated[
        Annotated[int, Field(ge=1)] | None, BeforeValidator(_none_if_empty)
    ] = None
    drain_s: float = Field(10.0, ge=0)
    key: Annotated[SecretStr | None, BeforeValidator(_none_if_empty)] = None
    data_dir: Path = Path(".tandem")
    uploads_dir: Annotated[Path | None, BeforeValidator(_none_if_empty)] = None
    delete_in_roots: bool = False
    roots: Annotated[list[Path], NoDecode, CommaSeparated] = [Path("docs")]
    tenants: dict[TenantName, Annotated[list[Path], NoDecode, CommaSeparated]] = {}
    tenant: TenantName = "default"
    top_k: int = Field(6, ge=1, le=50)
    max_rewrites: int = Field(2, ge=0, le=5)
    deadline_s: float | None = Field(None, gt=0)
    threads_url: Annotated[SecretStr | None, BeforeValidator(_none_if_empty)] = None
    verification: Literal["off", "annotate", "enforce"] = "annotate"
    include: Annotated[list[str], NoDecode, CommaSeparated] = []
    exclude: Annotated[list[str], NoDecode, CommaSeparated] = []
    max_file_bytes: int = Field(50_000_000, ge=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    llm: LanguageModelSettings = LanguageModelSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    qdrant: QdrantSettings = QdrantSettings()
    phoenix: PhoenixSettings = PhoenixSettings()
    grading: GradingSettings = GradingSettings()
    watch: WatchSettings = WatchSettings()

    @field_validator("tenant")
    @classmethod
    def _known(cls, tenant: str, info: ValidationInfo) -> str:
        if tenant != "default" and tenant not in info.data.get("tenants", {}):
            raise ValueError(f"there is no TANDEM_TENANTS__{tenant.upper()} with folders")
        return tenant

    @property
    def open_to_others(self) -> bool:
        """Whether more can reach the service than this machine's own programs."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def folders(self) -> list[Path]:
        """Every folder that the service indexes, whoever it belongs to."""
        return [*self.roots, *(folder for claimed in self.tenants.values() for folder in claimed)]

    @property
    def uploads(self) -> Path:
        """The folder that uploaded files are kept in; each tenant has one in it."""
        return self.uploads_dir or self.data_dir / "uploads"

    @property
    def claims(self) -> dict[str, list[Path]]:
        """The folders of each tenant, that for its uploads included."""
        return {name: [*own, self.uploads / name] for name, own in self.tenants.items()}


def load_settings() -> Settings:
    """Settings from the environment; a wrong value is named together with its variable.

    Raises:
        SettingsError: a value cannot be used.
    """
    try:
        return Settings()
    except ValidationError as exc:
        problems = "; ".join(
            f"{_variable(error['loc'])}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors()
        )
        raise SettingsError(f"Settings cannot be used: {problems}. See .env.example.") from exc
    except UnreadableSettings as exc:
        # Its message names the field alone: error parsing value for field "llm" from ...
        name = str(exc).split('"')[1].upper()
        raise SettingsError(
            f"Settings cannot be used: TANDEM_{name} is no JSON. Set its parts one by one, as "
            f"TANDEM_{name}__... in .env.example."
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The file .env cannot be read: {exc}. Save it as UTF-8 text.") from exc


def written_out(settings: BaseModel) -> dict[str, Any]:
    """Settings as JSON has them, secrets included: for a process of our own, over a socket."""
    written: dict[str, Any] = json.loads(json.dumps(settings.model_dump(), default=_written))
    return written


def taken_over(written: dict[str, Any]) -> Settings:
    """The settings that another process has written out, whatever the environment holds by now."""
    return Settings(**written, _env_file=None)


def _written(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _variable(location: tuple[int | str, ...]) -> str:
    """The variable that holds the value at a place; lists have one for all their items."""
    return "TANDEM_" + "__".join(part.upper() for part in location if isinstance(part, str))
