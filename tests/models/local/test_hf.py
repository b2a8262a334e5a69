import asyncio
import dataclasses
import json
import math
import shutil
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from gateways import gateway

from memeval.errors import BadParameter, UsageError
from memeval.models.completion import ModelSpec, Request
from memeval.models.local import kept_open
from memeval.models.local.sampling import Sampling, read
from memeval.models.registry import fills_cache, identity, open_model, route, share_backends

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402 (torch may be missing)

from memeval.models.local import generation, hf  # noqa: E402
from memeval.models.local.generation import Choice, stops  # noqa: E402

torch.set_num_threads(1)
TOOLS = [{"type": "function", "function": {"name": "new_memory_insert", "parameters": {"type": "object"}}}]


def asked(text="Ann Lee was born in Arlen.", tools=None, sample=0, repeat=0, **params):
    return Request(
        [{"role": "user", "content": text}], tools, {"max_tokens": 12, "temperature": 0.0, **params}, repeat, sample
    )


def complete(folder, *requests, together=True, **spec):
    """The completions of a model that is opened for them alone."""

    async def main():
        model = open_model(ModelSpec(f"hf/{folder}", **spec))
        try:
            if together:
                return await asyncio.gather(*(model.complete(request) for request in requests))
            return [await model.complete(request) for request in requests]
        finally:
            await model.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def reference(tiny):
    """Model and tokenizer as transformers itself loads them."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny).eval()
    return SimpleNamespace(model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(tiny))


TEXTS = ["Ann Lee was born in Arlen.", "Bob", "When was he born? " * 20, '{"a": 1}', "Castro lives in Bob Ray."]


def test_rows_hold_what_a_direct_forward_pass_gives(tiny, reference):
    """The log-probabilities of every token of a mixed batch, greedy and drawn, are those of the model at temperature 1."""
    requests = [asked(text, temperature=number % 2 * 0.8, top_p=0.9) for number, text in enumerate(TEXTS)]
    for request, completion in zip(requests, complete(tiny, *requests), strict=True):
        prompt = reference.tokenizer.apply_chat_template(list(request.messages), add_generation_prompt=True)["input_ids"]
        row = completion.row
        assert list(row.prompt_ids) == list(prompt)
        assert completion.usage.prompt == len(prompt)
        assert completion.usage.completion == len(row.completion_ids) == len(row.logprobs) > 0
        with torch.inference_mode():
            logits = reference.model(torch.tensor([[*row.prompt_ids, *row.completion_ids]])).logits[0].double()
        expected = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
        for place, (token, logprob) in enumerate(zip(row.completion_ids, row.logprobs, strict=True)):
            assert logprob == pytest.approx(float(expected[place, token]), abs=1e-4)
            if request.params["temperature"] == 0.0:
                assert token == int(expected[place].argmax())
        ended = row.completion_ids[-1] == reference.tokenizer.eos_token_id
        assert completion.finish_reason == ("stop" if ended else "length")
        text = reference.tokenizer.decode(row.completion_ids, skip_special_tokens=True)
        assert "think>" in text or completion.text == text


def without_rounding(completion):
    return dataclasses.replace(completion, row=None), completion.row.completion_ids


def test_a_batch_gives_what_its_members_give_alone(tiny):
    requests = [asked(text, temperature=0.5 * (number % 3), top_p=0.95, top_k=40) for number, text in enumerate(TEXTS)]
    together = complete(tiny, *requests)
    alone = complete(tiny, *requests, together=False)
    small = complete(tiny, *requests, backend={"batch_size": 2, "batch_tokens": 100})
    for one, two, three in zip(together, alone, small, strict=True):
        assert without_rounding(one) == without_rounding(two) == without_rounding(three)
        assert one.row.logprobs == pytest.approx(two.row.logprobs, abs=1e-4)


def test_the_same_call_gives_the_same_reply_and_another_sample_another(tiny):
    same = [asked(temperature=1.0, max_tokens=20) for _ in range(2)]
    others = [
        asked(temperature=1.0, max_tokens=20, sample=1),
        asked(temperature=1.0, max_tokens=20, repeat=1),
        asked(temperature=1.0, max_tokens=20, seed=7),
    ]
    first, second = complete(tiny, *same)
    (alone,), (again,) = complete(tiny, same[0]), complete(tiny, same[0])  # each loaded anew
    assert first == second
    assert alone == again
    assert without_rounding(alone) == without_rounding(first)
    texts = {completion.text for completion in [first, *complete(tiny, *others)]}
    assert len(texts) == 4


def test_a_stop_text_ends_the_reply_and_is_cut_off(tiny):
    (whole,) = complete(tiny, asked(max_tokens=30))
    assert len(whole.text) > 12
    stop = whole.text[8:11]
    before = whole.text[: whole.text.index(stop)]
    for stops_at in (stop, ["nowhere to be found", stop]):
        (cut,) = complete(tiny, asked(max_tokens=30, stop=stops_at))
        assert cut.finish_reason == "stop"
        assert cut.text == before.strip() or cut.text == before
        ids = cut.row.completion_ids
        assert ids == whole.row.completion_ids[: len(ids)]
        assert len(ids) < len(whole.row.completion_ids)
        assert cut.usage.completion == len(ids)


def test_stop_texts_are_found_across_tokens(reference):
    decode = lambda ids: reference.tokenizer.decode(ids)  # noqa: E731
    ids = reference.tokenizer("he said ✿RESULT✿ and left")["input_ids"]
    found = [number for number in range(1, len(ids) + 1) if stops(ids[:number], ("✿RESULT✿",), decode)]
    assert found
    assert "✿RESULT✿" in decode(ids[: found[0]])
    assert "✿RESULT✿" not in decode(ids[: found[0] - 1])
    assert not stops(ids, (), decode)


def test_a_prompt_beyond_the_window_is_an_overflow_and_nothing_is_generated(tiny):
    long, short = asked("word " * 100), asked("Bob", max_tokens=500)
    over, cut = complete(tiny, long, short, backend={"max_model_len": 60})
    assert (over.finish_reason, over.error, over.text, over.row) == ("overflow", None, "", None)
    size = len(cut.row.prompt_ids) + len(cut.row.completion_ids)
    assert size <= 60
    assert cut.finish_reason == ("length" if size == 60 else "stop")
    (by_context,) = complete(tiny, long, params={"context": 60})
    assert by_context.finish_reason == "overflow"
    (fits,) = complete(tiny, long)
    assert fits.finish_reason in ("length", "stop")


def test_the_window_of_the_checkpoint_counts(tmp_path):
    import tiny_qwen

    folder = tiny_qwen.save(tmp_path / "narrow", window=64)
    over, fits = complete(folder, asked("word " * 100), asked("Bob"))
    assert (over.finish_reason, fits.error) == ("overflow", None)


def test_switches_of_the_chat_template(tiny, reference):
    closing = tuple(reference.tokenizer("<think>\n\n</think>\n\n", add_special_tokens=False)["input_ids"])
    switch = {"chat_template_kwargs": {"enable_thinking": False}}
    plain, direct, extra = complete(tiny, asked(), asked(**switch), asked(extra_body=switch))
    assert direct.row.prompt_ids == extra.row.prompt_ids == (*plain.row.prompt_ids, *closing)
    begun = {"chat_template_kwargs": {"opened": True}, "thinking_tokens": 12}  # the template itself begins the thinking
    (opened,) = complete(tiny, asked(**begun))
    assert (opened.finish_reason, opened.text) == ("unclosed_think", "")
    assert opened.usage.reasoning == opened.usage.completion == 12
    assert opened.reasoning


def test_a_model_that_is_seen_to_think_gets_the_larger_limit(tiny):
    begun = {"chat_template_kwargs": {"opened": True}, "thinking_tokens": 30}
    one, other = asked(**begun), asked(**begun, sample=1)
    (found,) = complete(tiny, one)
    assert len(found.row.completion_ids) == 30
    assert found.usage.completion == 12 + 30  # it was cut inside its thinking, and asked for once more
    (off,) = complete(tiny, asked(**begun, thinking="off"))
    assert off.usage.completion == 12

    async def in_turn():
        model = hf.HfModel(str(tiny), ModelSpec(f"hf/{tiny}"))
        replies = [await model.complete(request) for request in (one, other)]
        await model.close()
        return replies[1].usage.completion, model.adapted

    assert asyncio.run(in_turn()) == (30, ["the model thinks: its replies may have 30 tokens"])


def read_back(reference, text, tools=None, thinking=False, stop=(), reason="stop"):
    """What becomes of a reply with this text."""
    ids = reference.tokenizer(text, add_special_tokens=False)["input_ids"]
    loaded = hf.Loaded(reference.model, reference.tokenizer, 1000)
    request = asked(tools=tools)
    row = generation.Row([5, 6, 7], Sampling(stop=stop), 100, list(ids), [-1.0] * len(ids), reason)
    return hf._completion(loaded, hf._Prompt(request, [5, 6, 7], Sampling(stop=stop), 100, thinking), row), ids


def test_thinking_is_split_off_and_counted(reference):
    for text, opened in (
        ("<think>He was born.</think>\n\n1910<|im_end|>", False),
        ("He was born.</think> 1910<|im_end|>", True),
    ):
        completion, ids = read_back(reference, text, thinking=opened)
        assert (completion.text, completion.reasoning, completion.finish_reason) == ("1910", "He was born.", "stop")
        assert 0 < completion.usage.reasoning < completion.usage.completion == len(ids)
        assert completion.row.completion_ids == tuple(ids)
    unclosed, ids = read_back(reference, "<think>He was", reason="length")
    assert (unclosed.text, unclosed.finish_reason) == ("", "unclosed_think")
    assert 0 < unclosed.usage.reasoning <= len(ids)


def test_tool_calls_are_read(reference):
    text = 'So.<tool_call>\n{"name": "new_memory_insert", "arguments": {"content": "Ann"}}\n</tool_call><|im_end|>'
    completion, _ = read_back(reference, text, TOOLS)
    assert (completion.text, completion.finish_reason) == ("So.", "tool_calls")
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [("new_memory_insert", {"content": "Ann"})]
    assert read_back(reference, text)[0].tool_calls == ()


def test_messages_reach_the_template_in_its_own_shape(tiny, reference):
    """Tools, parts of texts, and tool calls whose arguments are JSON texts."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "Bob"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]
    (completion,) = complete(tiny, Request(messages, TOOLS, {"max_tokens": 1, "temperature": 0.0}))
    prompt = reference.tokenizer.decode(completion.row.prompt_ids)
    assert json.loads(prompt.split("\n")[1]) == TOOLS[0]
    assert "user\nAnn\nBob<|im_end|>" in prompt
    assert '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>' in prompt
    assert prompt.endswith("<|im_start|>assistant\n")


