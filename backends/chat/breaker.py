"""A circuit breaker: what keeps failing is left alone, and tried again after a growing pause."""

import random
import time
from collections.abc import Callable

FAILURES = 3
"""In a row; then the breaker opens."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
JITTER = 0.25
"""The share by which a pause is shortened or lengthened, so that clients do not return together."""


class CircuitBreaker:
    """Whether a server may be asked. After a pause a single caller tries; the others wait."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._pause = FIRST_PAUSE_S
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last attempts failed; also while one caller tries."""
        return self._failures >= FAILURES

    @property
    def retry_in_s(self) -> float:
        """Seconds until the next attempt is allowed."""
        return max(0.0, self._until - self._clock()) if self.is_open else 0.0

    def admits(self) -> bool:
        """Whether the caller may ask now. While open, one caller after each pause."""
        if not self.is_open:
            return True
        if self._clock() < self._until:
            return False
        self._until = self._clock() + self._jittered()
        return True

    def succeeded(self) -> None:
        """Close."""
        self._failures = 0
        self._pause = FIRST_PAUSE_S

    def failed(self) -> None:
        """Count a failure; with enough of them in a row, open for longer each time."""
        if self.is_open:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        self._failures += 1
        if self.is_open:
            self._until = self._clock() + self._jittered()

    def _jittered(self) -> float:
        return self._pause * (1 + JITTER * (2 * self._chance() - 1))
