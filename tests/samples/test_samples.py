"""The samples run, and show what they say; so do the examples of the README."""

import logging
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from gossamer.compiler.cli import main

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a sample as a script and give what it prints; leaves torch and logging as they were."""

    def script(name: str, *argv: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *argv])
        monkeypatch.syspath_prepend(SAMPLES)
        runpy.run_path(str(SAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    yield script
    logging.disable(logging.NOTSET)


def cells(text: str, first: str) -> list[str]:
    """The cells of the table's row that starts with `first`."""
    line = next(line for line in text.splitlines() if re.match(rf"│\s*{re.escape(first)}\s*│", line))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_demo_packs_all_of_the_encoder_and_ends_with_every_peer_beside_the_limit(run):
    text = run("bert_padding.py", "--quick")
    assert cells(text, "sites found")[1] == "15"
    assert cells(text, "packed")[1] == "14"
    assert cells(text, "dense")[5].startswith("every row is returned")
    assert cells(text, "torch.compile")[1] == "not measured"
    assert float(cells(text, "theoretical limit")[2]) > 1.0
    for peer in ("hand-packed", "torch.nested", "gossamer"):
        assert float(cells(text, peer)[1]) > 0.0
        assert float(cells(text, peer)[4]) < 1e-5


def test_the_demo_runs_without_any_padding(run):
    text = run("bert_padding.py", "--quick", "--density", "1.0")
    assert cells(text, "theoretical limit")[2] == "1.00"
    assert float(cells(text, "gossamer")[4]) == 0.0


def test_a_decoding_step_skips_along_both_axes_and_is_equal(run):
    text = run("decode.py", "--quick")
    assert text.count("equal to eager") == 2
    assert re.search(r"products along k: skips", text)
    assert re.search(r"products along n: skips", text)


def test_the_small_sample_packs_both_linears_and_ends_equal(run):
    text = run("mlp_mask.py")
    assert "2 candidate sites, 2 packed, 1 domains" in text
    assert text.rstrip().endswith("and equal again")


def test_a_spiking_network_fires_as_its_equations_say_and_is_mapped(run):
    pytest.importorskip("nir")
    text = run("spiking.py", "--quick", "--steps", "20", "--cores", "6")
    assert "equal to the equations in float64" in text
    assert "no core waits for ever: certified" in text


def test_a_training_step_stays_in_its_budget_and_is_eagers(run):
    text = run("training.py", "--quick")
    for budget in ("100%", "90%"):
        allowed, predicted, measured, again, equal = cells(text, budget)[1:]
        assert float(measured) == float(predicted) <= float(allowed)
        assert equal == "eager's bits"
    assert float(again.rstrip("%")) > 0.0


@pytest.mark.parametrize("name", ["bert", "tagger", "reglu"])
def test_the_models_for_the_command_line_equal_eager(name, capsys):
    assert main(["run", f"{SAMPLES / 'model.py'}:{name}", "--compare"]) == 0
    assert "the results are equal" in capsys.readouterr().out


def test_the_examples_of_the_readme_print_what_it_says(capsys):
    text = (ROOT / "README.md").read_text()
    names: dict[str, object] = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1):
        exec(compile(block, f"README.md, example {number}", "exec"), names)
    printed = capsys.readouterr().out
    for shown in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
        for line in shown.splitlines():
            assert line.partition(", packed up to")[0] in printed
