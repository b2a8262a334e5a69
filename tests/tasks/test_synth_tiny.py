"""The toy language: what a stream holds, that splits share no word, and a strict reader's score of what is held."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from memeval.cli import main
from memeval.models.tiny import look_up
from memeval.synth import tiny


def test_streams_are_as_described() -> None:
    known = [word for split in tiny.SPLITS for words in tiny.vocabulary(split) for word in words]
    assert len(known) == len(set(known)) == 240
    for stream in tiny.streams("test", 50, 4, 1):
        assert [len(chunk) for chunk in stream.chunks] == [6] * 4
        assert all(any(line.relation in tiny.ASKED for line in chunk) for chunk in stream.chunks)
        for (name, relation), (at, line) in stream.questions.items():
            assert relation not in tiny.NOISE
            assert (line.name, line.relation) == (name, relation)
            later = [*stream.chunks[at][stream.chunks[at].index(line) + 1 :], *sum(stream.chunks[at + 1 :], ())]
            assert all((other.name, other.relation) != (name, relation) for other in later)


def test_the_strict_reader() -> None:
    memory = "[semantic] Bade owns lemi\nBade owns fika\nBago likes Bade"
    assert look_up("Bade owns what?", memory) == "lemi"
    assert look_up("Bago likes what?", memory) == "Bade"
    assert look_up("Bago owns what?", memory) == look_up("", memory) == look_up("what?", memory) == "unknown"


def test_agents_are_scored_by_what_they_hold(tmp_path: Path) -> None:
    words = ["run", "--task", "synth-tiny", "--reader", "lookup", "--model", "offline", "--limit", "300", "--format", "json"]
    agents = ["--agent", "write-all,write-random,none", "--quiet", "--runs-dir", str(tmp_path)]
    result = CliRunner().invoke(main, [*words, *agents])
    assert result.exit_code == 0, result.output
    scores = {run["agent"]: run["headline"]["value"] for run in json.loads(result.stdout)["runs"]}
    assert scores["write-all"] == 1.0
    assert scores["none"] == 0.0
    assert 0.2 < scores["write-random"] < 0.45  # a third of the lines