# -- sampling ---------------------------------------------------------------------------------------------------------


def choose(logits, prompts, settings):
    """The tokens that a batch takes after these prompts (rows of equal length, 0 is padding)."""
    ids = torch.tensor(prompts)
    return Choice(settings, ids > 0)(ids, torch.tensor(logits)).argmax(dim=-1).tolist()


def drawn(logits, count=4000, **settings):
    """Frequencies of the tokens that `count` rows with seeds of their own draw."""
    rows = [Sampling(seed=seed, **settings) for seed in range(count)]
    tokens = choose([logits] * count, [[1]] * count, rows)
    return {token: number / count for token, number in sorted(Counter(tokens).items())}


LOGITS = [math.log(p) for p in (0.1, 0.5, 0.15, 0.25)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {0: 0.1, 1: 0.5, 2: 0.15, 3: 0.25}),
        ({"temperature": 0.0}, {1: 1.0}),
        ({"top_k": 1}, {1: 1.0}),
        ({"top_p": 0.0}, {1: 1.0}),
        ({"top_p": 0.5}, {1: 1.0}),  # the fewest likeliest tokens that make up half
        ({"top_p": 0.6}, {1: 2 / 3, 3: 1 / 3}),
        ({"top_k": 3}, {1: 5 / 9, 2: 1.5 / 9, 3: 2.5 / 9}),
        ({"min_p": 0.4}, {1: 2 / 3, 3: 1 / 3}),  # at least 0.4 times as likely as the likeliest
        ({"top_k": 2, "top_p": 0.66}, {1: 1.0}),  # of the two that are left, the first makes up 2/3
        ({"temperature": 0.5}, {0: 0.01 / 0.345, 1: 0.25 / 0.345, 2: 0.0225 / 0.345, 3: 0.0625 / 0.345}),
    ],
)
def test_tokens_are_drawn_with_their_probabilities(settings, expected):
    found = drawn(LOGITS, **settings)
    assert set(found) == set(expected)
    for token, share in expected.items():
        assert found[token] == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000) + 1e-9)


