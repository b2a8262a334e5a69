import subprocess
import sys

import pytest

from memeval.errors import UsageError
from memeval.models import registry
from memeval.models.completion import ModelSpec
from memeval.models.endpoint import EndpointModel
from memeval.models.keys import OPENAI_URL
from memeval.models.registry import checked_url, fills_cache, known, open_model, parse_role, route


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for variable in ("MEMEVAL_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)


def header(spec):
    """The Authorization header a model would send."""
    model = open_model(spec)
    assert isinstance(model, EndpointModel)
    return model._key


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("offline", ModelSpec("offline")),
        ("openai/gpt-4o", ModelSpec("openai/gpt-4o")),
        ("Qwen/Qwen3-4B@http://localhost:8000/v1/", ModelSpec("Qwen/Qwen3-4B", "http://localhost:8000/v1")),
        (" m@https://HOST.example/v1 ", ModelSpec("m", "https://host.example/v1")),
        ("@cf/meta/llama", ModelSpec("@cf/meta/llama")),
        ("vertex_ai/claude@20250101", ModelSpec("vertex_ai/claude@20250101")),
    ],
)
def test_roles_as_typed(text, spec):
    assert parse_role(text) == spec


@pytest.mark.parametrize("text", ["", "  ", "@http://localhost:8000/v1"])
def test_a_role_without_a_name(text):
    with pytest.raises(UsageError, match="NAME or NAME@URL"):
        parse_role(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/v1//", "http://localhost:8000/v1"),
        ("HTTPS://Host.example/Path/V1", "https://host.example/Path/V1"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_urls_are_normalised(url, expected):
    assert checked_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://ho st/v1",
        "http://host/v1\nX: y",
        "http://host/v1?api-version=1",
        "http://host/v1#x",
        "http://[::1/v1",
        "",
    ],
)
def test_bad_urls_are_a_usage_error_of_one_line(url):
    with pytest.raises(UsageError, match="base URL") as caught:
        checked_url(url)
    assert len(str(caught.value).splitlines()) == 1 or "\n" in url


def test_a_key_in_the_url_is_refused_and_not_shown():
    for url in ("http://user:secret@host/v1", "https://secret@host:8000/v1"):
        for attempt in (lambda url=url: checked_url(url), lambda url=url: parse_role(f"m@{url}")):
            with pytest.raises(UsageError, match="MEMEVAL_API_KEY") as caught:
                attempt()
            assert "secret" not in str(caught.value)


def test_an_address_without_its_scheme_is_no_provider():
    with pytest.raises(UsageError, match="NAME@URL, with http://"):
        route(ModelSpec("m@127.0.0.1:8000/v1"))
    assert route(ModelSpec("vertex_ai/claude@20240229")).kind == "litellm"


@pytest.mark.parametrize(
    ("name", "kind", "its_own", "endpoint"),
    [
        ("offline", "offline", "offline", "offline"),
        ("tiny/warm-start", "tiny", "tiny/warm-start", "tiny/warm-start"),
        ("scripted:a/b.jsonl", "scripted", "a/b.jsonl", "scripted:a/b.jsonl"),
        ("vllm/Qwen/Qwen3-4B", "vllm", "Qwen/Qwen3-4B", "vllm/Qwen/Qwen3-4B"),
        ("openai/gpt-4o", "endpoint", "gpt-4o", "https://api.openai.com/v1"),
        ("anthropic/claude", "litellm", "anthropic/claude", "anthropic"),
        ("openrouter/qwen/qwen3", "litellm", "openrouter/qwen/qwen3", "openrouter"),
    ],
)
def test_what_names_mean(name, kind, its_own, endpoint):
    where = route(ModelSpec(name))
    assert (where.kind, where.name, where.endpoint) == (kind, its_own, endpoint)


