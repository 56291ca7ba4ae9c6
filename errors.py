"""Every error that Tandem raises on purpose.

    TandemError
    ├── UsageError                 the request or a setting is wrong            exit 2, HTTP 400
    │   ├── SettingsError
    │   ├── QuestionError
    │   ├── PathError
    │   ├── Unauthenticated        an API key is missing or unknown            exit 2, HTTP 401
    │   ├── Forbidden              the caller may not do this                  exit 2, HTTP 403
    │   ├── NotFound               there is nothing of that name               exit 2, HTTP 404
    │   ├── Conflict               there is another of that name               exit 2, HTTP 409
    │   ├── UploadError            a file cannot be taken
    │   │   └── UploadTooLarge                                                 exit 2, HTTP 413
    │   └── TooManyRequests        the caller asks too often                   exit 2, HTTP 429
    ├── UnavailableError           a backend does not answer                    exit 3, HTTP 503
    │   ├── TooBusy                there is no room for another run            exit 3, HTTP 429
    │   ├── Stopping               the service is about to end
    │   ├── EmbeddingsUnavailable
    │   ├── VectorStoreUnavailable
    │   ├── LanguageModelUnavailable
    │   │   └── PromptTooLong      fewer passages may fit
    │   ├── PhoenixUnavailable
    │   └── StoreLocked            another process holds the embedded store
    ├── DataError                  what is stored does not fit or is damaged    exit 4, HTTP 500
    │   ├── StoreDamaged
    │   ├── FingerprintMismatch    the index was made by another embedding model
    │   │   └── ForeignCollection  the collection was not made by Tandem
    │   ├── ReindexRefused         a newly built index lacks something
    │   └── EmbeddingMismatch      a backend returned vectors that cannot be used
    │       └── TextTooLong        a text has more tokens than the model reads
    └── ParsingError               one file cannot be read; the others go on

Backends translate their vendors' errors into these (``raise ... from exc``), entry points
translate these into exit codes, HTTP answers and MCP errors. A message says what happened and
what to do about it.
"""

from typing import ClassVar


class TandemError(Exception):
    """Base of all errors with a message meant for the user."""

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class UsageError(TandemError):
    """The caller asked for something that cannot be done as asked."""

    code = "bad_request"
    exit_code = 2
    http_status = 400


class SettingsError(UsageError):
    """A setting is missing or contradicts another."""

    code = "bad_settings"


class QuestionError(UsageError):
    """The question is empty or too long."""

    code = "bad_question"


class PathError(UsageError):
    """A path given by the user does not exist or cannot be read."""

    code = "bad_path"


class Unauthenticated(UsageError):
    """An API key is needed, and none that is known was shown."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(UsageError):
    """The caller may not do what was asked."""

    code = "forbidden"
    http_status = 403


class NotFound(UsageError):
    """Nothing has the name or the id that was given, or the caller may not know of it."""

    code = "not_found"
    http_status = 404


class Conflict(UsageError):
    """There is another of that name, which was not to be replaced."""

    code = "exists"
    http_status = 409


class UploadError(UsageError):
    """A file that was sent cannot be taken: its name, its kind, or what it holds."""

    code = "bad_upload"


class UploadTooLarge(UploadError):
    """A file that was sent has more bytes than are indexed."""

    code = "body_too_large"
    http_status = 413


class TooManyRequests(UsageError):
    """The caller asks more often than is allowed."""

    code = "rate_limited"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """When there is a point in asking again."""


class UnavailableError(TandemError):
    """A backend does not answer, or not in time."""

    code = "backend_unavailable"
    exit_code = 3
    http_status = 503


class TooBusy(UnavailableError):
    """As many questions are being answered, and wait, as the service takes."""

    code = "too_busy"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """When there is a point in asking again."""


class Stopping(UnavailableError):
    """The service is about to end: no run is begun, and what has not ended in time is left."""

    code = "stopping"
    retry_after_s: ClassVar[int] = 5
    """By then another may run in its place."""


class EmbeddingsUnavailable(UnavailableError):
    """The embedding model does not answer."""

    code = "embeddings_unavailable"


class VectorStoreUnavailable(UnavailableError):
    """The vector store does not answer: nothing can be retrieved."""

    code = "retrieval_unavailable"


class LanguageModelUnavailable(UnavailableError):
    """The language model does not answer; the extractive reader takes over where it can."""

    code = "language_model_unavailable"


class PromptTooLong(LanguageModelUnavailable):
    """The prompt does not fit the model's context; one with fewer passages may."""

    code = "prompt_too_long"


class PhoenixUnavailable(UnavailableError):
    """Phoenix cannot be started. Never raised because traces cannot be delivered."""

    code = "phoenix_unavailable"


class StoreLocked(UnavailableError):
    """Another process holds the embedded store."""

    code = "store_locked"


class DataError(TandemError):
    """What is stored, or what a backend returned, does not fit together."""

    code = "bad_data"
    exit_code = 4


class StoreDamaged(DataError):
    """The data folder cannot be read."""

    code = "store_damaged"


class FingerprintMismatch(DataError):
    """The index was built with another embedding model or prefix scheme."""

    code = "fingerprint_mismatch"


class ForeignCollection(FingerprintMismatch):
    """The collection was not made by Tandem: nothing in it is touched."""

    code = "foreign_collection"


class ReindexRefused(DataError):
    """A newly built index does not hold what it should; the live one stays."""

    code = "reindex_refused"


class EmbeddingMismatch(DataError):
    """An embedding backend returned too few, too short or non-finite vectors."""

    code = "embedding_mismatch"


class TextTooLong(EmbeddingMismatch):
    """A text has more tokens than the embedding model reads; none is ever truncated."""

    code = "text_too_long"

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position
        """The text's place, from 0, in the list that was to be embedded."""


class ParsingError(TandemError):
    """One file cannot be turned into text. Recorded and skipped; the others go on."""

    code = "parsing_failed"
