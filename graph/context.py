"""The knobs of one run: plain values, bounded, shown by Studio as its configuration panel."""

from copy import copy
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, create_model

from backends.filters import SearchFilters
from graph.verdict import Verification
from settings import Settings


class RagContext(BaseModel):
    """How one question is to be answered. The defaults come from the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top_k: int = Field(6, ge=1, le=50, description="How many passages are retrieved per search.")
    max_rewrites: int = Field(
        2, ge=0, le=5, description="How often the question may be rewritten and searched again."
    )
    deadline_s: float | None = Field(
        None, gt=0, description="Seconds that the answer may take; empty: no limit."
    )

    verification: Verification = Field(
        "annotate",
        description="Check each sentence of the answer against what it cites: not at all, to tell, "
        "or to strike what is not supported.",
    )
    filters: SearchFilters | None = Field(
        None, description="Which documents are searched; empty: all."
    )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The knobs as the settings have them."""
        return cls(
            top_k=settings.top_k,
            max_rewrites=settings.max_rewrites,
            deadline_s=settings.deadline_s,
            verification=settings.verification,
        )


def context_schema(settings: Settings) -> type[RagContext]:
    """``RagContext`` with the settings for defaults: what a client leaves out is as configured."""
    configured = RagContext.of(settings)
    fields: dict[str, Any] = {}
    for name, info in RagContext.model_fields.items():
        field = copy(info)
        field.default = getattr(configured, name)
        fields[name] = (field.annotation, field)
    return create_model(
        RagContext.__name__, __base__=RagContext, __doc__=RagContext.__doc__, **fields
    )
