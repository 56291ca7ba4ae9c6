"""A LangGraph agent whose tools are an MCP server's, and whose model says what it was told to say.

Run by an environment of its own (see ``install.sh``): its argument is JSON with the ``connection``
and the ``calls`` that the model makes, one after the other; it prints what the tools answered.
"""

import asyncio
import json
import sys
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


async def run(connection: Any, calls: list[dict[str, Any]]) -> list[BaseMessage]:
    """The conversation of the agent, from the question to its last word."""
    tools = await MultiServerMCPClient({"tandem": connection}).get_tools()
    turns = [
        AIMessage("", tool_calls=[{**call, "id": f"call-{number}"}])
        for number, call in enumerate(calls)
    ]
    model = GenericFakeChatModel(messages=iter([*turns, AIMessage("That is all.")]))

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", think)
    graph.add_node("tools", ToolNode(tools, handle_tool_errors=True))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    result = await graph.compile().ainvoke({"messages": [HumanMessage("Go on.")]})
    messages: list[BaseMessage] = result["messages"]
    return messages


def main() -> None:
    told = json.loads(sys.argv[1])
    messages = asyncio.run(run(told["connection"], told["calls"]))
    answers = [message for message in messages if isinstance(message, ToolMessage)]
    print(
        json.dumps(
            {
                "answers": [{"text": text(m), "status": m.status} for m in answers],
                "last": text(messages[-1]),
            }
        )
    )


def text(message: BaseMessage) -> str:
    """What a message says, whether it is one text or blocks of it."""
    if isinstance(message.content, str):
        return message.content
    return "".join(block["text"] for block in message.content if isinstance(block, dict))


main()
