"""Which model plays a role, and where: flags, then the environment, then memeval.yaml."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

from memeval.cards import AgentCard
from memeval.errors import UsageError
from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.roles import role_model, role_models
from memeval.runs.spec import AgentSpec

CARD = AgentCard(name="nobody", agent="none")
FLAG, SET, OWN = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", "http://127.0.0.1:3/v1"


def reader(config: dict[str, Any], base_url: str | None = None, **models: str) -> tuple[str, str | None]:
    spec = role_model("reader", CARD, Options(agents=(), tasks=(), models=models, base_url=base_url), config)
    return spec.name, spec.base_url


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("MODEL", "READER", "BASE_URL"):
        monkeypatch.delenv(f"MEMEVAL_{name}", raising=False)
    return monkeypatch


def test_flags_then_environment_then_file(bare: pytest.MonkeyPatch) -> None:
    config = {"model": "m", "base_url": SET}
    assert reader(config) == ("m", SET)
    assert reader({**config, "reader": f"r@{OWN}"}) == ("r", OWN)
    bare.setenv("MEMEVAL_MODEL", "env")
    assert reader(config) == ("env", SET)
    bare.setenv("MEMEVAL_BASE_URL", OWN)
    assert reader(config) == ("env", OWN)
    bare.setenv("MEMEVAL_READER", f"r@{FLAG}")
    assert reader(config) == ("r", FLAG)
    assert reader(config, model="typed") == ("typed", OWN)
    assert reader(config, FLAG, model="typed") == ("typed", FLAG)
    assert reader(config, FLAG, model="typed", reader="offline") == ("offline", None)
    with pytest.raises(UsageError, match="--reader bare: --base-url belongs to --model; write bare@URL"):
        reader(config, FLAG, model="typed", reader="bare")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (f"m@{OWN}", ("m", OWN)),
        ("offline", ("offline", None)),
        ("scripted:x.jsonl", ("scripted:x.jsonl", None)),
        ("hf/weights", ("hf/weights", None)),
        ("vllm/weights", ("vllm/weights", None)),
        ("Qwen/Qwen3-32B", ("Qwen/Qwen3-32B", SET)),
    ],
)
def test_a_url_that_was_set_once_does_not_carry_off_a_model_that_says_where_it_is(
    typed: str, expected: tuple[str, str | None], bare: pytest.MonkeyPatch
) -> None:
    assert reader({"base_url": SET}, model=typed) == expected
    assert reader({"base_url": SET, "model": typed}) == expected
    bare.setenv("MEMEVAL_BASE_URL", SET)
    assert reader({}, model=typed) == expected
    assert reader({}, FLAG, model=typed) == (typed, FLAG)  # --base-url makes the whole string the name


def test_a_url_on_the_command_line_needs_a_model(bare: pytest.MonkeyPatch) -> None:
    """Else the run would go to the card's model, or to none, without a word."""
    own = AgentCard(name="somebody", agent="none", models={"reader": "offline"})
    for card in (CARD, own):
        with pytest.raises(UsageError, match=f"--base-url {FLAG}: no model is named; add --model NAME"):
            role_model("reader", card, Options(agents=(), tasks=(), base_url=FLAG), {"base_url": SET})
    assert reader({"model": "m"}, FLAG) == ("m", FLAG)
    assert reader({}, FLAG, reader=f"r@{OWN}") == ("r", OWN)
    bare.setenv("MEMEVAL_MODEL", "env")
    assert reader({}, FLAG) == ("env", FLAG)
    agents = Options(agents=(), tasks=(), base_url=FLAG)
    assert role_model("embedder", CARD, agents, {}).name == "offline"  # no URL of --model's is the embedder's


