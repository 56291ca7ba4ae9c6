"""Uploading, listing and deleting over HTTP: what is taken, by what name, and whose it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.keys import SCOPES, KeyRing, Scope
from api.security import Caller
from api.service import Service, keeping_up, open_service
from errors import FingerprintMismatch
from mcp_bridge.service_library import ServiceLibrary
from server import create_app
from settings import Settings

LAMP = b"# Lamp\n\nThe lamp in the hall is green.\n"
Client = Callable[[str | None], httpx.AsyncClient]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    for name in ("notes", "acme"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text(f"# {name}\n\nThe door of {name} is blue.\n")
    settings = Settings(
        data_dir=tmp_path / "data",
        roots=[tmp_path / "notes"],
        tenants={"acme": [tmp_path / "acme"]},
        max_file_bytes=200_000,
        _env_file=None,
    )
    async with open_service(settings) as service, keeping_up(service):
        await service.indexing.run(settings.folders)
        yield service


def local_client(service: Service) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(service))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60)


@pytest.fixture
def client(service: Service) -> Client:
    app = create_app(service)

    def made(token: str | None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60
        )

    return made


@pytest.fixture
async def local(client: Client) -> AsyncIterator[httpx.AsyncClient]:
    async with client(None) as made:
        yield made


def key(service: Service, tenant: str, *scopes: Scope) -> str:
    ring = KeyRing(service.settings.data_dir)
    return ring.create(f"{tenant}-{len(ring.all())}", scopes, tenant)


async def upload(
    client: httpx.AsyncClient, name: str, content: bytes = LAMP, **options: Any
) -> httpx.Response:
    query = {"wait": True, **options}
    return await client.post("/documents", params=query, files={"file": (name, content)})


async def sources(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/documents")
    return sorted(document["source"] for document in answer.json()["documents"])


def uploads(service: Service) -> Path:
    """Where the default tenant's files are kept."""
    return service.settings.uploads / "default"


def kept_files(service: Service) -> list[Path]:
    return [path for path in service.settings.uploads.rglob("*") if path.is_file()]


async def ask(client: httpx.AsyncClient, question: str) -> Any:
    answer = await client.post("/ask", json={"question": question, "stream": False})
    return answer.json()


async def test_an_uploaded_file_is_indexed_and_answers(local: httpx.AsyncClient) -> None:
    taken = await upload(local, "lamp.md")
    assert taken.status_code == 201
    assert taken.json()["source"] == "uploads/default/lamp.md"
    assert taken.json()["state"] == "indexed"
    answer = await ask(local, "Which colour has the lamp in the hall?")
    assert "green" in answer["answer"]
    assert answer["citations"][0]["source"] == "uploads/default/lamp.md"


async def test_without_waiting_it_is_listed_as_pending_and_indexed_soon(
    local: httpx.AsyncClient, service: Service
) -> None:
    taken = await upload(local, "lamp.md", wait=False)
    assert (taken.status_code, taken.json()["state"]) == (201, "pending")
    for task in list(service.at_work):
        await task
    assert "uploads/default/lamp.md" in await sources(local)


async def test_another_file_of_the_name_is_replaced_only_when_that_is_said(
    local: httpx.AsyncClient, service: Service
) -> None:
    assert (await upload(local, "lamp.md")).status_code == 201
    assert (await upload(local, "lamp.md")).status_code == 201  # the same: nothing to object to
    other = b"# Lamp\n\nThe lamp in the hall is red.\n"
    refused = await upload(local, "lamp.md", other)
    assert refused.status_code == 409
    assert "replace=true" in refused.json()["error"]["message"]
    assert (uploads(service) / "lamp.md").read_bytes() == LAMP
    assert (await upload(local, "lamp.md", other, replace=True)).status_code == 201
    assert "red" in (await ask(local, "Which colour has the lamp in the hall?"))["answer"]


NAMES = [
    ("../../etc/lamp.md", "lamp.md"),
    ("C:\\temp\\lamp.md", "lamp.md"),
    (".lamp.md", "lamp.md"),
    ("a\u202egpj.md", "agpj.md"),
    ("a<b>:c?.md", "a_b__c_.md"),
    ("x" * 300 + ".md", "x" * 197 + ".md"),
    ("Türe é.md", "Türe é.md"),
]


