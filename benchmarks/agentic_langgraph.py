"""The agentic loop as LangGraph's documentation has it, written anew from its description.

``corrective`` follows the notebook on corrective RAG: a grader that replies in JSON, asked for one
document after the other; where one of them is irrelevant the question is rewritten and searched
again, here in the same store and not in the web. ``agentic`` follows the tutorial on agentic RAG:
the model decides by a call of a tool whether to search, all that was found is graded at once, and
an irrelevant find has the question rewritten.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import TypedDict

from benchmarks.agentic_asking import Ask, Asked, Plain, holds
from benchmarks.agentic_prompts import ANSWER, GRADED, GRADER, IMPROVE, REWRITER, REWRITTEN


class GradeDocuments(BaseModel):
    """Binary score for the relevance of retrieved documents."""

    binary_score: Literal["yes", "no"] = Field(description="Is the document relevant, yes or no")


class _Corrective(TypedDict, total=False):
    question: str
    generation: str
    web_search: str
    documents: list[str]


def _chat(url: str, model: str, answer_tokens: int) -> ChatOpenAI:
    return ChatOpenAI(
        model=model,
        base_url=f"{url}/v1",
        api_key=SecretStr("none"),
        temperature=0,
        max_completion_tokens=answer_tokens,
    )


def _texts(cases: Sequence[Plain]) -> dict[str, list[str]]:
    """The passages' texts, by query."""
    return {
        query: [passage["text"] for passage in passages]
        for case in cases
        for query, passages in case["found"].items()
    }


def _decision(said: str, config: RunnableConfig, text: str) -> bool:
    """What the model said, or what is true where it knows nothing."""
    case: Plain = config["configurable"]["case"]
    return holds(case, text) if config["configurable"]["known"] else said == "yes"


def _asking(graph: Any, node: str, known: bool, begin: Any) -> Ask:
    """Runs the graph on a case; the messages streamed from ``node`` are the answer."""

    async def ask(case: Plain) -> Asked:
        asked, begun = Asked(), time.perf_counter()
        config = {"configurable": {"case": case, "known": known}, "recursion_limit": 50}
        stream = graph.astream(begin(case["question"]), config, stream_mode="messages")
        async for message, metadata in stream:
            if isinstance(message, AIMessageChunk) and metadata["langgraph_node"] == node:
                asked.add(message.text, begun)
        return asked

    return ask


def corrective(
    url: str, model: str, cases: Sequence[Plain], answer_tokens: int, known: bool
) -> Ask:
    """The notebook on corrective RAG."""
    found, chat = _texts(cases), _chat(url, model, answer_tokens)
    grading = ChatPromptTemplate.from_messages([("system", GRADER), ("human", GRADED)])
    grader = grading | chat.with_structured_output(GradeDocuments)
    rewriting = ChatPromptTemplate.from_messages([("system", REWRITER), ("human", REWRITTEN)])
    rewriter = rewriting | chat | StrOutputParser()
    chain = ChatPromptTemplate.from_messages([("human", ANSWER)]) | chat | StrOutputParser()

    async def retrieve(state: _Corrective) -> _Corrective:
        return {"documents": found[state["question"]]}

    async def grade_documents(state: _Corrective, config: RunnableConfig) -> _Corrective:
        kept, web_search = [], "No"
        for document in state["documents"]:
            score: Any = await grader.ainvoke({"question": state["question"], "document": document})
            if _decision(score.binary_score, config, document):
                kept.append(document)
            else:
                web_search = "Yes"
        return {"documents": kept, "web_search": web_search}

    async def transform_query(state: _Corrective) -> _Corrective:
        return {"question": (await rewriter.ainvoke({"question": state["question"]})).strip()}

    async def web_search_node(state: _Corrective) -> _Corrective:
        more = "\n".join(found.get(state["question"], []))
        return {"documents": [*state["documents"], *([more] if more else [])]}

    async def generate(state: _Corrective) -> _Corrective:
        context = "\n\n".join(state["documents"])
        answer = await chain.ainvoke({"context": context, "question": state["question"]})
        return {"generation": answer}

    def decide_to_generate(state: _Corrective) -> Literal["transform_query", "generate"]:
        return "transform_query" if state["web_search"] == "Yes" else "generate"

    builder = StateGraph(_Corrective)
    for node in (retrieve, grade_documents, transform_query, web_search_node, generate):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "grade_documents")
    builder.add_conditional_edges("grade_documents", decide_to_generate)
    builder.add_edge("transform_query", "web_search_node")
    builder.add_edge("web_search_node", "generate")
    builder.add_edge("generate", END)
    return _asking(builder.compile(), "generate", known, lambda text: {"question": text})


def agentic(url: str, model: str, cases: Sequence[Plain], answer_tokens: int, known: bool) -> Ask:
    """The tutorial on agentic RAG."""
    found, chat = _texts(cases), _chat(url, model, answer_tokens)

    @tool
    async def retrieve_passages(query: str) -> str:
        """Search the indexed documents for passages about a query."""
        return "\n\n".join(found[query])

    deciding = chat.bind_tools([retrieve_passages])
    grader = chat.with_structured_output(GradeDocuments)

    async def generate_query_or_respond(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await deciding.ainvoke(state["messages"])]}

    async def grade_documents(
        state: MessagesState, config: RunnableConfig
    ) -> Literal["generate_answer", "rewrite_question"]:
        question, context = state["messages"][0].text, state["messages"][-1].text
        prompt = f"{GRADER}\n\n{GRADED.format(document=context, question=question)}"
        score: Any = await grader.ainvoke([HumanMessage(prompt)])
        relevant = _decision(score.binary_score, config, context)
        return "generate_answer" if relevant else "rewrite_question"

    async def rewrite_question(state: MessagesState) -> dict[str, Any]:
        prompt = IMPROVE.format(question=state["messages"][-3].text)
        reply = await chat.ainvoke([HumanMessage(prompt)])
        return {"messages": [HumanMessage(reply.text)]}

    async def generate_answer(state: MessagesState) -> dict[str, Any]:
        question, context = state["messages"][0].text, state["messages"][-1].text
        prompt = ANSWER.format(question=question, context=context)
        return {"messages": [await chat.ainvoke([HumanMessage(prompt)])]}

    builder = StateGraph(MessagesState)
    builder.add_node("generate_query_or_respond", generate_query_or_respond)
    builder.add_node("retrieve", ToolNode([retrieve_passages]))
    builder.add_node("rewrite_question", rewrite_question)
    builder.add_node("generate_answer", generate_answer)
    builder.add_edge(START, "generate_query_or_respond")
    builder.add_conditional_edges(
        "generate_query_or_respond", tools_condition, {"tools": "retrieve", END: END}
    )
    builder.add_conditional_edges("retrieve", grade_documents)
    builder.add_edge("rewrite_question", "generate_query_or_respond")
    builder.add_edge("generate_answer", END)
    begin = "user"
    return _asking(
        builder.compile(), "generate_answer", known, lambda text: {"messages": [(begin, text)]}
    )