def test_the_repetition_penalty_lowers_what_was_seen():
    settings = [Sampling(temperature=0.0, repetition_penalty=2.0)] * 3
    prompts = [[0, 2], [0, 1], [1, 2]]  # 4 / 2 < 3; 3 / 2; 3 / 2 < 4 / 2
    assert choose([[0.0, 3.0, 4.0, 1.0]] * 3, prompts, settings) == [1, 2, 2]
    assert choose([[-9.0, -1.5, -1.0, -3.0]], [[2]], settings[:1]) == [1]  # -1 * 2 < -1.5


def test_padding_was_not_seen():
    """A row draws alone what it draws beside a longer one."""
    settings = [Sampling(temperature=0.0, repetition_penalty=5.0)] * 2
    assert choose([[4.0, 3.0, 1.0]] * 2, [[0, 0, 2], [1, 2, 2]], settings) == [0, 0]


def test_parameters_and_what_fills_them_in():
    own = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.1}
    sampling = read({"temperature": 0, "max_tokens": 5, "max_completion_tokens": 9, "stop": "x", "timeout": 3}, own, 11, "m")
    assert sampling == Sampling(0, 0.95, 20, 0.0, 1.1, 5, 9, ("x",), 11)
    assert (sampling.limit(100), sampling.limit(3)) == (5, 3)
    assert read({}, {**own, "do_sample": False}, 0, "m") == Sampling(repetition_penalty=1.1)
    assert read({"top_k": -1, "stop": None}, {}, 0, "m") == Sampling(top_k=-1)
    nothing = {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "response_format": {"type": "text"}}
    assert read(nothing, {}, 0, "m") == Sampling()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"temprature": 1}, "no parameter 'temprature'; did you mean 'temperature'?"),
        ({"temperature": "hot"}, "'temperature' is 'hot'"),
        ({"temperature": float("nan")}, "'temperature' is nan"),
        ({"top_p": 1.5}, "'top_p' is 1.5"),
        ({"max_tokens": 0}, "'max_tokens' is 0"),
        ({"max_tokens": 1.5}, "'max_tokens' is 1.5"),
        ({"stop": 5}, "'stop' is 5"),
        ({"tool_choice": "required"}, "no parameter 'tool_choice'"),
        ({"response_format": {}}, "no parameter 'response_format'"),
        ({"chat_template_kwargs": "x"}, "'chat_template_kwargs' is 'x'"),
    ],
)
def test_parameters_it_does_not_have(params, said):
    with pytest.raises(BadParameter) as caught:
        read(params, {}, 0, "m")
    assert said in str(caught.value)
    assert caught.value.name == next(iter(params))


