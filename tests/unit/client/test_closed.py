"""Clients that are closed, and arguments that are wrong: nothing is sent, and what is raised has a type."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heimdex.client import AsyncClient, Cancelled, Client, Closed, HeimdexError, InvalidArgument, NotConfigured

NOWHERE = "127.0.0.1:1"
CALLS: tuple[Callable[[Client], object], ...] = (
    lambda client: client.get_scene("scn_1"),
    lambda client: list(client.search("고양이")),
    lambda client: list(client.list_videos()),
    lambda client: list(client.watch_videos()),
    lambda client: list(client.watch_video("vid_1")),
)
MISTAKES: tuple[Callable[[Client], object], ...] = (
    lambda client: client.search("고양이", tag=["espresso"]),  # type: ignore[call-arg]  # mypy sees them too
    lambda client: client.search("고양이", language=["ko"]),  # type: ignore[call-arg]
    lambda client: client.similar("scn_1", bogus=1),  # type: ignore[call-arg]
    lambda client: client.search("고양이", tags="cat"),  # type: ignore[arg-type]
    lambda client: client.similar("scn_1", video_ids="vid_1"),  # type: ignore[arg-type]
    lambda client: client.search("고양이", facets="tags"),  # type: ignore[arg-type]
    lambda client: client.search(None),  # type: ignore[arg-type]
    lambda client: client.suggest(None),  # type: ignore[arg-type]
    lambda client: client.enrol_person(None, []),  # type: ignore[arg-type]
    lambda client: client.search(image=5),  # type: ignore[arg-type]
    lambda client: client.scene_media("scn_1"),  # type: ignore[arg-type]
    lambda client: client.enrol_person("민지", "a.jpg"),
    lambda client: client.enrol_person("민지", Path("a.jpg")),  # type: ignore[arg-type]
    lambda client: client.enrol_person("민지", [], aliases="Minji"),  # type: ignore[arg-type]
    lambda client: client.create_generation(dictionary="고양이"),  # type: ignore[arg-type]
    lambda client: client.create_generation(synonyms=["고양이"]),  # type: ignore[list-item]
)
UNFIT: tuple[tuple[Callable[[Client], object], str], ...] = (
    (lambda client: client.search("고양이", limit=1 << 40), "page_size"),
    (lambda client: client.search("\ud800"), "query"),
    (lambda client: client.search("고양이", tags=["\ud800"]), "filter.tags"),
    (lambda client: client.similar("scn_1", limit=1 << 40), "page_size"),
    (lambda client: client.get_scene("\ud800"), "scene_id"),
    (lambda client: client.suggest("고", page_size=1 << 40), "page_size"),
    (lambda client: client.enrol_person("민지", [], request_id="\ud800"), "request_id"),
    (lambda client: client.create_generation(synonyms=[["\ud800"]]), "vocabulary.synonyms.words"),
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_type_error_where_it_is_made(mistake: Callable[[Client], object]) -> None:
    with Client(NOWHERE, "token") as client, pytest.raises(TypeError):
        mistake(client)


@pytest.mark.parametrize(("call", "field"), UNFIT)
def test_what_no_message_holds_is_refused_as_the_gateway_does(call: Callable[[Client], object], field: str) -> None:
    with Client(NOWHERE, "token") as client, pytest.raises(InvalidArgument) as refused:
        call(client)
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_client_says_so(call: Callable[[Client], object]) -> None:
    client = Client(NOWHERE, "token")
    client.close()
    client.close()
    with pytest.raises(Closed) as closed:
        call(client)
    assert isinstance(closed.value, Cancelled)
    assert closed.value.reason == "CLIENT_CLOSED"


def test_a_stream_of_a_closed_client_can_be_closed_too() -> None:
    with Client(NOWHERE, "token") as client:
        begun, unread = client.list_videos(), client.search("고양이")
    with pytest.raises(Closed):
        next(begun)
    begun.close()
    unread.close()


async def test_an_async_client_that_is_closed_says_so_too() -> None:
    client = AsyncClient(NOWHERE, "token")
    await client.close()
    with pytest.raises(Closed):
        await client.get_scene("scn_1")
    for frames in (client.search("고양이"), client.watch_videos(), client.watch_video("vid_1")):
        with pytest.raises(Closed):
            await anext(frames)


@pytest.mark.parametrize("token", ["토큰", "a\nb", "\ud800"])
def test_a_token_that_cannot_be_sent_is_none(token: str) -> None:
    with pytest.raises(NotConfigured, match="heimdex token"):
        Client(NOWHERE, token)


def test_a_call_on_the_clients_own_thread_is_refused_and_does_not_wait() -> None:
    with Client(NOWHERE, "token") as client:
        refused: list[str] = []
        tried = threading.Event()

        def callback() -> None:
            for call in (lambda: client.get_scene("scn_1"), client.close):
                try:
                    call()
                except RuntimeError as error:
                    refused.append(str(error))
            tried.set()

        client._loop.call_soon_threadsafe(callback)
        assert tried.wait(30)
        assert [text.startswith("a blocking call on the client's own thread") for text in refused] == [True, True]
        with pytest.raises(InvalidArgument):
            client.get_scene("\ud800")  # it is still open


def test_nothing_waits_for_a_loop_that_has_stopped() -> None:
    """Whatever another thread has begun when a client is closed comes to an end."""
    for _ in range(20):
        client = Client(NOWHERE, "token")
        ends: list[type[BaseException]] = []
        threads = [threading.Thread(target=_ended, args=(client, ends)) for _ in range(4)]
        for thread in threads:
            thread.start()
        client.close()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert set(ends) == {Closed}


def _ended(client: Client, ends: list[type[BaseException]]) -> None:
    async def forever() -> Any:
        await asyncio.Event().wait()

    try:
        client._run(forever())
    except HeimdexError as error:
        ends.append(type(error))
