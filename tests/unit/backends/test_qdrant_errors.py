import grpc  # type: ignore[import-untyped]  # publishes no types
import httpx
import pytest
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from backends.qdrant_errors import server_errors, without_secrets
from errors import VectorStoreUnavailable

PLACE = "http://qdrant:6333"


def _answer(status: int, content: bytes = b"") -> UnexpectedResponse:
    return UnexpectedResponse(status, "reason", content, httpx.Headers({"api-key": "secret"}))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ResponseHandlingException(httpx.ConnectError("refused")), "does not answer .refused"),
        (ResponseHandlingException(httpx.ReadTimeout("")), "does not answer .ReadTimeout"),
        (httpx.ConnectTimeout("slow"), "TANDEM_QDRANT__URL"),
        (grpc.RpcError(), "does not answer"),
        (_answer(401), "Check TANDEM_QDRANT__API_KEY"),
        (_answer(403), "Check TANDEM_QDRANT__API_KEY"),
        (_answer(500, b"disk is gone"), r"\(500\): disk is gone"),
    ],
)
def test_a_clients_error_names_the_server_and_what_to_check(error: Exception, said: str) -> None:
    with pytest.raises(VectorStoreUnavailable, match=said) as caught, server_errors(PLACE):
        raise error
    assert PLACE in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), server_errors(PLACE):
        raise KeyError("ours")


def test_a_url_is_shown_without_its_secrets() -> None:
    assert without_secrets("https://me:pw@host:6333/base?api_key=x#y") == "https://host:6333/base"
    assert without_secrets("http://host") == "http://host"
