"""All settings, read once from the environment and ``.env``.

Names are ``TANDEM_`` plus the field, ``__`` between levels: ``TANDEM_LLM__BASE_URLS``. With nothing
set, the embedded default runs. Every setting is explained in ``.env.example``.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from errors import SettingsError


def _split(value: object) -> object:
    """``a, b`` from the environment as a list; lists pass through."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


CommaSeparated = BeforeValidator(_split)


class LanguageModelSettings(BaseModel):
    """The server machine. Without a base URL the extractive reader answers."""

    provider: Literal["vllm", "ollama"] = "vllm"
    base_urls: Annotated[list[str], NoDecode, CommaSeparated] = []
    model: str | None = None
    api_key: SecretStr | None = None
    timeout_s: float = Field(60.0, gt=0)
    connect_timeout_s: float = Field(2.0, gt=0)
    max_answer_tokens: int = Field(768, ge=1)


class EmbeddingSettings(BaseModel):
    """Where texts become vectors."""

    provider: Literal["minilm", "ollama", "openai"] = "minilm"
    base_url: str | None = None
    model: str | None = None
    api_key: SecretStr | None = None
    timeout_s: float = Field(60.0, gt=0)
    batch_size: int = Field(32, ge=1, le=512)


class QdrantSettings(BaseModel):
    """Where vectors live. Without a URL: embedded, in the data folder."""

    url: str | None = None
    api_key: SecretStr | None = None
    collection: str = Field("documents", min_length=1, max_length=200)
    prefer_grpc: bool = False
    timeout_s: float = Field(20.0, gt=0)


class PhoenixSettings(BaseModel):
    """Where traces go. An empty endpoint switches tracing off."""

    endpoint: str = "http://127.0.0.1:6006"
    project: str = "tandem"
    retention_days: int = Field(30, ge=0)

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        endpoint = value.strip().rstrip("/")
        if endpoint and not re.match(r"https?://[^/?#]+", endpoint):
            raise ValueError(f"{value!r} is no address like http://127.0.0.1:6006")
        return endpoint


class GradingSettings(BaseModel):
    """How retrieved passages are judged."""

    strategy: Literal["shared_prefix", "pointwise", "off"] = "shared_prefix"
    threshold: float = Field(0.5, ge=0, le=1)


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
    allow_unauthenticated: bool = False
    data_dir: Path = Path(".tandem")
    roots: Annotated[list[Path], NoDecode, CommaSeparated] = [Path("docs")]
    top_k: int = Field(6, ge=1, le=50)
    max_rewrites: int = Field(2, ge=0, le=5)
    deadline_s: float | None = Field(None, gt=0)
    max_file_bytes: int = Field(50_000_000, ge=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    llm: LanguageModelSettings = LanguageModelSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    qdrant: QdrantSettings = QdrantSettings()
    phoenix: PhoenixSettings = PhoenixSettings()
    grading: GradingSettings = GradingSettings()


def load_settings() -> Settings:
    """Settings from the environment; a wrong value is named together with its variable.

    Raises:
        SettingsError: a value cannot be used.
    """
    try:
        return Settings()
    except ValidationError as exc:
        problems = "; ".join(
            f"TANDEM_{'__'.join(str(part).upper() for part in error['loc'])}: {error['msg']}"
            for error in exc.errors()
        )
        raise SettingsError(f"Settings cannot be used: {problems}. See .env.example.") from exc
