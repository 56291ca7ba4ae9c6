"""MCP clients as people use them, each over a transport of its own."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
from fastmcp import Client as FastMcpClient
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from tests.running_service import TANDEM, environment

TIMEOUT_S = 60.0
ERAS = ("auto", "legacy")
"""The protocol of 2026-07-28, which ``auto`` finds; and the one before, with its handshake."""

ACCEPT = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
"""The first request of the protocol before, as sent by hand."""


def bridge_command(data_dir: Path, *options: str, **settings: str) -> StdioServerParameters:
    """``tandem mcp`` as a client starts it."""
    return StdioServerParameters(
        command=TANDEM,
        args=["--data-dir", str(data_dir), "mcp", *options],
        env=environment(**settings),
    )


@contextlib.asynccontextmanager
async def over_stdio(server: StdioServerParameters, *, era: str = "auto") -> AsyncIterator[Client]:
    """The SDK's client and a bridge of its own."""
    async with Client(stdio_client(server), mode=era, read_timeout_seconds=TIMEOUT_S) as client:
        yield client


@contextlib.asynccontextmanager
async def over_http(
    url: str, *, key: str = "", era: str = "auto", **headers: str
) -> AsyncIterator[Client]:
    """The SDK's client of a service."""
    if key:
        headers["Authorization"] = f"Bearer {key}"
    async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S, trust_env=False) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=era, read_timeout_seconds=TIMEOUT_S) as client:
            yield client


def fastmcp_over_http(url: str, key: str = "") -> FastMcpClient[Any]:
    """fastmcp's client of a service."""
    return FastMcpClient(StreamableHttpTransport(f"{url}/mcp", auth=key or None))


def fastmcp_over_stdio(server: StdioServerParameters) -> FastMcpClient[Any]:
    """fastmcp's client and a bridge of its own."""
    return FastMcpClient(
        StdioTransport(server.command, server.args, env=server.env, keep_alive=False)
    )


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool returns; the text and the structured content have to say the same."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert json.loads(text_of(result)) == result.structured_content
    structured: dict[str, Any] = result.structured_content or {}
    return structured


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool says that does not do what it was asked."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, text_of(result)
    return text_of(result)


def text_of(result: CallToolResult) -> str:
    """The only content of a result: connectors expect exactly one piece of text."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text
