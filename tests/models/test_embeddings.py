import asyncio
import base64
import json
import math
import struct

import numpy as np
import pytest
from aiohttp import web
from gateways import gateway, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.models import bound, embeddings, usage
from memeval.models.bound import BoundModel, EmbeddingFailed, close_route, open_route
from memeval.models.budget import Budget, BudgetSpent
from memeval.models.completion import ModelSpec, Usage
from memeval.models.embeddings import OfflineEmbedder, asked, batches, hashed, pack, texts_of, unpack
from memeval.models.faults import EndpointRefused
from memeval.models.limits import Policy
from memeval.models.prices import Price
from memeval.models.registry import open_embedder
from memeval.models.usage import Ledger

QUICK = Policy(timeout=3.0, first_wait=0.002, longest_wait=0.02, wait=2.0, wait_at_start=0.3)
OFFLINE = ModelSpec("offline")


# -- the offline embedder ---------------------------------------------------------------------------------------------


def test_near_texts_are_near_and_the_numbers_are_frozen():
    vectors = {
        text: hashed(text, 512) for text in ("Ann Lee was born in Arlen.", "Where was Ann Lee born?", "Stock prices fell")
    }
    first, near, far = vectors.values()
    assert first @ near > 0.5 > 0.2 > abs(float(first @ far))
    assert hashed("ÉCOLE", 512) @ hashed("ecole", 512) == pytest.approx(1.0)
    # one word of one letter: the features "a" and "#^a$" with weights 1 and 1/4. Their CRC-32 (0xE8B7BE43 is the check value
    # that every table prints for "a") are odd, so both count up, at 0xE8B7BE43 >> 1 and 0xB5046241 >> 1 modulo 512.
    assert crc32(b"a") == 0xE8B7BE43
    assert crc32(b"#^a$") == 0xB5046241
    expected = np.zeros(512)
    expected[0x745BDF21 % 512], expected[0x5A823120 % 512] = 1.0, 0.25
    assert hashed("A", 512) == pytest.approx(expected / math.sqrt(1 + 1 / 16))


