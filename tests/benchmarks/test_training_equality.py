"""Models within budgets, tiny: eager's bits and the predicted peak."""

import pytest
from gossamer.benchmarks import training_equality
from gossamer.benchmarks.training_models import MODELS


@pytest.mark.parametrize("name", ["MLP", "ResNet-18"])
def test_every_budget_of_the_table_is_met(name, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_equality, "MODELS", {name: MODELS[name]})
    rows = training_equality.training_equality(True, lambda what: None).rows
    assert [(row[0], row[-1]) for row in rows] == [(name, "yes")] * 3
    assert all(row[3] == row[4] for row in rows)
    peaks = [int(row[3].replace(",", "")) for row in rows]
    assert peaks == sorted(peaks)
