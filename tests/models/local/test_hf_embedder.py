import asyncio
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec
from memeval.models.embeddings import unpack
from memeval.models.gateway import Gateway
from memeval.models.registry import identity, open_embedder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

TEXTS = ["Ann Lee was born in Arlen.", "Bob", "", "When was he born? " * 12]


@pytest.fixture(scope="module")
def reference(tiny):
    model = transformers.AutoModel.from_pretrained(tiny).eval()
    return SimpleNamespace(model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(tiny))


def embed(folder, texts, params=None, **spec):
    """(array, completions) of a gateway that is closed again."""

    async def main():
        gateway = Gateway(None)
        try:
            return await gateway.embed(ModelSpec(f"hf/{folder}", **spec), texts, params or {})
        finally:
            await gateway.close()

    found = asyncio.run(main())
    return unpack([completion.text for completion in found]), found


def states(reference, text, longest=None):
    """The last hidden states of one text, alone."""
    ids = reference.tokenizer(text)["input_ids"][:longest]
    with torch.inference_mode():
        return reference.model(torch.tensor([ids])).last_hidden_state[0].double().numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_the_mean_of_the_hidden_states_scaled_to_length_one(tiny, reference):
    vectors, found = embed(tiny, TEXTS)
    for text, vector, completion in zip(TEXTS, vectors, found, strict=True):
        assert completion.usage.prompt == len(reference.tokenizer(text)["input_ids"])
        if text:
            assert vector == pytest.approx(unit(states(reference, text).mean(axis=0)), abs=1e-5)
        else:
            assert not vector.any()
    alone = np.concatenate([embed(tiny, [text])[0] for text in TEXTS])
    assert vectors == pytest.approx(alone, abs=1e-5)
    assert embed(tiny, ["", ""])[0].tolist() == np.zeros((1, 48)).tolist() * 2


def test_texts_beyond_the_window_are_cut_there(tiny, reference):
    vectors, found = embed(tiny, [TEXTS[3]], backend={"max_model_len": 7})
    assert found[0].usage.prompt == 7
    assert vectors[0] == pytest.approx(unit(states(reference, TEXTS[3], 7).mean(axis=0)), abs=1e-5)


