"""What `explain` says of packed sites, refused ones and domains."""

import json

import gossamer
import torch
from gossamer.compiler.explain import explain
from torch import Tensor, nn


class Model(nn.Module):
    """Two products over rows, one over a pooled vector, and one that mixes rows."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.pool, self.mix = (
            nn.Linear(32, 64),
            nn.Linear(64, 32),
            nn.Linear(32, 32),
            nn.Linear(16, 4),
        )

    def forward(self, x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.down(self.up(x).relu())
        return h, self.pool(x.mean(1)), self.mix(x.transpose(1, 2))


def compiled() -> gossamer.CompiledModel:
    x, keep = torch.randn(4, 16, 32), torch.zeros(4, 16, dtype=torch.bool)
    keep[:, :4] = True
    return gossamer.compile(Model().eval(), (x, keep), dont_care={"0": "keep"})


def test_each_product_is_a_site_with_its_decision_and_line():
    found = explain(compiled())
    assert [site.decision for site in found.sites] == ["packed", "packed", "dense", "dense"]
    assert all(site.source.split(":")[0].endswith("test_explain.py") for site in found.sites)
    assert all("dont_care" in site.reason for site in found.sites[2:])
    assert found.sites[0].rows == "%keep[i, j]"


def test_a_domain_has_the_density_of_the_examples_and_its_break_even():
    (domain,) = explain(compiled()).domains
    assert domain.density == 0.25
    assert domain.threshold is not None
    assert 0.0 <= domain.threshold <= 1.0
    assert domain.gain is not None
    assert domain.limit is not None
    assert domain.gain <= domain.limit


def test_text_and_json_say_the_same():
    found = explain(compiled())
    text = str(found)
    assert "4 candidate sites, 2 packed, 1 domains" in text
    assert json.loads(json.dumps(found.as_dict()))["sites"][0]["decision"] == "packed"


def test_without_dead_rows_every_site_is_refused_with_its_reason():
    fast = gossamer.compile(Model().eval(), (torch.randn(4, 16, 32), torch.ones(4, 16).bool()))
    found = explain(fast)
    assert {site.decision for site in found.sites} == {"dense"}
    assert all(site.reason for site in found.sites)
    assert found.domains == ()
