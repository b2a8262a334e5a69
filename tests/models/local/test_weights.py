import json
import os
import shutil

import pytest
from huggingface_hub.utils import filter_repo_objects
from tiny_qwen import safetensors

from memeval.errors import UsageError
from memeval.models.local.weights import FETCHED, NOT_FETCHED, find


@pytest.fixture
def model(tmp_path, own_cache):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    (folder / "tokenizer.json").write_text("{}")
    safetensors(folder / "model.safetensors")
    return folder


def put_back(path, write):
    """Change a file and restore the time of its last modification, as `cp -p` and archives do."""
    status = path.stat()
    write()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def digest(folder):
    return find(str(folder)).digest


def test_a_copy_has_the_digest_of_its_original(model, tmp_path):
    found = find(str(model))
    assert (found.folder, found.revision, len(found.digest)) == (model, None, 64)
    copy = shutil.copytree(model, tmp_path / "another" / "place")
    assert digest(copy) == found.digest


def test_one_changed_byte_is_another_model_even_with_the_old_date(model):
    before = digest(model)
    put_back(model / "model.safetensors", lambda: safetensors(model / "model.safetensors", b"\x00" * 63 + b"\x01"))
    assert digest(model) != before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"])
def test_what_decides_a_reply_counts(model, name):
    before = digest(model)
    (model / name).write_text('{"changed": true}')
    assert digest(model) != before


@pytest.mark.parametrize("name", ["README.md", "trainer_state.json", "optimizer.pt", "checkpoint-5/config.json"])
def test_what_decides_no_reply_does_not_count(model, name):
    before = digest(model)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("{}")
    assert digest(model) == before


def test_both_ends_and_the_size_of_a_large_file_count(model):
    path = model / "model.safetensors"
    sizes = {2**22: b"", 2**22 + 4: b"", 2**20: b"", 4: b""}
    found = []
    for size in sizes:
        for place in (0, size - 1):
            values = bytearray(size)
            values[place] = 1
            safetensors(path, bytes(values))
            found.append(digest(model))
    assert len(set(found)) == len(found)


def test_a_shard_that_the_index_names_must_be_there(model):
    safetensors(model / "a.safetensors")
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "model.safetensors"}}))
    before = digest(model)
    safetensors(model / "a.safetensors", b"\x01" * 64)
    assert digest(model) != before
    (model / "a.safetensors").unlink()
    with pytest.raises(UsageError, match="a.safetensors: missing"):
        find(str(model))
    for text in ("[]", "{"):
        index.write_text(text)
        with pytest.raises(UsageError, match="index.json"):
            find(str(model))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").rename(folder / "adapter_config.json"), "LoRA adapter"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "no weights in the safetensors",
        ),
    ],
)
def test_what_is_no_model_is_named(model, change, said):
    change(model)
    with pytest.raises(UsageError, match=said):
        find(str(model))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a b", "a/b/c", "../x", "~nobody-here/x"])
def test_names_that_mean_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find(name)


def test_a_file_and_a_revision_of_a_folder(model):
    with pytest.raises(UsageError, match="this is a file"):
        find(str(model / "config.json"))
    with pytest.raises(UsageError, match="belongs to a hub id"):
        find(str(model), revision="main")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, own_cache, monkeypatch, model):
    """A hub cache with `org/tiny` as huggingface_hub lays it out."""
    root = tmp_path / "hub"
    repo = root / "models--org--tiny"
    snapshot = repo / "snapshots" / COMMIT
    for folder in (repo / "blobs", repo / "refs", snapshot):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    for number, path in enumerate(sorted(model.iterdir())):
        large = path.suffix == ".safetensors"
        blob = repo / "blobs" / (("c" * 63 if large else "d" * 39) + str(number))
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repo


def test_a_hub_id_is_identified_by_its_commit(hub):
    found = find("org/tiny")
    assert (found.revision, found.folder) == (COMMIT, hub / "snapshots" / COMMIT)
    assert found.digest == f"org/tiny@{COMMIT}"
    assert find("org/tiny", revision=COMMIT) == find("org/tiny", revision="main") == found


def test_what_decides_is_fetched_and_nothing_else():
    wanted = ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"]
    wanted += ["tokenizer.model", "merges.txt", "chat_template.jinja", "1_Pooling/config.json"]
    others = ["pytorch_model.bin", "consolidated.safetensors", "onnx/model.onnx", "onnx/config.json", "original/params.json"]
    found = filter_repo_objects([*wanted, *others], allow_patterns=[*FETCHED], ignore_patterns=[*NOT_FETCHED])
    assert list(found) == wanted


def test_a_snapshot_without_its_weights_is_not_enough(hub):
    (hub / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="no weights"):
        find("org/tiny", fetch=False)


def test_what_is_not_in_the_hub_cache_and_cannot_be_fetched(hub):
    for fetch, said in ((False, "fetching is off"), (True, "cannot be fetched")):
        with pytest.raises(UsageError, match=said) as caught:
            find("org/another", fetch=fetch)
        assert "\n" not in str(caught.value)
        assert "org/another" in str(caught.value)


def test_modules_of_sentence_transformers_count(model):
    before = digest(model)
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with_modules = digest(model)
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    assert len({before, with_modules, digest(model)}) == 3


def test_a_folder_of_checkpoints_names_one_of_them(tmp_path):
    (tmp_path / "checkpoint-100").mkdir()
    (tmp_path / "checkpoint-100" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"has no config.json; did you mean .*/checkpoint-100\?"):
        find(str(tmp_path))
