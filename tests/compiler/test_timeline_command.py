"""`gossamer simulate --pipeline` as it is typed."""

import json

import pytest
from gossamer.compiler import timeline_setting
from gossamer.compiler.cli import main
from gossamer.compiler.commands import pipeline_options
from gossamer.compiler.timeline_policies import BASELINES, POLICIES
from gossamer.passes.solvers.transformer import MODELS, Transformer

SMALL = ("--pipeline", "gpt-small", "--tensor-parallel", 2, "--stages", 2, "--micro-batch", 2, "--micro-batches", 4)


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setitem(MODELS, "gpt-small", Transformer(4, 512, 8, 1000))

    def typed(*words):
        code = main(["simulate", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


def test_the_command_knows_what_the_library_does():
    assert tuple(timeline_setting.SCHEDULES) == pipeline_options.SCHEDULES
    assert tuple(POLICIES) == pipeline_options.POLICIES
    assert set(BASELINES) <= set(POLICIES)


def test_a_step_is_told_of_with_all_that_is_asked_for(run, tmp_path):
    code, out, err = run(*SMALL, "--memory", "2GiB", "--policy", "full", "--json", tmp_path / "o.json", "--trace",
                         tmp_path / "t.json", "--plots", tmp_path / "plots")  # fmt: skip
    assert (code, err) == (0, "")
    assert "gpt-small on 2 stages of 2 ranks, NVIDIA A100 80 GB, NVLink: 1f1b" in out
    assert "of the bound" in out
    figures = json.loads((tmp_path / "o.json").read_text())
    assert figures["policies"]["full"]["seconds"] >= figures["bound"]
    assert figures["bound"] <= figures["bound_within"] <= figures["policies"]["full"]["seconds"]
    assert figures["policies"]["full"]["peak"][0] <= figures["memory"]
    assert figures["hardware"]["sources"]["compute.peak"].startswith("NVIDIA")
    events = json.loads((tmp_path / "t.json").read_text())
    tasks = [event for event in events if event.get("cat") in ("forward", "backward")]
    assert len(tasks) == 2 * 2 * 4
    assert max(event["ts"] + event["dur"] for event in tasks) == pytest.approx(
        figures["policies"]["full"]["seconds"] * 1e6
    )
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"timeline.png", "memory.png"}


def test_what_does_not_fit_is_told_with_what_to_change(run):
    code, out, _ = run(*SMALL, "--memory", "150MB", "--policy", "none")
    assert code == 0
    assert "out of memory" in out
    assert "too much: try a smaller --micro-batch" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "simulate what?"),
        (("net.nir", "--pipeline", "gpt-13b"), 2, "Not both in one run"),
        (("net.nir", "--stages", 8), 2, "--stages is for --pipeline, not for spiking networks"),
        (("--pipeline", "gpt-13b", "--packets"), 2, "--packets is for spiking networks, not for --pipeline"),
        (("--pipeline", "gpt-13b", "--policy", "dependency"), 2, "--policy dependency: no such policy here"),
        (("net.nir", "--policy", "full"), 2, "--policy full: no such policy here"),
        (("--pipeline", "gpt-13"), 1, "did you mean 'gpt-13b'?"),
        (("--pipeline", "gpt-13b", "--memory", "lots"), 1, "memory 'lots': expected bytes"),
    ],
)
def test_faults_of_the_command_line_are_told(run, words, code, message):
    found, _, err = run(*words)
    assert found == code
    assert message in err