@pytest.fixture
def sentences(tiny, tmp_path):
    """The tiny model as a sentence-transformers folder; `sentences(pooling, ...)`."""

    def make(pooling, kind="sentence_transformers.models.Pooling", longest=None):
        folder = shutil.copytree(tiny, tmp_path / f"{pooling}-{longest}-{kind[-5:]}")
        modules = [("", "sentence_transformers.models.Transformer"), ("1_Pooling", kind), ("2_Normalize", "s.Normalize")]
        (folder / "modules.json").write_text(json.dumps([{"path": path, "type": type_} for path, type_ in modules]))
        (folder / "1_Pooling").mkdir()
        chosen = {"word_embedding_dimension": 48, **{f"pooling_mode_{mode}": mode == pooling for mode in MODES}}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(chosen))
        if longest:
            (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
        return folder

    return make


MODES = ("cls_token", "mean_tokens", "lasttoken", "max_tokens")


def test_a_sentence_transformers_folder_says_how_to_pool(sentences, reference):
    for pooling, expected in (("cls_token", lambda hidden: hidden[0]), ("lasttoken", lambda hidden: hidden[-1])):
        vectors, _ = embed(sentences(pooling), TEXTS[:2])
        for text, vector in zip(TEXTS[:2], vectors, strict=True):
            assert vector == pytest.approx(unit(expected(states(reference, text))), abs=1e-5)
    vectors, found = embed(sentences("mean_tokens", longest=5), [TEXTS[0]])
    assert found[0].usage.prompt == 5
    assert vectors[0] == pytest.approx(unit(states(reference, TEXTS[0], 5).mean(axis=0)), abs=1e-5)


def written(folder, name, **values):
    """The folder, with these values set in one of its JSON files."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))
    return folder


def test_how_to_pool_as_version_6_of_sentence_transformers_writes_it(sentences, reference):
    folder = sentences("none")
    for mode, expected in (("cls", lambda hidden: hidden[0]), ("lasttoken", lambda hidden: hidden[-1])):
        (folder / "1_Pooling" / "config.json").unlink()
        written(folder, "1_Pooling/config.json", embedding_dimension=48, pooling_mode=mode, include_prompt=True)
        vectors, _ = embed(folder, TEXTS[:2])
        for text, vector in zip(TEXTS[:2], vectors, strict=True):
            assert vector == pytest.approx(unit(expected(states(reference, text))), abs=1e-5)
    for modes in ("max", ["mean", "cls"], 3):
        written(folder, "1_Pooling/config.json", pooling_mode=modes)
        with pytest.raises(UsageError, match="pooling by .* is not supported"):
            open_embedder(ModelSpec(f"hf/{folder}"))


def test_texts_are_read_as_the_tokenizer_and_the_folder_say(sentences, reference):
    folder = written(sentences("mean_tokens"), "tokenizer_config.json", model_max_length=6)
    vectors, found = embed(folder, [TEXTS[0]])
    assert found[0].usage.prompt == 6
    assert vectors[0] == pytest.approx(unit(states(reference, TEXTS[0], 6).mean(axis=0)), abs=1e-5)
    written(folder, "sentence_bert_config.json", max_seq_length=7, do_lower_case=True)  # goes before the tokenizer's
    vectors, found = embed(folder, [TEXTS[0]])
    assert found[0].usage.prompt == 7
    assert vectors[0] == pytest.approx(unit(states(reference, TEXTS[0].lower(), 7).mean(axis=0)), abs=1e-5)
    with pytest.raises(UsageError, match="max_seq_length is '7'"):
        embed(written(folder, "sentence_bert_config.json", max_seq_length="7"), ["a"])


def test_a_text_that_it_cannot_embed_is_an_error_of_that_text(tmp_path):
    import tiny_qwen
    from transformers import RobertaConfig, RobertaModel

    folder = tiny_qwen.save(tmp_path / "roberta")
    small = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=700, hidden_size=8, max_position_embeddings=16, pad_token_id=0, **small)
    RobertaModel(config).save_pretrained(folder)  # its positions begin behind pad_token_id: 15 tokens fit, not 16
    short, long = embed(folder, ["Bob"])[1] + embed(folder, [TEXTS[3]])[1]
    assert (short.error, long.finish_reason) == (None, "error")
    assert long.error.startswith(f"'hf/{folder}' cannot embed this: ")


def test_what_is_not_supported_is_named(sentences, tiny):
    with pytest.raises(UsageError, match="pooling by 'max_tokens' is not supported"):
        open_embedder(ModelSpec(f"hf/{sentences('max_tokens')}"))
    with pytest.raises(UsageError, match="module of type 'Dense'"):
        open_embedder(ModelSpec(f"hf/{sentences('mean_tokens', 'sentence_transformers.models.Dense')}"))
    for key, value in (("default_prompt_name", "query"), ("truncate_dim", 8)):
        folder = written(sentences("cls_token", longest=len(key)), "config_sentence_transformers.json", **{key: value})
        with pytest.raises(UsageError, match=f"'{key}' is not supported"):
            open_embedder(ModelSpec(f"hf/{folder}"))
    with pytest.raises(UsageError, match="no parameter 'dimensions'"):
        embed(tiny, ["a"], {"dimensions": 5})


def test_pooling_is_part_of_what_it_is(sentences, tiny):
    mean, cls = (open_embedder(ModelSpec(f"hf/{sentences(mode)}")).identity for mode in ("mean_tokens", "cls_token"))
    assert len({mean, cls, open_embedder(ModelSpec(f"hf/{tiny}")).identity, identity(ModelSpec(f"hf/{tiny}"))}) == 4


def test_a_checkpoint_for_generation_or_without_a_head_serves_alike(tmp_path, tiny):
    import tiny_qwen

    headless = tiny_qwen.save(tmp_path / "headless", causal=False)
    assert embed(headless, TEXTS[:2])[0].shape == (2, 48)
    path = headless / "config.json"
    more = {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
    with pytest.raises(UsageError, match="the weights lack"):
        embed(headless, ["a"])
