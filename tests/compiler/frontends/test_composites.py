"""The table of composite ops is made once, and what comes of it is what torch's own comes to."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from gossamer.compiler.context import print_module
from gossamer.compiler.frontends import composites, exporting
from gossamer.compiler.frontends.torch_export import import_model
from torch import nn
from torch._subclasses import fake_impls
from torch.export import exported_program


class Mixed(nn.Module):
    """Composite ops that stay whole, and some that are taken apart."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.conv = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Conv1d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(self.linear(x).transpose(1, 2))).transpose(1, 2)
        q = y.reshape(2, -1, 2, 4).transpose(1, 2)
        y = nn.functional.scaled_dot_product_attention(q, q, q).flatten(2).contiguous()
        return nn.functional.dropout(torch.einsum("bij,bij->bi", y, y).square_(), 0.5)


@pytest.fixture
def made(monkeypatch):
    """How often torch makes the table."""
    calls: list[int] = []
    override = exported_program._override_composite_implicit_decomp

    @contextmanager
    def counted(kept) -> Iterator[None]:
        calls.append(len(kept))
        with override(kept):
            yield

    monkeypatch.setattr(exported_program, "_override_composite_implicit_decomp", counted)
    monkeypatch.setattr(composites, "TABLE", composites.Table())
    return calls


def text() -> str:
    return print_module(import_model(Mixed().eval(), (torch.ones(2, 4, 8),), None, "auto").module)


def alike(text: str) -> str:
    """Without the digests of weights, which are random."""
    return "\n".join(line.partition(" digest ")[0] for line in text.splitlines())


def test_the_program_is_the_one_that_torch_makes_and_the_table_is_made_once(made, monkeypatch):
    first, second = text(), text()
    assert len(made) == 1
    monkeypatch.setattr(exporting, "kept_whole", nullcontext)
    plain = text()
    assert len(made) == 2
    assert alike(first) == alike(second) == alike(plain)


def test_ops_are_left_as_they_were(made):
    text()
    ops = list(composites.TABLE.kept)
    before, fakes = [dict(op.py_kernels) for op in ops], dict(fake_impls.op_implementations_dict)
    text()
    assert [dict(op.py_kernels) for op in ops] == before
    assert fake_impls.op_implementations_dict == fakes


def test_an_op_that_was_registered_since_makes_it_anew(made):
    text()
    library = torch.library.Library("composites", "DEF")
    library.define("twice(Tensor x) -> Tensor", tags=())
    library.impl("twice", lambda x: x + x, "CompositeImplicitAutograd")
    text()
    text()
    assert len(made) == 2
    assert made[1] == made[0] + 1


def test_where_torch_has_no_such_table_nothing_is_done(monkeypatch):
    monkeypatch.delattr(exported_program, "_override_composite_implicit_decomp")
    with composites.kept_whole():
        assert not hasattr(exported_program, "_override_composite_implicit_decomp")