def test_what_is_wrong_with_a_model_says_where_it_was_set(bare: pytest.MonkeyPatch) -> None:
    card = AgentCard(name="somebody", agent="none", models={"reader": "ofline"})

    def refused(config: dict[str, Any], card: AgentCard = CARD, **models: str) -> str:
        with pytest.raises(UsageError) as caught:
            role_model("reader", card, Options(agents=(), tasks=(), models=models), config)
        return str(caught.value)

    assert refused({}, card).startswith("somebody: model 'ofline' is unknown; did you mean 'offline'?")
    assert refused({"model": {"name": "offline", "backend": 3}}).startswith(
        "memeval.yaml: model: model 'offline': 'backend'"
    )
    assert refused({"reader": "ofline"}).startswith("memeval.yaml: reader: ")
    assert refused({}, model="http://h/v1").startswith("--model: 'http://h/v1': a model is written NAME or NAME@URL")
    assert refused({}, reader="m@ftp://h/v1").startswith("--reader: 'm@ftp://h/v1': a model is written NAME or NAME@URL")
    mapping = {"name": "m", "base_url": "http://h/v1"}
    assert refused({"reader": mapping}) == "memeval.yaml: reader: 'base_url': a URL belongs to the name; write NAME@URL"
    assert refused({"base_url": "ftp://x"}).startswith("memeval.yaml: base URL 'ftp://x': expected http://")
    bare.setenv("MEMEVAL_MODEL", "ofline")
    assert refused({"model": "m"}).startswith("MEMEVAL_MODEL: model 'ofline'")
    bare.setenv("MEMEVAL_READER", "ofline2")
    assert refused({}).startswith("MEMEVAL_READER: model 'ofline2'")
    bare.setenv("MEMEVAL_BASE_URL", "zz")
    assert refused({}, reader="offline").startswith("MEMEVAL_BASE_URL: base URL 'zz'")


@pytest.mark.parametrize(
    ("track", "models", "config", "of_the_card", "wanted"),
    [
        ("native", {"memory": f"m@{OWN}"}, {}, {}, "m"),
        ("native", {"memory": f"m@{OWN}", "reader": f"r@{OWN}"}, {}, {}, "r"),
        ("native", {"memory": f"m@{OWN}"}, {"reader": f"r@{OWN}"}, {}, "r"),
        ("native", {"memory": f"m@{OWN}"}, {"model": f"r@{OWN}"}, {}, "r"),
        ("native", {"memory": f"m@{OWN}"}, {}, {"reader": f"r@{OWN}"}, "r"),
        ("native", {}, {}, {}, "offline"),
        ("reader", {"memory": f"m@{OWN}"}, {}, {}, "offline"),
    ],
)
def test_an_agent_that_answers_by_itself_does_so_with_the_model_of_its_memory(
    track: str, models: dict[str, str], config: dict[str, Any], of_the_card: dict[str, str], wanted: str
) -> None:
    spec = AgentSpec("x", AgentCard(name="x", agent="x", track=track, models=of_the_card))
    assert role_models(spec, Options(agents=(), tasks=(), models=models), config)["reader"].name == wanted


def test_a_missing_key_of_any_role_is_found_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from faulty_server import FaultyServer, in_thread

    from memeval.commands.run import run_command

    for name in ("OPENAI_API_KEY", "MEMEVAL_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with in_thread(FaultyServer()) as server:
        models = {"memory": f"m@{server.url}", "reader": "openai/gpt-4o"}
        chosen = Options(
            agents=["memalpha"], tasks=["synth-10k"], models=models, limit=2, runs_dir=tmp_path, use_cache=False, quiet=True
        )
        with pytest.raises(UsageError, match="reader: model 'openai/gpt-4o' needs a key: set OPENAI_API_KEY"):
            run_command(chosen, fresh=False, form="table")
    assert server.seen == []


def test_an_agent_under_two_names_is_one_run(project: Path) -> None:
    (planned,) = plan(Options(agents=["rag", "bm25"], tasks=["synth-10k"], models={"model": "offline"}, quiet=True))
    assert planned.spec.agent.typed == "bm25"


def test_an_agent_is_made_once_to_be_planned(project: Path) -> None:
    """It may load a model; each point of a grid is an agent of its own."""
    lines = ("class Heavy:", "    def __init__(self, k=1): print('made', k)", "    begin = observe = recall = print")
    Path("heavy.py").write_text("\n".join(lines))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        plan(Options(["heavy.py:Heavy"], ["synth-10k"], settings={"k": [1, 2]}, limit=1, quiet=True))
    assert printed.getvalue().splitlines() == ["made 1", "made 2"]
