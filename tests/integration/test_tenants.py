"""Tenants within one service: each one's questions reach its own documents and conversations."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.service import Service, open_service
from graph.state import RagOutput
from settings import Settings

NOTES = {
    "default": "The office in Lisbon opens at nine.",
    "acme": "The office in Lisbon opens at ten, and the door code of Acme is 4711.",
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    folders = {}
    for tenant, text in NOTES.items():
        folders[tenant] = tmp_path / tenant
        folders[tenant].mkdir()
        (folders[tenant] / "office.md").write_text(f"# Office\n\n{text}\n")
    settings = Settings(
        data_dir=tmp_path / "data",
        roots=[folders["default"]],
        tenants={"acme": [folders["acme"]]},
        _env_file=None,
    )
    async with open_service(settings) as service:
        await service.indexing.run(settings.folders)
        yield service


async def ask(
    service: Service, question: str, tenant: str | None, thread: str | None = None
) -> RagOutput:
    events = [
        event async for event in service.answer(question, service.context(), thread, tenant=tenant)
    ]
    output: RagOutput = events[-1]["data"]
    return output


async def test_each_tenant_is_answered_from_its_own_documents(service: Service) -> None:
    tenants = [None, "acme", "default", "nobody"]
    question = "When does the office in Lisbon open?"
    answers = await asyncio.gather(*(ask(service, question, tenant) for tenant in tenants))
    sources = [{passage["source"] for passage in answer["documents"]} for answer in answers]
    assert sources == [{"default/office.md"}, {"acme/office.md"}, {"default/office.md"}, set()]
    assert answers[3]["status"] == "not_found"


async def test_a_thread_of_the_same_name_is_another_conversation(service: Service) -> None:
    await ask(service, "What is the door code of Acme?", "acme", thread="t")
    states = {
        tenant: await service.threads.checkpointer.aget(
            {"configurable": {"thread_id": f"{tenant}/t", "checkpoint_ns": ""}}
        )
        for tenant in NOTES
    }
    assert states["acme"] is not None
    assert states["default"] is None