def test_pictures_are_refused_and_halves_of_characters_are_not(tiny):
    (broken,) = complete(tiny, asked("Ann \ud83d"))
    assert broken == complete(tiny, asked("Ann ?"))[0]
    picture = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    with pytest.raises(BadParameter, match="text alone"):
        complete(tiny, Request([{"role": "user", "content": picture}]))


# -- life -------------------------------------------------------------------------------------------------------------


def test_the_event_loop_lives_while_it_generates(tiny):
    async def main():
        model = open_model(ModelSpec(f"hf/{tiny}"))
        await model.complete(asked(max_tokens=1))
        work = asyncio.create_task(model.complete(asked(temperature=1.0, max_tokens=200)))
        ticks = 0
        while not work.done():
            await asyncio.sleep(0.002)
            ticks += 1
        await model.close()
        return ticks, work.result().usage.completion

    ticks, tokens = asyncio.run(main())
    assert tokens > 100
    assert ticks > 10


def test_work_that_nobody_waits_for_is_given_up(tiny):
    async def main():
        model = open_model(ModelSpec(f"hf/{tiny}"))
        await model.complete(asked(max_tokens=1))
        begun = time.monotonic()
        await model.complete(asked(max_tokens=100, stop=["nowhere to be found"]))
        hundred = time.monotonic() - begun
        work = asyncio.create_task(model.complete(asked(max_tokens=30_000, stop=["nowhere to be found"])))
        await asyncio.sleep(2 * hundred)
        assert not work.done()  # greedily it goes round in circles
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        begun = time.monotonic()
        next_one = await model.complete(asked(max_tokens=1))
        await model.close()
        return next_one, (time.monotonic() - begun) / hundred

    next_one, hundreds = asyncio.run(main())
    assert next_one.error is None
    assert hundreds < 60  # of 300