def crc32(data):
    """By the definition: the reflected polynomial 0xEDB88320, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_any_text_has_a_vector_of_length_one_or_zero(text):
    vector = hashed(text, 512)
    assert (vector.shape, vector.dtype) == ((512,), np.float32)
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0 if np.any(vector) else 0.0, abs=1e-5)
    assert (vector == hashed(text, 512)).all()


def test_vectors_are_packed_as_openai_sends_them():
    assert base64.b64decode(pack(np.array([1.0, -2.5]))) == struct.pack("<2f", 1.0, -2.5)
    assert unpack([pack(np.array([1.0, -2.5])), pack(np.array([0.0, 3.0]))]).tolist() == [[1.0, -2.5], [0.0, 3.0]]
    assert unpack([]).shape == (0, 0)
    with pytest.raises(UsageError, match="vectors of 1 and of 2 numbers"):
        unpack([pack(np.array([1.0])), pack(np.array([1.0, 2.0]))], "m")


@given(st.lists(st.text(max_size=6), max_size=30), st.integers(1, 5), st.integers(1, 12))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_batches_hold_everything_once_and_in_order(texts, largest, longest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "LARGEST_BATCH", largest)
        patch.setattr(embeddings, "LONGEST_BATCH", longest)
        made = list(batches(texts))
    assert [text for batch in made for text in batch] == texts
    for batch in made:
        assert 1 <= len(batch) <= largest
        assert len(batch) == 1 or sum(map(len, batch)) <= longest


# -- a bound model of the role ----------------------------------------------------------------------------------------


class Session:
    """A bound embedder over a gateway, and what was booked."""

    def __init__(self, spec=OFFLINE, **options):
        self.spec = spec
        self.options = {"policy": QUICK, **options}
        self.ledger = Ledger("ingest")

    def run(self, work):
        async def main():
            self.gateway = gateway(**self.options)

            route = open_route(lambda request: self.gateway.call(self.spec, request), asyncio.get_running_loop())
            usage.current.set(self.ledger)
            try:
                return await work(BoundModel(self.spec.name, "embedder", route, self.spec.params))
            finally:
                close_route(route)
                await self.gateway.close()

        return asyncio.run(main())


def test_texts_become_an_array_and_are_booked_as_one_call():
    session = Session()
    texts = ["Ann Lee", "Bob Ray", "Ann Lee"]
    vectors = session.run(lambda model: model.embed(texts))
    assert (vectors.shape, vectors.dtype) == ((3, 512), np.float32)
    assert (vectors[0] == vectors[2]).all()
    assert vectors[0] == pytest.approx(hashed("Ann Lee", 512))
    assert session.ledger.calls == {"embedder": 1}
    assert session.ledger.tokens["embedder"] == Usage(prompt=4)  # two distinct texts of seven characters
    assert session.gateway.requests == 1
    assert Session().run(lambda model: model.embed([])).shape == (0, 0)


def test_agents_with_plain_methods_embed_from_their_thread():
    session = Session()

    async def work(model):
        context = bound.usage.current.get()

        def plain():
            usage.current.set(context)
            return model.embed_sync(["Ann Lee"])

        return await asyncio.to_thread(plain)

    assert session.run(work).shape == (1, 512)
    assert session.ledger.calls == {"embedder": 1}


def test_one_text_is_no_list_of_texts():
    with pytest.raises(TypeError, match="list of texts"):
        Session().run(lambda model: model.embed("Ann"))


@pytest.mark.parametrize("name", ["scripted:x.jsonl", "cohere/embed-v3"])
def test_models_that_embed_nothing(name):
    with pytest.raises(UsageError, match="use offline, openai/NAME, NAME@URL or hf/WEIGHTS"):
        open_embedder(ModelSpec(name))


# -- endpoints --------------------------------------------------------------------------------------------------------


def vector(text):
    return [float(len(text)), 0.5, -1.0]


class EmbeddingServer:
    """`/v1/embeddings`. behave(texts, attempt) -> a status, a body, or None for a good reply. encoded: as base64."""

    def __init__(self, behave=lambda asked, attempt: None, most=1000, latency=0.0):
        self.behave = behave
        self.most = most
        self.latency = latency
        self.seen = []
        self.keys = []
        self.flying = self.widest = 0

    async def __aenter__(self):
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/embeddings", self.handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *error):
        await self.runner.cleanup()

    async def handle(self, request):
        asked = await request.json()
        self.seen.append(asked)
        self.keys.append(request.headers.get("Authorization"))
        self.flying += 1
        self.widest = max(self.widest, self.flying)
        await asyncio.sleep(self.latency)
        self.flying -= 1
        texts = asked["input"]
        said = self.behave(asked, len(self.seen))
        if said is None and len(texts) > self.most:
            said = (422, {"error": f"batch size {len(texts)} > maximum allowed batch size {self.most}"})
        if isinstance(said, tuple):
            return web.json_response(said[1], status=said[0])
        if said is not None:
            return web.json_response(said)
        return web.json_response(good(asked))


def good(asked, encoded=None):
    encoded = asked.get("encoding_format") == "base64" if encoded is None else encoded
    rows = []
    for number, text in enumerate(asked["input"]):
        value = vector(text)
        rows.append({"index": number, "embedding": pack(np.array(value)) if encoded else value})
    return {"data": rows[::-1], "usage": {"prompt_tokens": sum(len(text) for text in asked["input"]), "total_tokens": 0}}


def embed_at(server, texts, **options):
    """(vectors or the error, session) of one call of the role against a server that runs only for it."""

    async def work(model):
        async with server:
            session.spec = ModelSpec("m", server.url)
            try:
                return await model.embed(texts)
            except EmbeddingFailed as error:
                return error

    session = Session(**options)
    return session.run(work), session


def test_batches_of_bounded_size_go_side_by_side(monkeypatch):
    monkeypatch.setenv("MEMEVAL_API_KEY", "sk-embedding-key")
    server = EmbeddingServer(latency=0.02)
    texts = [f"text {number}" * (number % 3 + 1) for number in range(100)]
    vectors, session = embed_at(server, texts)
    assert vectors.tolist() == [vector(text) for text in texts]
    assert sorted(len(asked["input"]) for asked in server.seen) == [4, 32, 32, 32]
    assert server.widest == 4
    assert {"model": "m", "encoding_format": "base64"}.items() <= server.seen[0].items()
    assert set(server.keys) == {"Bearer sk-embedding-key"}
    assert session.ledger.calls == {"embedder": 1}
    assert session.ledger.tokens["embedder"].prompt == sum(map(len, texts))
    assert session.gateway.requests == 4


def test_the_tokens_of_a_call_are_those_that_the_server_counted():
    _, session = embed_at(
        EmbeddingServer(lambda asked, attempt: {**good(asked), "usage": {"prompt_tokens": 10}}), ["a", "b", "a"]
    )
    assert session.ledger.tokens["embedder"] == Usage(prompt=10)


def test_lists_are_read_as_well_and_asked_for_where_base64_is_refused():
    vectors, _ = embed_at(EmbeddingServer(lambda asked, attempt: good(asked, encoded=False)), ["a", "bcd"])
    assert vectors.tolist() == [vector("a"), vector("bcd")]

    def old(asked, attempt):  # FastAPI's words; a server that is as strict about the field as about its value
        detail = [{"type": "extra_forbidden", "loc": ["body", "encoding_format"], "msg": "Extra inputs are not permitted"}]
        return (422, {"detail": detail}) if "encoding_format" in asked else None

    server = EmbeddingServer(old)
    vectors, _ = embed_at(server, ["a", "bcd"])
    assert vectors.tolist() == [vector("a"), vector("bcd")]
    assert [asked.get("encoding_format") for asked in server.seen] == ["base64", None]
    texts = [str(number) for number in range(96)]
    server = EmbeddingServer(old, latency=0.02)  # three requests are in the air when the first is refused
    vectors, _ = embed_at(server, texts)
    assert vectors.tolist() == [vector(text) for text in texts]
    assert [asked.get("encoding_format") for asked in server.seen] == ["base64"] * 3 + [None] * 3


def test_a_batch_that_is_rejected_fails_its_call_in_the_servers_words(tmp_path):
    refusal = (422, {"error": "batch size 32 > maximum allowed batch size 8"})
    server = EmbeddingServer(lambda asked, attempt: refusal)
    file = tmp_path / "calls.sqlite"
    error, session = embed_at(server, [str(number) for number in range(20)], store=file)
    assert str(error) == "HTTP 422: batch size 32 > maximum allowed batch size 8"
    assert (len(server.seen), stored(file)) == (1, 0)
    assert session.ledger.failures == [f"embedder: {error}"]


def test_one_failed_batch_fails_the_call():
    server = EmbeddingServer(lambda asked, attempt: (422, {"error": "no"}) if "50" in asked["input"] else None)
    error, session = embed_at(server, [str(number) for number in range(70)])
    assert str(error) == "HTTP 422: no"
    assert (len(server.seen), session.ledger.failures) == (3, ["embedder: HTTP 422: no"])


def test_rows_without_numbers_are_in_order():
    def unnumbered(asked, attempt):
        rows = good(asked)["data"][::-1]
        return {"data": [{**row, "index": None} for row in rows]}

    vectors, _ = embed_at(EmbeddingServer(unnumbered), ["a", "bcd"])
    assert vectors.tolist() == [vector("a"), vector("bcd")]


def test_a_text_beyond_the_window_fails_its_call():
    def short(asked, attempt):
        longest = max(map(len, asked["input"]))
        return (400, {"error": {"message": "maximum context length is 8 tokens"}}) if longest > 20 else None

    error, session = embed_at(EmbeddingServer(short), ["a", "b", "c" * 30, "d"])
    assert str(error) == "a text of up to 30 characters exceeds the window of the embedder 'm'"
    assert session.ledger.failures == [f"embedder: {error}"]


@pytest.mark.parametrize(
    "bad",
    [
        (500, {}),
        (429, {}),
        [],
        {"data": None},
        {"data": []},
        {"error": {"message": "busy"}},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": [], "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, 7]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "no base64"}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": {"a": 1}}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [None]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1e60]}]},
    ],
    ids=lambda bad: json.dumps(bad)[:60],
)
def test_what_is_no_embedding_is_asked_for_again(bad):
    vectors, session = embed_at(EmbeddingServer(lambda asked, attempt: bad if attempt == 1 else None), ["a", "bcd"])
    assert vectors.tolist() == [vector("a"), vector("bcd")]
    assert session.gateway.requests == 2
    assert not session.ledger.failures


def test_what_lasts_ends_in_one_line():
    error, session = embed_at(
        EmbeddingServer(lambda asked, attempt: {"data": 7} if asked["input"] == ["a"] else None), ["a"]
    )
    assert "the reply has no embeddings (given up after 8 attempts)" in str(error)
    assert len(session.ledger.failures) == 1


def test_a_wrong_url_stops_the_run():
    with pytest.raises(EndpointRefused, match="check the model name"):
        embed_at(EmbeddingServer(lambda asked, attempt: (404, {"error": "no"})), ["a"])


# -- journal, cache, equal texts --------------------------------------------------------------------------------------


class Counting(OfflineEmbedder):
    """Notes what it is asked."""

    def __init__(self, latency=0.0):
        self.asked = []
        self.latency = latency

    async def complete(self, request):
        self.asked.append(texts_of(request))
        await asyncio.sleep(self.latency)
        return await super().complete(request)


@pytest.fixture
def counting(monkeypatch):
    """`counting(...)` becomes the embedder of every gateway."""

    def make(**options):
        model = Counting(**options)
        monkeypatch.setattr("memeval.models.registry.open_embedder", lambda spec, limiter: model)
        return model

    return make


SPEC = ModelSpec("m", "http://127.0.0.1:9/v1")


def vectors(door, texts, **params):
    return door.call(SPEC, asked(texts, params))


def through(work, **options):
    """What `work(gateway)` gives with a gateway that is closed afterwards, and what its calls come to."""

    async def main():
        rows = []
        door = gateway(on_call=rows.append, **options)
        try:
            return await work(door), rows
        finally:
            await door.close()

    return asyncio.run(main())


def test_a_list_of_texts_is_one_call_that_is_kept(counting, tmp_path, own_cache):
    model = counting()
    sources = []

    def run(texts, name):
        found, rows = through(lambda door: vectors(door, texts), store=tmp_path / name, cache=True)
        sources.extend(row.source for row in rows)
        return unpack(found.text.split())

    first = run(["a", "b"], "one")
    assert model.asked == [["a", "b"]]
    assert (run(["a", "b"], "one") == first).all()  # from the run's store
    assert (run(["a", "b"], "two") == first).all()  # another run: from the cache
    assert len(model.asked) == 1
    assert sources == ["model", "stored", "cache"]
    through(lambda door: vectors(door, ["a", "b"], dimensions=5))
    assert len(model.asked) == 2  # other parameters, other vectors


def test_equal_calls_in_flight_are_sent_once(counting):
    model = counting(latency=0.05)

    async def work(door):
        return await asyncio.gather(vectors(door, ["a", "b"]), vectors(door, ["a", "b"]))

    (first, second), rows = through(work)
    assert first == second
    assert model.asked == [["a", "b"]]
    assert sorted(row.source for row in rows) == ["model", "shared"]


@pytest.mark.usefixtures("clock")
def test_the_one_that_waits_sends_the_call_when_the_other_is_cancelled(counting):
    model = counting(latency=0.1)

    async def work(door):
        one = asyncio.create_task(vectors(door, ["a"]))
        await asyncio.sleep(0.02)
        two = asyncio.create_task(vectors(door, ["a"]))
        await asyncio.sleep(0.02)
        one.cancel()
        return await two

    found, _ = through(work)
    assert found.error is None
    assert model.asked == [["a"], ["a"]]


def test_a_budget_counts_calls_for_vectors_as_any_other(counting):
    model = counting()

    async def work(door):
        await vectors(door, ["a", "b"])
        await vectors(door, ["c"])

    with pytest.raises(BudgetSpent, match="--max-calls 1 is used up"):
        through(work, budget=Budget(max_calls=1))
    assert model.asked == [["a", "b"]]


def test_texts_whose_vectors_would_cost_more_than_is_left_are_not_sent(counting):
    """A vector has no reply to pay for: what it costs is known before it is asked for."""
    model = counting()
    budget = Budget(max_usd=1.0, price=lambda name, url: Price(0.01, 0.0, 0.01, "test"))

    async def work(door):
        await vectors(door, ["x" * 4])
        await vectors(door, ["x" * 4000])

    with pytest.raises(BudgetSpent, match="--max-cost 1 leaves no room"):
        through(work, budget=budget)
    assert model.asked == [["x" * 4]]


def test_the_window_bounds_each_text_and_not_all_texts_of_a_call(counting):
    model = counting()
    texts = [f"word {number}" for number in range(50)]
    found, _ = through(lambda door: vectors(door, texts, context=20))
    assert (found.finish_reason, model.asked) == ("stop", [texts])
