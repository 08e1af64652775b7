"""What tables of ratios rest on: fair turns, right limits, peers that compute the same, sections that replace."""

import logging
import time

import pytest
import torch
from gossamer.benchmarks import __main__ as benchmarks
from gossamer.benchmarks import peers
from gossamer.benchmarks.batches import lognormal_lengths
from gossamer.benchmarks.experiments import EXPERIMENTS
from gossamer.benchmarks.limits import Encoder
from gossamer.benchmarks.sections import Section, write
from gossamer.benchmarks.timing import Rounds, interleaved, time_limit
from gossamer.benchmarks.workloads import ENCODERS


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    yield
    logging.disable(logging.NOTSET)


def test_peers_take_turns_and_each_round_starts_with_another():
    turns: list[str] = []
    rounds = interleaved({name: lambda name=name: turns.append(name) for name in "abc"}, rounds=4)
    assert "".join(turns) == "abc" + "bca" + "cab" + "abc"
    assert len(rounds) == 4


def test_a_spent_budget_leaves_three_rounds():
    assert len(interleaved({"slow": lambda: time.sleep(0.01)}, rounds=50, budget=0.0)) == 3


def test_a_slow_round_does_not_move_the_ratio():
    rounds = Rounds({"eager": [2.0, 2.0, 20.0], "fast": [1.0, 1.0, 10.0]})
    assert rounds.ratio("fast", to="eager") == 2.0
    assert rounds.median("fast") == 1.0


def test_what_takes_too_long_is_stopped():
    with pytest.raises(TimeoutError, match=r"not done within 0\.05 s"), time_limit(0.05):
        time.sleep(5)


def test_the_limit_is_the_inverse_density_where_attention_is_free_and_its_square_where_it_is_all():
    long, wide = Encoder(1, hidden=1, intermediate=1), Encoder(1, hidden=1 << 20, intermediate=1 << 20)
    assert wide.limit([8, 8], padded=16) == pytest.approx(2.0, rel=1e-4)
    assert long.limit([1 << 19], padded=1 << 20) == pytest.approx(4.0, rel=1e-4)
    assert long.limit([16, 16], padded=16) == 1.0


@pytest.mark.parametrize("density", [0.05, 0.3, 0.8, 0.95, 1.0])
def test_batches_have_the_density_that_is_asked_for(density):
    lengths = lognormal_lengths(32, 128, density)
    assert all(3 <= length <= 128 for length in lengths)
    assert sum(lengths) / (32 * 128) == pytest.approx(density, abs=0.03)


@pytest.mark.parametrize("name", ENCODERS)
def test_peers_compute_what_eager_does(name):
    workload = ENCODERS[name](True)
    others = [peers.by_hand(workload), peers.nested(workload)]
    with torch.inference_mode():
        expected = workload.model(**workload.inputs).last_hidden_state
        for peer in others:
            assert peer.note if peer.run is None else workload.difference(expected, peer.run()) < 1e-5


def test_a_section_takes_the_place_of_its_old_form_and_leaves_the_others(tmp_path):
    file = tmp_path / "RESULTS.md"
    for name, cell in (("a", "old"), ("b", r"kept \1"), ("a", "new")):
        write(file, Section(name, name, ("x",), [(cell,)]), "python -m benchmarks")
    text = file.read_text()
    assert "| old |" not in text
    assert text.index("| new |") < text.index(r"| kept \1 |")
    assert list(tmp_path.iterdir()) == [file]


def test_the_command_writes_one_section_for_each_name(tmp_path, capsys, quiet):
    file = tmp_path / "RESULTS.md"
    assert benchmarks.main(["--quick", "--only", "vit", "--only", "sweep", "--output", str(file)]) == 0
    text = file.read_text()
    assert [name for name in EXPERIMENTS if f"<!-- {name} -->" in text] == ["vit", "sweep"]
    assert "| theoretical limit |" in text
    assert "not measured" in text


@pytest.mark.parametrize("name", ["kernels", "kernel-sweep", "few-rows", "opt-decode"])
def test_tables_of_kernels_come_whole(name, tmp_path, quiet, capsys):
    pytest.importorskip("llvmlite")
    file = tmp_path / "RESULTS.md"
    assert benchmarks.main(["--quick", "--only", name, "--output", str(file)]) == 0
    rows = [line for line in file.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 2
    assert len({line.count("|") for line in rows}) == 1


def test_an_unknown_benchmark_is_a_fault_of_the_command_line(capsys):
    with pytest.raises(SystemExit) as stop:
        benchmarks.main(["--only", "resnet"])
    assert stop.value.code == 2
    assert "bert-short" in capsys.readouterr().err