def test_roles_and_runs_that_use_the_same_weights_share_them(tiny, tmp_path, monkeypatch):
    loads = []
    monkeypatch.setattr(hf, "load", lambda *args, real=hf.load: loads.append(args[0]) or real(*args))

    async def both():
        door = gateway()
        memory, reader = (ModelSpec(f"hf/{tiny}", params={"temperature": heat}) for heat in (0.0, 0.5))
        await asyncio.gather(door.call(memory, asked("a")), door.call(reader, asked("b")))
        await door.close()

    asyncio.run(both())
    assert len(loads) == 1
    with kept_open.keep_open():  # two runs of one command
        asyncio.run(both())
        asyncio.run(both())
        assert len(loads) == 2
    asyncio.run(both())
    assert len(loads) == 3


def test_a_cached_call_loads_nothing_and_changed_weights_miss(tiny, tmp_path, own_cache, monkeypatch):
    import tiny_qwen

    loads = []
    monkeypatch.setattr(hf, "load", lambda *args, real=hf.load: loads.append(args[0]) or real(*args))
    folder = shutil.copytree(tiny, tmp_path / "checkpoint")
    spec = ModelSpec(f"hf/{folder}")
    assert fills_cache(spec)

    def ask(name):
        async def main():
            rows = []
            door = gateway(tmp_path / name, cache=True, on_call=rows.append)
            completion = await door.call(spec, asked())
            await door.close()
            return completion, sum(row.source != "model" for row in rows)

        return asyncio.run(main())

    first, cached = ask("one")
    assert (len(loads), cached) == (1, 0)
    again, cached = ask("two")
    assert (len(loads), cached) == (1, 1)
    assert again == first  # rows and all
    before = identity(spec)
    shutil.rmtree(folder)
    tiny_qwen.save(folder, seed=1)
    assert identity(spec) != before
    other, cached = ask("two")  # not even from the run's own journal
    assert (len(loads), cached) == (2, 0)
    assert other.row.completion_ids != first.row.completion_ids


# -- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ({"dytpe": "auto"}, "unknown key 'backend.dytpe'; did you mean 'dtype'?"),
        ({"dtype": "int3"}, "'backend.dtype' is 'int3'"),
        ({"batch_size": 0}, "'backend.batch_size' is 0"),
        ({"batch_size": True}, "'backend.batch_size' is True"),
        ({"revision": "main"}, "belongs to a hub id"),
    ],
)
def test_settings_that_are_wrong(tiny, backend, said):
    with pytest.raises(UsageError) as caught:
        open_model(ModelSpec(f"hf/{tiny}", backend=backend))
    assert said in str(caught.value)


def test_the_context_must_be_a_number(tiny):
    with pytest.raises(UsageError, match="context"):
        open_model(ModelSpec(f"hf/{tiny}", params={"context": "long"}))


