"""What servers of every protocol do alike: know the model that they serve, until it changes."""

from abc import ABC, abstractmethod

from backends.chat.server import ServedModel
from errors import LanguageModelUnavailable


class ModelServer(ABC):
    """A server and the model that it serves, learnt when it is first needed."""

    def __init__(self, url: str) -> None:
        self.url = url
        """Its address, for messages."""
        self._served: ServedModel | None = None

    async def check(self) -> None:
        """Ask, quickly, for the model; another one, or another context, is learnt anew.

        Raises:
            LanguageModelUnavailable: no answer, or no such model.
        """
        served = await self._ask_for_model(self._served)
        if served != self._served:
            self._begin_anew(served)
            self._served = served

    async def served(self) -> ServedModel:
        """The model that it serves, asked for where that is not known.

        Raises:
            LanguageModelUnavailable: no answer, or no such model.
        """
        if self._served is None:
            await self.check()
        if self._served is None:
            raise LanguageModelUnavailable(f"The model at {self.url} is just being exchanged.")
        return self._served

    def forget(self) -> None:
        """Learn everything anew next time."""
        self._served = None

    @abstractmethod
    async def _ask_for_model(self, known: ServedModel | None) -> ServedModel:
        """The configured model, or the first that the server has; ``known`` where unchanged."""

    @abstractmethod
    def _begin_anew(self, served: ServedModel) -> None:
        """Forget what was found out about another model."""