@pytest.mark.parametrize("literal", ["openai/gpt-4o", "offline", "scripted:x", "bare"])
def test_a_base_url_makes_the_whole_text_the_name(literal):
    where = route(ModelSpec(literal, "http://h/v1"))
    assert (where.kind, where.name, where.endpoint) == ("endpoint", literal, "http://h/v1")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ofline", "did you mean 'offline'?"),
        ("gpt-4o", "did you mean 'openai/gpt-4o'?"),
        ("Qwen3-4B", "possible: offline, scripted:FILE, openai/NAME, PROVIDER/NAME, NAME@URL"),
        ("/x", "possible:"),
        ("openai/", "possible:"),
        ("", "possible:"),
    ],
)
def test_a_name_that_means_nothing(name, hint):
    with pytest.raises(UsageError) as caught:
        route(ModelSpec(name))
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("openai/m", "m"),
        ("openai/org/m", "org/m"),
        ("m", "m"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),  # no provider is called so
        *(
            (other, None)
            for other in (
                "offline",
                "scripted:f",
                "scripted:a/f",
                "tiny/warm-start",
                "hf/m",
                "vllm/m",
                "anthropic/m",
                "gemini/m",
                "openrouter/m",
            )
        ),
    ],
)
def test_openai_base_url_moves_openais_names_and_those_that_nobody_claims(name, moved, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu:8000/v1/")
    assert parse_role(name) == (ModelSpec(moved, "http://gpu:8000/v1") if moved else ModelSpec(name))
    assert parse_role("m@http://other/v1") == ModelSpec("m", "http://other/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "gpu:8000")
    if moved:
        with pytest.raises(UsageError, match="OPENAI_BASE_URL: "):
            parse_role(name)


def test_the_key_comes_from_the_environment(monkeypatch):
    local = ModelSpec("m", "http://127.0.0.1:1/v1")
    assert header(local) == ""
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        open_model(ModelSpec("openai/gpt-4o"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert header(local) == header(ModelSpec("openai/gpt-4o")) == "sk-openai"
    monkeypatch.setenv("MEMEVAL_API_KEY", " mine \n")
    assert header(local) == "mine"
    assert header(ModelSpec("openai/gpt-4o")) == header(ModelSpec("m", OPENAI_URL)) == "sk-openai"


def test_a_key_no_header_can_carry_is_refused_and_not_shown(monkeypatch):
    for key in ("two words", "schlüssel", "a\r\nX-Other: b"):
        monkeypatch.setenv("MEMEVAL_API_KEY", key)
        with pytest.raises(UsageError, match="MEMEVAL_API_KEY") as caught:
            open_model(ModelSpec("m", "http://127.0.0.1:1/v1"))
        assert key not in str(caught.value)


def test_the_identity_holds_url_and_name_and_no_key(monkeypatch):
    monkeypatch.setenv("MEMEVAL_API_KEY", "sk-secret-key")
    model = open_model(ModelSpec("Qwen/Qwen3-4B", "http://Host:8000/v1/"))
    assert model.identity == "http://host:8000/v1 Qwen/Qwen3-4B"
    assert "secret" not in repr(model)


def test_models_without_a_server(tmp_path):
    path = tmp_path / "rules.jsonl"
    path.write_text('{"reply": "yes"}')
    assert open_model(ModelSpec(f"scripted:{path}")).identity.startswith("scripted ")
    assert open_model(ModelSpec("offline")).identity.startswith("offline")


def test_which_replies_are_worth_keeping():
    assert fills_cache(ModelSpec("m", "http://h/v1"))
    assert fills_cache(ModelSpec("offline", "http://h/v1"))
    assert fills_cache(ModelSpec("openai/gpt-4o"))
    assert not fills_cache(ModelSpec("offline"))
    assert not fills_cache(ModelSpec("scripted:x"))


def test_models_of_other_packages(monkeypatch):
    from memeval import plugins

    opened = []
    monkeypatch.setattr(plugins, "entry_point_names", lambda group: ["house"] if group == "models" else [])
    monkeypatch.setattr(plugins, "entry_point", lambda group, name: opened.append)
    assert "house" in known()
    assert open_model(ModelSpec("house")) is None
    assert opened == [ModelSpec("house")]
    with pytest.raises(UsageError, match="did you mean 'house'"):
        route(ModelSpec("hous"))


def test_the_listing_names_every_form():
    assert list(known())[:5] == ["offline", "scripted:FILE", "openai/NAME", "PROVIDER/NAME", "NAME@URL"]


def test_litellms_price_table_is_where_we_read_it():
    assert registry._with_provider("gpt-4o") == "; did you mean 'openai/gpt-4o'?"
    assert registry._with_provider("no-such-model") == ""


def test_nothing_heavy_is_imported():
    code = "import memeval.models.registry, memeval.models.completion, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "aiohttp", "litellm", "numpy", "sqlite3", "yaml"} & set(loaded)