def broken(tiny, folder, change):
    shutil.copytree(tiny, folder)
    change(folder)
    with pytest.raises(UsageError) as caught:
        complete(folder, asked())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_checkpoints_that_cannot_be_used_are_named_in_one_line(tiny, tmp_path):
    def edit(**changes):
        def change(folder):
            path = folder / "config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

        return change

    def without_norm(folder):
        path = folder / "model.safetensors"
        tensors = load_file(path)
        del tensors["model.norm.weight"]
        save_file(tensors, path, {"format": "pt"})

    assert "cannot be loaded" in broken(tiny, tmp_path / "1", edit(model_type="no-such-model"))
    assert "the weights lack 1 tensors, such as model.norm.weight" in broken(tiny, tmp_path / "2", without_norm)
    assert "cannot be loaded" in broken(tiny, tmp_path / "3", edit(hidden_size=64))
    assert "no chat template" in broken(tiny, tmp_path / "4", lambda folder: (folder / "chat_template.jinja").unlink())
    code = edit(auto_map={"AutoConfig": "evil.E", "AutoModelForCausalLM": "evil.M"}, model_type="evil")
    assert "cannot be loaded" in broken(tiny, tmp_path / "5", code)
    assert "cannot be loaded" in broken(tiny, tmp_path / "6", lambda folder: (folder / "tokenizer.json").write_text("{"))
    assert "has no tokenizer" in broken(tiny, tmp_path / "7", lambda folder: (folder / "tokenizer.json").unlink())
    template = "chat_template.jinja"
    damaged = broken(tiny, tmp_path / "8", lambda folder: (folder / template).write_text("{% for m in %}"))
    assert "its chat template is damaged" in damaged


def test_messages_that_the_template_refuses_are_an_error_of_that_call_alone(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "strict")
    path = folder / "chat_template.jinja"
    path.write_text(
        "{% if messages[0].role == 'tool' %}{{ raise_exception('no tools, please') }}{% endif %}" + path.read_text()
    )
    bad, good = complete(folder, Request([{"role": "tool", "content": "x"}], None, {"max_tokens": 2}), asked())
    assert "no tools, please" in bad.error
    assert good.error is None


def test_a_template_that_shows_no_tools_is_found_out(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "toolless")
    (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }}\n{% endfor %}")
    tools = [{"type": "function", "function": {"name": "new_memory_insert", "parameters": {}}}]
    with pytest.raises(UsageError, match="shows the model no tools"):
        complete(folder, Request([{"role": "user", "content": "Hello"}], tools, {"max_tokens": 2}))
    told = Request([{"role": "user", "content": "Call new_memory_insert."}], tools, {"max_tokens": 2})
    assert complete(folder, told)[0].error is None


def test_names_and_identities(tiny, tmp_path):
    assert route(ModelSpec(f"hf/{tiny}")).kind == "hf"
    assert route(ModelSpec("hf/Qwen/Qwen3-4B")).name == "Qwen/Qwen3-4B"
    assert identity(ModelSpec("NAME", "http://127.0.0.1:1/v1")) is None
    assert identity(ModelSpec("offline")).startswith("offline/")  # rules that change make another model
    plain = identity(ModelSpec(f"hf/{tiny}"))
    assert str(tiny) not in plain
    assert identity(ModelSpec(f"hf/{tiny}", backend={"batch_size": 3, "device": "cpu"})) == plain
    assert identity(ModelSpec(f"hf/{tiny}", backend={"dtype": "bfloat16"})) != plain
    assert identity(ModelSpec(f"vllm/{tiny}")) != plain
    with pytest.raises(UsageError, match="no such folder"):
        open_model(ModelSpec(f"hf/{tmp_path}/nowhere"))
    with pytest.raises(UsageError, match="'backend' settings are for"):
        open_model(ModelSpec("offline", backend={"dtype": "auto"}))


def test_roles_of_one_model_share_its_settings():
    memory = ModelSpec("vllm/a/b", backend={"max_model_len": 100})
    specs = {"memory": memory, "reader": ModelSpec("vllm/a/b", params={"temperature": 1}), "judge": ModelSpec("vllm/c/d")}
    shared = share_backends(specs)
    assert shared["reader"] == ModelSpec("vllm/a/b", None, {"temperature": 1}, {"max_model_len": 100})
    assert (shared["memory"], shared["judge"]) == (memory, specs["judge"])
    with pytest.raises(UsageError, match="the roles memory and reader give it different"):
        share_backends({"memory": memory, "reader": ModelSpec("vllm/a/b", backend={"max_model_len": 5})})
    roles = {"memory": ModelSpec("hf/a/b", params={"context": 100}), "reader": ModelSpec("hf/a/b", params={"context": 300})}
    assert {spec.backend["max_model_len"] for spec in share_backends(roles).values()} == {300}
    assert share_backends({"memory": ModelSpec("offline", params={"context": 9})})["memory"].backend == {}
