import asyncio
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from gateways import gateway

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec
from memeval.models.embeddings import asked, unpack
from memeval.models.registry import identity, open_embedder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")
torch.set_num_threads(1)

TEXTS = ["Ann Lee was born in Arlen.", "Bob", "When was he born? " * 12]


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    """Without a chat template, through which sentence-transformers would send the texts."""
    folder = shutil.copytree(tiny, tmp_path_factory.mktemp("plain") / "model")
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture(scope="module")
def reference(tiny):
    model = transformers.AutoModel.from_pretrained(tiny).eval()
    return SimpleNamespace(model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(tiny))


def embed(folder, texts, params=None, **spec):
    """(array, completion) of a gateway that is closed again."""

    async def main():
        door = gateway()
        try:
            return await door.call(ModelSpec(f"hf/{folder}", **spec), asked(texts, params or {}))
        finally:
            await door.close()

    found = asyncio.run(main())
    return unpack(found.text.split()), found


def states(reference, text, longest=None):
    """The last hidden states of one text, alone."""
    ids = reference.tokenizer(text)["input_ids"][:longest]
    with torch.inference_mode():
        return reference.model(torch.tensor([ids])).last_hidden_state[0].double().numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_the_last_hidden_state_of_a_causal_model_scaled_to_length_one(plain, reference):
    vectors, found = embed(plain, TEXTS)
    assert found.usage.prompt == sum(len(reference.tokenizer(text)["input_ids"]) for text in TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert vector == pytest.approx(unit(states(reference, text)[-1]), abs=1e-5)
    alone = np.concatenate([embed(plain, [text])[0] for text in TEXTS])
    assert vectors == pytest.approx(alone, abs=1e-5)


def test_texts_beyond_the_window_are_cut_there(plain, reference):
    vectors, found = embed(plain, [TEXTS[2]], backend={"max_model_len": 7})
    assert found.usage.prompt == 7
    assert vectors[0] == pytest.approx(unit(states(reference, TEXTS[2], 7)[-1]), abs=1e-5)


def test_a_sentence_transformers_folder_says_how_to_pool(plain, tmp_path, reference):
    identities = {open_embedder(ModelSpec(f"hf/{plain}")).identity, identity(ModelSpec(f"hf/{plain}"))}
    for pooling, expected in (("cls_token", lambda hidden: hidden[0]), ("mean_tokens", lambda hidden: hidden.mean(axis=0))):
        folder = shutil.copytree(plain, tmp_path / pooling)
        parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
        modules = [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (path, kind) in enumerate(parts)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "lasttoken")}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 48, **modes}))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 5, "do_lower_case": False}))
        vectors, found = embed(folder, TEXTS[:2])
        for text, vector in zip(TEXTS[:2], vectors, strict=True):
            assert vector == pytest.approx(unit(expected(states(reference, text, 5))), abs=1e-5)
        assert found.usage.prompt == sum(min(5, len(reference.tokenizer(text)["input_ids"])) for text in TEXTS[:2])
        identities.add(open_embedder(ModelSpec(f"hf/{folder}")).identity)
    assert len(identities) == 4


def test_what_cannot_be_used_is_one_line(tiny, tmp_path):
    with pytest.raises(UsageError, match="no parameter 'dimensions'"):
        embed(tiny, ["a"], {"dimensions": 5})
    folder = shutil.copytree(tiny, tmp_path / "damaged")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "no-such-model"}))
    with pytest.raises(UsageError, match="cannot be loaded") as caught:
        embed(folder, ["a"])
    assert "\n" not in str(caught.value)


def test_a_text_that_it_cannot_embed_is_an_error_of_that_text(tmp_path):
    import tiny_qwen
    from transformers import RobertaConfig, RobertaModel

    folder = tiny_qwen.save(tmp_path / "roberta")
    small = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=700, hidden_size=8, max_position_embeddings=16, pad_token_id=0, **small)
    RobertaModel(config).save_pretrained(folder)  # its positions begin behind pad_token_id: 15 tokens fit, not 16
    (_, short), (_, long) = embed(folder, ["Bob"]), embed(folder, [TEXTS[2]])
    assert (short.error, long.finish_reason) == (None, "error")
    assert long.error.startswith(f"'hf/{folder}' cannot embed this: ")
