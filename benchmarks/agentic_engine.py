"""The engine of a simulated server: what a prompt and a reply cost, and whose prompt pays.

It follows vLLM's scheduler in what decides about cost, and leaves out everything else:

- *Continuous batching.* Time passes in steps. In each, every sequence that is being decoded gets
  one token, and waiting prompts are computed in the order of their arrival with what is left of the
  step's budget of tokens, in pieces where they do not fit (chunked prefill).
- *Prefix cache.* Prompts are cut into blocks of 16 tokens. A block is known by itself and all that
  stands before it; it can be reused from the moment when its computing is scheduled, also within
  the same step. At least the last token of a prompt is computed. The least recently used blocks
  go first. Blocks of generated text are not kept.
- *Time.* A step takes as long as reading the weights once or as computing its tokens, whichever is
  longer, and besides as reading the keys and values of every sequence that is being decoded.
  Nothing is charged for scheduling, sampling, grammars and the network.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

BLOCK = 16
"""Tokens of a cached block: vLLM's default on a GPU."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a deployment is."""

    name: str
    source: str
    """Where this was published."""
    step_s: float
    """Reading the weights once: the least that a step takes."""
    prefill_tokens_per_s: float
    """Tokens that are computed in a second where computing is the limit."""
    context_s: float
    """Reading the keys and values of one token."""

    def seconds(self, tokens: int, context: int) -> float:
        """A step over so many tokens, with so much context of what is being decoded."""
        if not tokens:
            return 0.0
        return max(self.step_s, tokens / self.prefill_tokens_per_s) + context * self.context_s


INSTANT = Rates("instant", "", 0.0, math.inf, 0.0)
"""Takes no time: for counting what is asked, and for the client's own processor time."""

A100_8B = Rates(
    name="Llama 3.1 8B in bf16 on one A100",
    source=(
        "75 tokens/s of one stream, vLLM 0.23.0, A100 40 GB, 1,024 tokens in and 128 out: "
        "https://johnmusgrave.com/p/vllm-throughput-latency-sweep-on (6.6 times that with 8 "
        "streams; the engine here makes 5.7 of it). 48.3 ms to the first token after 500 tokens, "
        "A100 80 GB: https://docs.nvidia.com/nim/llama-3-1-nemotron-safety-guard-8b/1.10.1/performance"
        ".md. Keys and values: 128 KiB a token at 1,555 GB/s, from the model's and the card's "
        "data sheets."
    ),
    step_s=1 / 75,
    prefill_tokens_per_s=500 / 0.0483,
    context_s=131_072 / 1_555e9,
)


class PrefixCache:
    """Blocks that need not be computed again, the least recently used first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def leading(self, blocks: Sequence[int]) -> int:
        """How many of a prompt's first blocks are there."""
        for count, block in enumerate(blocks):
            if block not in self._blocks:
                return count
            self._blocks.move_to_end(block)
        return len(blocks)

    def add(self, blocks: Sequence[int]) -> None:
        for block in blocks:
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)

    def clear(self) -> None:
        self._blocks.clear()


def block_hashes(tokens: Sequence[str]) -> list[int]:
    """A number for each whole block, made of its tokens and all before it."""
    hashes: list[int] = []
    before = 0
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        before = hash((before, *tokens[start : start + BLOCK]))
        hashes.append(before)
    return hashes


@dataclass(slots=True, eq=False)
class Request:
    """A prompt and how far its reply has come."""

    blocks: Sequence[int]
    prompt: int
    """Tokens."""
    reply: int
    """Tokens, the end token included."""
    computed: int = -1
    """Tokens of the prompt that are computed or cached; -1: it waits."""
    cached: int = 0
    written: int = 0


@dataclass(slots=True)
class Counters:
    """What vLLM's metrics of these names count."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0
    request_success: int = 0


@dataclass(slots=True)
class Step:
    """One pass of the model."""

    seconds: float
    writing: list[Request] = field(default_factory=list)
    """Those that have one token more after it."""


class Engine:
    """Plans steps; whoever drives it lets ``seconds`` pass and then calls ``finish``."""

    def __init__(
        self, rates: Rates, *, budget: int = 2048, most: int = 256, cache_tokens: int = 150_000
    ) -> None:
        """Budget and most are vLLM's defaults for tokens and sequences of a step; the cache is
        what 40 GB leave beside 8B weights in bf16."""
        self.counters = Counters()
        self.rates = rates
        self._budget, self._most = budget, most
        self._cache = PrefixCache(cache_tokens // BLOCK)
        self._waiting: deque[Request] = deque()
        self._running: list[Request] = []

    def add(self, sequence: Request) -> None:
        self._waiting.append(sequence)

    def cancel(self, sequence: Request) -> None:
        """Its client has gone: nothing more is computed for it."""
        for group in (self._waiting, self._running):
            if sequence in group:
                group.remove(sequence)

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._cache.clear()

    def plan(self) -> Step | None:
        """The next step; None where nothing is to be done."""
        step, budget, tokens, context = Step(0.0), self._budget, 0, 0
        for sequence in self._running:
            if sequence.computed < sequence.prompt:
                used = self._compute(sequence, budget, step)
            else:
                used = min(1, budget)
                context += sequence.prompt + sequence.written
                step.writing += [sequence] * used
            budget, tokens = budget - used, tokens + used
        while self._waiting and budget and len(self._running) < self._most:
            self._running.append(sequence := self._waiting.popleft())
            self._look_up(sequence)
            used = self._compute(sequence, budget, step)
            budget, tokens = budget - used, tokens + used
        if not tokens:
            return None
        step.seconds = self.rates.seconds(tokens, context)
        return step

    def finish(self, step: Step) -> list[Request]:
        """Those whose reply has one token more now; what is cancelled meanwhile is not there."""
        written = [sequence for sequence in step.writing if sequence in self._running]
        for sequence in written:
            if not sequence.written:
                self.counters.prompt_tokens += sequence.prompt
            sequence.written += 1
            self.counters.generation_tokens += 1
            if sequence.written >= sequence.reply:
                self._running.remove(sequence)
                self.counters.request_success += 1
        return written

    def _look_up(self, sequence: Request) -> None:
        cached = BLOCK * self._cache.leading(sequence.blocks)
        if cached >= sequence.prompt:  # the last token is computed in any case
            cached = (sequence.prompt - 1) // BLOCK * BLOCK
        sequence.computed = sequence.cached = cached
        self.counters.prefix_cache_queries += sequence.prompt
        self.counters.prefix_cache_hits += cached

    def _compute(self, sequence: Request, budget: int, step: Step) -> int:
        used = min(sequence.prompt - sequence.computed, budget)
        sequence.computed += used
        self._cache.add(sequence.blocks[: sequence.computed // BLOCK])
        if sequence.computed == sequence.prompt and used:
            step.writing.append(sequence)
        return used
