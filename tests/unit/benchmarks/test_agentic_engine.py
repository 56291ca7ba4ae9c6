from collections.abc import Sequence
from itertools import count

import pytest

from benchmarks.agentic_engine import A100_8B, BLOCK, INSTANT, Engine, Rates, Request, block_hashes

RATES = Rates("test", "", step_s=0.01, prefill_tokens_per_s=10_000, context_s=0.0)


def request(prompt: Sequence[str], reply: int = 1) -> Request:
    return Request(block_hashes(prompt), len(prompt), reply)


def words(number: int, start: str = "w") -> list[str]:
    return [f"{start}{position}" for position in range(number)]


def drained(engine: Engine) -> float:
    """Does all that waits; the seconds that it took."""
    seconds = 0.0
    while step := engine.plan():
        seconds += step.seconds
        engine.finish(step)
    return seconds


def test_a_repeated_prompt_is_computed_from_its_last_block_on() -> None:
    engine = Engine(INSTANT)
    for _ in range(2):
        engine.add(request(words(3 * BLOCK + 5)))
        drained(engine)
    assert engine.counters.prefix_cache_queries == 2 * (3 * BLOCK + 5)
    assert engine.counters.prefix_cache_hits == 3 * BLOCK


def test_of_a_prompt_that_is_cached_whole_the_last_block_is_computed() -> None:
    engine = Engine(INSTANT)
    for _ in range(2):
        engine.add(request(words(3 * BLOCK)))
        drained(engine)
    assert engine.counters.prefix_cache_hits == 2 * BLOCK


def test_a_block_is_known_by_all_that_stands_before_it() -> None:
    engine = Engine(INSTANT)
    same = words(2 * BLOCK)
    engine.add(request(["one", *words(BLOCK - 1), *same]))
    engine.add(request(["other", *words(BLOCK - 1), *same]))
    drained(engine)
    assert engine.counters.prefix_cache_hits == 0


def test_prompts_of_one_step_share_what_they_have_in_common() -> None:
    engine = Engine(INSTANT)
    shared = words(4 * BLOCK)
    for number in range(6):
        engine.add(request([*shared, f"task {number}"]))
    step = engine.plan()
    assert step is not None
    assert len(engine.finish(step)) == 6
    assert engine.counters.prefix_cache_hits == 5 * 4 * BLOCK
    assert engine.counters.generation_tokens == 6


def test_the_least_recently_used_blocks_go_first() -> None:
    engine = Engine(INSTANT, cache_tokens=4 * BLOCK)
    first, second, third = (words(2 * BLOCK + 1, start) for start in "abc")
    for prompt in (first, second, first, third, first):
        engine.add(request(prompt))
        drained(engine)
    assert engine.counters.prefix_cache_hits == 2 * 2 * BLOCK
    engine.add(request(second))
    drained(engine)
    assert engine.counters.prefix_cache_hits == 2 * 2 * BLOCK


def test_forgetting_empties_the_cache() -> None:
    engine = Engine(INSTANT)
    for _ in range(2):
        engine.add(request(words(3 * BLOCK)))
        drained(engine)
        engine.forget()
    assert engine.counters.prefix_cache_hits == 0


def test_a_token_comes_from_the_prompts_last_step_and_from_each_one_after() -> None:
    engine = Engine(RATES)
    engine.add(request(words(1000), reply=5))
    seconds = drained(engine)
    assert seconds == pytest.approx(0.1 + 4 * 0.01)
    assert engine.counters.generation_tokens == 5
    assert engine.counters.prompt_tokens == 1000
    assert engine.counters.request_success == 1


def test_what_is_decoded_together_costs_hardly_more_than_one() -> None:
    alone, together = Engine(RATES), Engine(RATES)
    alone.add(request(words(8), reply=100))
    for number in range(8):
        together.add(request(words(8, str(number)), reply=100))
    assert drained(together) == pytest.approx(drained(alone))


def test_a_long_prompt_is_computed_in_pieces_and_others_are_decoded_meanwhile() -> None:
    engine = Engine(RATES, budget=100)
    engine.add(writing := request(words(8), reply=50))
    step = engine.plan()
    assert step is not None
    engine.finish(step)
    engine.add(reading := request(words(250, "long")))
    written = [writing.written]
    while not reading.written:
        step = engine.plan()
        assert step is not None
        engine.finish(step)
        written.append(writing.written)
    assert written == [1, 2, 3, 4]  # 99, 99 and 52 tokens of the prompt besides


def test_context_that_is_read_again_costs_its_time() -> None:
    rates = Rates("test", "", step_s=0.01, prefill_tokens_per_s=10_000, context_s=1e-5)
    assert rates.seconds(2, 1000) == pytest.approx(0.02)
    assert rates.seconds(0, 0) == 0


def test_nothing_more_is_computed_for_a_client_that_has_gone() -> None:
    engine = Engine(INSTANT)
    gone = request(words(40), reply=100)
    engine.add(gone)
    engine.add(request(words(40, "other"), reply=3))
    step = engine.plan()
    assert step is not None
    engine.cancel(gone)
    engine.finish(step)
    drained(engine)
    assert gone.written == 0
    assert engine.counters.generation_tokens == 3


def test_no_more_sequences_run_than_may() -> None:
    engine = Engine(INSTANT, most=2)
    for number in range(5):
        engine.add(request(words(8, str(number)), reply=2))
    step = engine.plan()
    assert step is not None
    assert len(engine.finish(step)) == 2
    drained(engine)
    assert engine.counters.request_success == 5


@pytest.mark.parametrize(("streams", "published"), [(1, 75.0), (8, 6.6 * 75)])
def test_the_published_sweep_comes_out_nearly_as_published(streams: int, published: float) -> None:
    engine, numbers = Engine(A100_8B), count()
    waiting = [request(words(1024, f"{next(numbers)} "), reply=128) for _ in range(4 * streams)]
    for _ in range(streams):
        engine.add(waiting.pop())
    seconds = 0.0
    while step := engine.plan():
        seconds += step.seconds
        for each in engine.finish(step):
            if each.written == each.reply and waiting:
                engine.add(waiting.pop())
    assert engine.counters.generation_tokens / seconds == pytest.approx(published, rel=0.2)
