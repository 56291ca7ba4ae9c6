# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
# The frameworks are in the peers' environment alone.
"""LlamaIndex's or Haystack's agentic loop, run in the peers' own environment (``agentic.py``).

    python agentic_peer.py llama_index|haystack

Requests and answers are JSON objects, one a line. The first request has ``url``, ``model``,
``cases``, ``answer_tokens`` and ``known``; each other one ``questions`` and ``clients``, and is
answered as ``benchmarks.agentic_asking.ask_all`` does.

Both are written anew from their documentation. LlamaIndex's is its workflow for corrective RAG:
the passages are graded one after the other, the irrelevant ones left out, and where there are any
the question is rewritten and searched again, here in the same store and not in the web; a summary
index over what is relevant answers. Haystack's is its pipeline with a fallback: the model answers
or says that it cannot, and a conditional router then sends the question on to another search. That
pipeline grades nothing. Both stream their answers.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.agentic_asking import Ask, Asked, Plain, ask_all, holds
from benchmarks.agentic_prompts import FALLBACK, NO_ANSWER, RELEVANCY, TRANSFORM


def llama_index(setting: Plain) -> Ask:
    """The workflow for corrective RAG."""
    from llama_index.core import Document, SummaryIndex
    from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
    from llama_index.llms.openai_like import OpenAILike

    def model(most: int) -> OpenAILike:
        return OpenAILike(
            model=setting["model"],
            api_base=f"{setting['url']}/v1",
            api_key="none",
            is_chat_model=True,
            temperature=0,
            max_tokens=most,
            context_window=16_384,
        )

    llm = model(setting["answer_tokens"])
    # A model whose words mean nothing does not end after its one word.
    grader = model(2) if setting["known"] else llm

    class Retrieved(Event):
        texts: list[str]

    class Graded(Event):
        texts: list[str]
        relevant: list[str]

    class Searched(Event):
        relevant: list[str]
        more: str

    class Corrective(Workflow):
        def __init__(self, case: Plain, asked: Asked, begun: float) -> None:
            super().__init__(timeout=300)
            self.case, self.asked, self.begun = case, asked, begun

        @step
        async def retrieve(self, event: StartEvent) -> Retrieved:
            found = self.case["found"][self.case["question"]]
            return Retrieved(texts=[passage["text"] for passage in found])

        @step
        async def eval_relevance(self, event: Retrieved) -> Graded:
            relevant = []
            for text in event.texts:
                prompt = RELEVANCY.format(document=text, question=self.case["question"])
                reply = await grader.acomplete(prompt)
                says_yes = reply.text.lower().strip() == "yes"
                if holds(self.case, text) if setting["known"] else says_yes:
                    relevant.append(text)
            return Graded(texts=event.texts, relevant=relevant)

        @step
        async def transform_query(self, event: Graded) -> Searched:
            if len(event.relevant) == len(event.texts):
                return Searched(relevant=event.relevant, more="")
            prompt = TRANSFORM.format(question=self.case["question"])
            query = (await llm.acomplete(prompt)).text.strip()
            more = "\n".join(passage["text"] for passage in self.case["found"].get(query, []))
            return Searched(relevant=event.relevant, more=more)

        @step
        async def query_result(self, event: Searched) -> StopEvent:
            text = "\n".join([*event.relevant, *([event.more] if event.more else [])])
            index = SummaryIndex.from_documents([Document(text=text)])
            engine = index.as_query_engine(llm=llm, streaming=True, use_async=True)
            reply: Any = await engine.aquery(self.case["question"])
            async for piece in reply.async_response_gen():
                self.asked.add(piece, self.begun)
            return StopEvent(result=self.asked.answer)

    async def ask(case: Plain) -> Asked:
        asked = Asked()
        await Corrective(case, asked, time.perf_counter()).run()
        return asked

    return ask


def haystack(setting: Plain) -> Ask:
    """The pipeline with a conditional router and a fallback."""
    from haystack import Document, Pipeline, component
    from haystack.components.builders import ChatPromptBuilder
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.components.routers import ConditionalRouter
    from haystack.dataclasses import ChatMessage, StreamingChunk
    from haystack.utils import Secret

    def generator() -> OpenAIChatGenerator:
        return OpenAIChatGenerator(
            api_key=Secret.from_token("none"),
            model=setting["model"],
            api_base_url=f"{setting['url']}/v1",
            generation_kwargs={"temperature": 0, "max_tokens": setting["answer_tokens"]},
        )

    @component
    class OtherSearch:
        """In the place of the documentation's web search: what the best query finds."""

        @component.output_types(documents=list[Document])
        def run(self, query: str) -> dict[str, Any]:
            case = next(case for case in setting["cases"] if case["question"] == query)
            return {"documents": documents(case, (case["rewrites"] or [query])[-1])}

    def documents(case: Plain, query: str) -> list[Document]:
        return [Document(content=passage["text"]) for passage in case["found"][query]]

    routes = [
        _route(f"'{NO_ANSWER}' in replies[0].text", "{{question}}", "fall_back"),
        _route(f"'{NO_ANSWER}' not in replies[0].text", "{{replies[0].text}}", "answer"),
    ]
    pipeline = Pipeline()
    for place in ("", "_again"):
        template = [ChatMessage.from_user(FALLBACK)]
        builder = ChatPromptBuilder(template=template, required_variables=["question", "documents"])
        pipeline.add_component(f"prompt{place}", builder)
        pipeline.add_component(f"llm{place}", generator())
        pipeline.connect(f"prompt{place}.prompt", f"llm{place}.messages")
    pipeline.add_component("router", ConditionalRouter(routes))
    pipeline.add_component("search", OtherSearch())
    pipeline.connect("llm.replies", "router.replies")
    pipeline.connect("router.fall_back", "search.query")
    pipeline.connect("router.fall_back", "prompt_again.question")
    pipeline.connect("search.documents", "prompt_again.documents")

    async def ask(case: Plain) -> Asked:
        asked, begun, question = Asked(), time.perf_counter(), case["question"]

        async def hear(chunk: StreamingChunk) -> None:
            asked.add(chunk.content or "", begun)

        async def hear_again(chunk: StreamingChunk) -> None:
            if asked.answer.startswith(NO_ANSWER):
                asked.answer, asked.first_s = "", None
            await hear(chunk)

        await pipeline.run_async(
            {
                "prompt": {"question": question, "documents": documents(case, question)},
                "router": {"question": question},
                "llm": {"streaming_callback": hear},
                "llm_again": {"streaming_callback": hear_again},
            }
        )
        return asked

    return ask


def _route(condition: str, output: str, name: str) -> dict[str, Any]:
    """A route of Haystack's conditional router."""
    condition = f"{{{{{condition}}}}}"
    return {"condition": condition, "output": output, "output_name": name, "output_type": str}


CONTESTANTS: dict[str, tuple[Callable[[Plain], Ask], str]] = {
    "llama_index": (llama_index, "llama-index-core"),
    "haystack": (haystack, "haystack-ai"),
}


async def main() -> None:
    """Answer requests until they end."""
    logging.getLogger("haystack").setLevel(logging.ERROR)  # it warns of every answer that is cut
    make, package = CONTESTANTS[sys.argv[1]]
    print(json.dumps({"ready": True, "version": version(package)}), flush=True)
    ask: Ask | None = None
    cases: list[Plain] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        if ask is None or "url" in request:
            ask, cases = make(request), request["cases"]
            answer: dict[str, Any] = {"ready": True}
        else:
            chosen = [cases[number] for number in request["questions"]]
            answer = await ask_all(ask, chosen, request["clients"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