async def test_names_are_kept_without_what_deceives(
    local: httpx.AsyncClient, service: Service
) -> None:
    for given, kept in NAMES:
        taken = await upload(local, given, wait=False)
        assert taken.status_code == 201, taken.text
        assert taken.json()["source"] == f"uploads/default/{kept}"
        assert (uploads(service) / kept).read_bytes() == LAMP


NO_DOCUMENTS = [
    ("..", LAMP, "cannot name"),
    ("CON.md", LAMP, "cannot name"),
    ("empty.md", b"", "is empty"),
    ("blank.txt", b" \n ", "is empty"),
    ("page.pdf", b"<html>no pdf</html>", "no pdf file"),
    ("word.docx", LAMP, "no docx file"),
    ("program.md", b"\x7fELF\x02\x01\x01\x00" + bytes(200), "cannot be read as text"),
    ("picture.png", b"\x89PNG", "no text"),
    ("key.pem", b"-----BEGIN", "no text"),
]


async def test_what_cannot_be_indexed_is_refused_and_not_kept(
    local: httpx.AsyncClient, service: Service
) -> None:
    for name, content, reason in NO_DOCUMENTS:
        refused = await upload(local, name, content)
        assert refused.status_code == 400, refused.text
        assert reason in refused.json()["error"]["message"]
    assert kept_files(service) == []


