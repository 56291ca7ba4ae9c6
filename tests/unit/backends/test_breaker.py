"""A server that keeps failing is left alone for a growing while."""

from backends.chat.breaker import FAILURES, FIRST_PAUSE_S, JITTER, LONGEST_PAUSE_S, CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def broken(clock: Clock, chance: float = 0.5) -> CircuitBreaker:
    breaker = CircuitBreaker(clock, lambda: chance)
    for _ in range(FAILURES):
        assert breaker.admits()
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert not breaker.is_open
    breaker.failed()
    assert breaker.is_open
    assert not breaker.admits()


def test_after_the_pause_one_caller_tries_and_the_others_wait() -> None:
    clock = Clock()
    breaker = broken(clock)
    assert breaker.retry_in_s == FIRST_PAUSE_S
    clock.now += FIRST_PAUSE_S
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_an_attempt_that_is_never_reported_does_not_keep_it_open_for_ever() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += FIRST_PAUSE_S
    assert breaker.admits()
    clock.now += FIRST_PAUSE_S
    assert breaker.admits()


def test_each_failed_attempt_doubles_the_pause_up_to_the_longest() -> None:
    clock = Clock()
    breaker = broken(clock)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.retry_in_s)
        clock.now += breaker.retry_in_s
        assert breaker.admits()
        breaker.failed()
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    breaker.succeeded()
    assert broken(clock).retry_in_s == FIRST_PAUSE_S


def test_clients_do_not_all_come_back_at_once() -> None:
    assert broken(Clock(), 0.0).retry_in_s == FIRST_PAUSE_S * (1 - JITTER)
    assert broken(Clock(), 1.0).retry_in_s == FIRST_PAUSE_S * (1 + JITTER)