async def test_a_file_too_large_is_refused_and_not_kept(
    local: httpx.AsyncClient, service: Service
) -> None:
    refused = await upload(local, "large.txt", b"word " * 100_000)
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "body_too_large"
    assert kept_files(service) == []


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n'
NO_UPLOADS: list[dict[str, Any]] = [
    {"content": PART + b"\r\ncut", "headers": FORM},
    {"content": PART + b"X-A: b\r\n" * 5_000 + b"\r\ntext\r\n--b--\r\n", "headers": FORM},
    {"content": PART + b"X-A: " + b"x" * 100_000, "headers": FORM},
    {
        "content": b"--b\r\nContent-Disposition: \xff\xfe; name\r\n\r\na\r\n--b--\r\n",
        "headers": FORM,
    },
    {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "b" * 9_999}},
    {"content": b"x", "headers": {"Content-Type": b"multipart/form-data; boundary=\xff"}},
    {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b; charset=x"}},
    {"data": {f"x{number}": "y" for number in range(2_000)}, "files": {"file": ("a.md", LAMP)}},
    {"files": [("file", ("a.md", LAMP)), ("file", ("b.md", LAMP))]},
    {"files": {"file": ("x" * 10_000 + ".md", LAMP)}},
    {"files": {"file": ("", LAMP)}},
    {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    {"content": b"x", "headers": {"Content-Type": "application/octet-stream"}},
    {"json": {"file": "x"}},
    {"files": {"other": ("a.md", LAMP)}},
    {"data": {"file": "text"}},
]


# Starlette leaves the beginning of a file that is cut off to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function SpooledTemporaryFile")
async def test_what_is_no_upload_is_a_clear_error(
    local: httpx.AsyncClient, service: Service
) -> None:
    for sent in NO_UPLOADS:
        refused = await local.post("/documents", **sent)
        assert 400 <= refused.status_code < 500, (sent, refused.text)
        assert refused.json()["error"]["message"]
    assert kept_files(service) == []


async def test_deleting_takes_the_file_and_its_passages(
    local: httpx.AsyncClient, service: Service
) -> None:
    await upload(local, "lamp.md")
    gone = await local.delete("/documents/uploads/default/lamp.md")
    assert gone.json() == {"deleted": "uploads/default/lamp.md"}
    assert kept_files(service) == []
    assert await sources(local) == ["notes/a.md"]
    assert (await ask(local, "Which colour has the lamp in the hall?"))["status"] == "not_found"
    assert (await local.delete("/documents/uploads/default/lamp.md")).status_code == 404


async def test_what_is_not_listed_cannot_be_deleted(local: httpx.AsyncClient) -> None:
    for source in ("%2e%2e/etc/passwd", "uploads/%2e%2e/notes/a.md", "%00", "%ff", "x" * 5000):
        refused = await local.delete(f"/documents/{source}")
        assert refused.status_code == 404


async def test_files_of_watched_folders_are_deleted_only_where_that_is_allowed(
    local: httpx.AsyncClient, service: Service
) -> None:
    refused = await local.delete("/documents/notes/a.md")
    assert refused.status_code == 403
    assert "TANDEM_DELETE_IN_ROOTS" in refused.json()["error"]["message"]
    service.settings.delete_in_roots = True
    assert (await local.delete("/documents/notes/a.md")).status_code == 200
    assert not (service.settings.roots[0] / "a.md").exists()


async def test_a_link_out_of_the_uploads_is_never_followed(
    local: httpx.AsyncClient, service: Service, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("The secret.")
    uploads(service).mkdir()
    (uploads(service) / "link.md").symlink_to(secret)
    refused = await upload(local, "link.md", replace=True)
    assert refused.status_code == 409
    assert secret.read_text() == "The secret."


async def test_each_tenant_has_its_own_documents(service: Service, client: Client) -> None:
    mine, theirs = (key(service, tenant, "ask", "read", "write") for tenant in ("default", "acme"))
    async with client(mine) as default, client(theirs) as acme:
        assert (await upload(acme, "lamp.md")).json()["source"] == "uploads/acme/lamp.md"
        assert await sources(acme) == ["acme/a.md", "uploads/acme/lamp.md"]
        assert await sources(default) == ["notes/a.md"]
        listed = (await acme.get("/documents")).json()
        assert listed["points"] == 2
        assert listed["watching"] == []
        lamp = "Which colour has the lamp in the hall?"
        assert "green" in (await ask(acme, lamp))["answer"]
        assert (await ask(default, lamp))["status"] == "not_found"
        refused = await default.delete("/documents/uploads/acme/lamp.md")
        assert refused.status_code == 404
        assert await sources(acme) == ["acme/a.md", "uploads/acme/lamp.md"]


async def test_a_file_named_as_a_tenant_stays_its_senders(service: Service, client: Client) -> None:
    mine, theirs = (key(service, tenant, "ask", "read", "write") for tenant in ("default", "acme"))
    async with client(mine) as default, client(theirs) as acme:
        assert (await upload(default, "acme")).json()["source"] == "uploads/default/acme"
        assert await sources(acme) == ["acme/a.md"]
        assert (await upload(acme, "lamp.md")).status_code == 201  # its folder is not taken


async def test_a_strangers_file_is_not_even_read(service: Service) -> None:
    """The application itself is asked: a client would send the whole file."""
    key(service, "default", "read")
    received, answered = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": PART, "more_body": received < 1_000}

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", FORM["Content-Type"].encode())]
    scope = {
        "type": "http", "method": "POST", "path": "/documents", "raw_path": b"/documents",
        "query_string": b"", "root_path": "", "headers": headers, "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await create_app(service)(scope, receive, send)
    assert answered[0]["status"] == 401
    assert received == 0


async def test_too_many_files_at_once_are_sent_away(
    service: Service, local: httpx.AsyncClient
) -> None:
    waiting = [asyncio.create_task(asyncio.sleep(60)) for _ in range(100)]
    service.at_work.update(waiting)
    refused = await upload(local, "lamp.md")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    service.at_work.clear()
    assert (await upload(local, "lamp.md")).status_code == 201
    for task in waiting:
        task.cancel()


async def test_a_sync_tells_whoever_may_not_know_of_all_of_no_single_file(
    service: Service, client: Client
) -> None:
    acme = service.settings.tenants["acme"][0]
    writes, admin = key(service, "default", "write"), key(service, "default", "write", "admin")
    (acme / "secret-plan.md").write_text("# Plan\n\nWords.\n")
    (service.settings.roots[0] / "broken.pdf").write_bytes(b"%PDF- broken")
    async with client(writes) as limited:
        told = await limited.post("/documents/sync", json={})
    assert '"failed": []' in told.text
    assert "secret-plan" not in told.text
    (acme / "second-plan.md").write_text("# Plan\n\nOther words.\n")
    async with client(admin) as sees_all:
        told = await sees_all.post("/documents/sync", json={})
    assert "broken.pdf" in told.text


async def tellings(service: Service, client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Every way in which a caller is told how the index does."""
    known = service.keys.find(client.headers["Authorization"].removeprefix("Bearer "))
    assert known is not None
    library = ServiceLibrary(service, Caller(known.name, known.tenant, known.scopes))
    return [
        await ask(client, "Which colour has the door?"),
        (await client.post("/search", json={"query": "door"})).json(),
        (await client.get("/documents")).json(),
        await library.documents(),
    ]


async def test_no_tenant_reads_the_names_of_anothers_folders(
    service: Service, client: Client, tmp_path: Path
) -> None:
    (acme,) = service.settings.tenants["acme"]
    await asyncio.to_thread(acme.rename, tmp_path / "elsewhere")
    async with asyncio.timeout(30):
        while "acme" not in (await service.freshness())["reason"]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    reader, admin = key(service, "default", "ask", "read"), key(service, "default", *SCOPES)
    async with client(reader) as reads, client(admin) as sees_all:
        told = await tellings(service, reads)
        assert "acme" not in json.dumps(told)
        assert {each["index"]["state"] for each in told} == {"paused"}
        assert all("callers with the scope `admin`" in each["index"]["reason"] for each in told)
        for path in ("/metrics", "/readyz"):
            assert "acme" not in (await reads.get(path)).text
        answered, searched, *listed = await tellings(service, sees_all)
        # What is asked may be kept in a conversation, for others of the tenant to read.
        assert "acme" not in json.dumps([answered, searched])
        assert all("acme" in each["index"]["reason"] for each in listed)


async def test_a_service_without_keys_tells_everything(service: Service, client: Client) -> None:
    (service.settings.data_dir / "outside").mkdir()
    await service.indexing.run([service.settings.data_dir / "outside"])
    async with client(None) as local:
        assert "outside" in (await ask(local, "Which colour?"))["index"]["reason"]
        assert "outside" in (await local.get("/documents")).json()["index"]["reason"]


async def test_an_upload_looks_at_no_other_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", roots=[], _env_file=None)
    async with open_service(settings) as service, local_client(service) as local:  # not watched
        first = await upload(local, "first.md")
        assert first.json()["source"] == "uploads/default/first.md"
        (uploads(service) / "first.md").write_text("# Lamp\n\nThe lamp in the cellar is red.\n")
        second = await upload(local, "second.md", b"# Rug\n\nThe rug is grey.\n")
        assert (second.status_code, second.json()["state"]) == (201, "indexed")
        assert second.json()["source"] == "uploads/default/second.md"
        assert service.indexing.report is not None
        assert service.indexing.report.added == 1
        listed = (await local.get("/documents", params={"source": first.json()["source"]})).json()
        assert listed["documents"] == [first.json()]  # whoever had looked had seen the change
        compared = await service.indexing.run([settings.uploads])
        assert (compared.changed, compared.unchanged) == (1, 1)


async def test_an_upload_under_another_model_than_the_indexs_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", roots=[], _env_file=None)
    async with open_service(settings) as service, local_client(service) as local:
        await upload(local, "first.md")

        async def mismatch() -> None:
            raise FingerprintMismatch("made by another model")

        service.backends.store.require_fit = mismatch  # type: ignore[method-assign]  # no second model is at hand
        refused = await upload(local, "second.md", b"# Rug\n\nThe rug is grey.\n")
        assert refused.json()["error"]["code"] == "fingerprint_mismatch"
        assert await sources(local) == ["uploads/default/first.md"]


async def test_writing_needs_its_scope_and_other_paths_this_machines_user(
    service: Service, client: Client, tmp_path: Path
) -> None:
    async with client(key(service, "default", "read")) as reads:
        assert (await upload(reads, "lamp.md")).status_code == 403
        assert (await reads.delete("/documents/notes/a.md")).status_code == 403
    async with client(key(service, "default", "write")) as writes:
        refused = await writes.post("/documents/sync", json={"paths": [str(tmp_path)]})
        assert refused.status_code == 403
        synced = await writes.post("/documents/sync", json={})
        assert "event: done" in synced.text


async def test_the_list_is_filtered_and_paged(local: httpx.AsyncClient) -> None:
    for name in ("a.md", "b.md", "c.md"):
        await upload(local, name, LAMP + name.encode())
    page = await local.get("/documents", params={"source": "uploads/", "offset": 1, "limit": 1})
    assert [document["source"] for document in page.json()["documents"]] == ["uploads/default/b.md"]
    assert page.json()["total"] == 3
    assert page.json()["states"] == {"indexed": 4}
    failed = await local.get("/documents", params={"state": "failed"})
    assert failed.json()["documents"] == []
    wrong = await local.get("/documents", params={"limit": 0})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["field"] == "query.limit"
