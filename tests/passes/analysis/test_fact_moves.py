"""Ops that move, choose and put together: predicates and rows are re-indexed exactly."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from gossamer.passes.analysis.facts import forward_facts
from gossamer.tests.passes.analysis.fact_checks import check_often
from gossamer.tests.passes.analysis.fact_programs import Program, Row, below, mask, programs, real, row, weight

BATCH = {"x": real(2, 3, 4), "a": mask(2, 3)}
FILLED = BATCH | {"b": weight(4)}

ROWS = {
    "index_select": row(lambda x, m, i: (x * m[:, None]).index_select(0, i), FACTS, i=below(4, 3)),
    "gather": row(lambda x, i: x.relu().gather(1, i), FACTS, i=below(6, 4, 2)),
    "take_along_dim": row(lambda x, i: x.relu().take_along_dim(i, 1), FACTS, i=below(6, 4, 2)),
    "embedding": row(lambda y, a, i: F.embedding(i, y * a[:, None]), FACTS, y=real(5, 3), a=mask(5), i=below(5, 2, 3)),
    "index at pairs": row(lambda x, i, j: x.relu()[i, j], FACTS, i=below(4, 2, 3), j=below(6, 3)),
    "index in the middle": row(
        lambda x, a, i: (x * a[:, :, None])[:, i], FACTS, x=real(2, 3, 4), a=mask(2, 3), i=below(3, 2, 2)
    ),
    "scatter onto masked rows": row(
        lambda x, m, i, y: (x * m[:, None]).scatter(1, i, y), FACTS, i=below(6, 4, 2), y=real(4, 2)
    ),
    "view that merges": row(lambda x, a: (x * a[..., None]).view(6, 4), FACTS, **BATCH),
    "view that splits": row(lambda x, c: (x * c).view(2, 3, 2, 2), FACTS, x=real(2, 3, 4), c=mask(4)),
    "view across boundaries": row(lambda x: x.relu().reshape(6, 4), FACTS),
    "view there and back": row(lambda x, a: (x * a[..., None]).view(6, 4).view(2, 3, 4), FACTS, **BATCH),
    "view down and back": row(lambda x, m: (x * m[:, None]).view(2, 2, 6).view(4, 6), FACTS),
    "flatten": row(lambda x, a: (x * a[..., None]).flatten(), FACTS, **BATCH),
    "unsqueeze": row(lambda x: x.relu()[:, None], FACTS),
    "expand": row(lambda x: x.relu()[:, None].expand(4, 3, 6), FACTS),
    "permute": row(lambda x, a: (x * a[..., None]).permute(1, 2, 0), FACTS, **BATCH),
    "transpose": row(lambda x, a: (x * a[..., None]).transpose(0, 1), FACTS, **BATCH),
    "heads": row(lambda x, a: (x * a[..., None]).view(2, 3, 2, 2).transpose(1, 2), FACTS, **BATCH),
    "split": row(lambda x: x.relu().split(2, 1)[1], FACTS),
    "chunk": row(lambda x: x.relu().chunk(2, 1)[1], FACTS),
    "unbind": row(lambda x: x.relu().unbind(1)[2], FACTS),
    "select from the end": row(lambda x: x.relu()[:, -2], FACTS),
    "slice with a step": row(lambda x: x.relu()[1:, ::2], FACTS),
    "slice from the end": row(lambda x: x.relu()[-2:], FACTS),
    "narrow": row(lambda x: x.relu().narrow(1, 2, 3), FACTS),
    "flip": row(lambda x, m: (x * m[:, None]).flip(0), FACTS),
    "roll": row(lambda x, m: (x * m[:, None]).roll(1, 0), FACTS),
    "repeat": row(lambda x, m: (x * m[:, None]).repeat(2, 3), FACTS),
    "tile": row(lambda x, m: (x * m[:, None]).tile(2), FACTS),
    "repeat_interleave": row(lambda x, m: (x * m[:, None]).repeat_interleave(2, 0), FACTS),
    "diagonal": row(lambda x: x.relu().diagonal(1), FACTS),
    "unfold": row(lambda x: x.relu().unfold(1, 3, 2), FACTS),
    "pixel_shuffle": row(
        lambda x, a: F.pixel_shuffle(x * a[:, :, None, None], 2), FACTS, x=real(1, 8, 2, 2), a=mask(1, 8)
    ),
    "pixel_unshuffle": row(lambda x: F.pixel_unshuffle(x.relu(), 2), FACTS, x=real(1, 2, 4, 4)),
    "channel_shuffle": row(
        lambda x, a: F.channel_shuffle(x * a[:, :, None, None], 2), FACTS, x=real(1, 6, 2, 2), a=mask(1, 6)
    ),
    "im2col": row(lambda x: F.unfold(x.relu(), (2, 3), padding=1, stride=(1, 2)), FACTS, x=real(1, 2, 4, 5)),
    "nearest neighbours": row(lambda x: F.interpolate(x.relu(), scale_factor=2), FACTS, x=real(1, 2, 3, 3)),
    "nearest neighbours by 3": row(lambda x: F.interpolate(x.relu(), scale_factor=3), FACTS, x=real(1, 2, 3, 3)),
    "bilinear mixes": row(
        lambda x: F.interpolate(x.relu(), scale_factor=2, mode="bilinear"), FACTS, x=real(1, 2, 3, 3)
    ),
    "stack of the same mask": row(lambda x, y, m: torch.stack([x * m[:, None], y * m[:, None]]), FACTS),
    "stack of two masks": row(lambda x, y, m, n: torch.stack([x * m[:, None], y * n[:, None]], 1), FACTS),
    "cat of the same mask": row(
        lambda x, y, m: torch.cat([x * m[:, None], y * m[:, None], x * m[:, None]], 1), FACTS, y=real(4, 2)
    ),
    "cat of two masks": row(
        lambda x, y, m, a: torch.cat([x * m[:, None], y * a[:, None]]), FACTS, y=real(3, 6), a=mask(3)
    ),
    "slice_scatter": row(
        lambda x, y, m: (x * m[:, None]).slice_scatter(y * m[:2, None], 0, 1, 3), FACTS, y=real(2, 6)
    ),
    "padded rows": row(lambda x, m: F.pad(x * m[:, None], (0, 0, 1, 1)), FACTS),
    "a row that is permuted": row(lambda x, a, b: (x * a[..., None] + b).permute(2, 0, 1), FACTS, **FILLED),
    "a row cut into heads": row(
        lambda x, a, b: (x * a[..., None] + b).view(2, 3, 2, 2).transpose(1, 2), FACTS, **FILLED
    ),
    "rows merged": row(lambda x, a, b: (x * a[..., None] + b).view(6, 4), FACTS, **FILLED),
    "a row that is sliced": row(lambda x, a, b: (x * a[..., None] + b)[..., 1:3], FACTS, **FILLED),
    "a row in two halves": row(lambda x, a, b: (x * a[..., None] + b).chunk(2, -1)[0], FACTS, **FILLED),
    "one entry of a row": row(lambda x, a, b: (x * a[..., None] + b)[..., 2], FACTS, **FILLED),
    "one row of each": row(lambda x, a, b: (x * a[..., None] + b)[:, 1], FACTS, **FILLED),
    "rows and their axis merged": row(lambda x, a, b: (x * a[..., None] + b).view(2, 12), FACTS, **FILLED),
}


@pytest.fixture(scope="module")
def imported() -> dict[str, Program]:
    return dict(zip(ROWS, programs(list(ROWS.values())), strict=True))


@pytest.mark.parametrize("name", ROWS)
def test_an_op_carries_its_facts_on(imported: dict[str, Program], name: str):
    program = imported[name]
    facts = forward_facts(program.function)
    assert tuple(map(str, facts.get(program.result, ()))) == ROWS[name].facts


@pytest.mark.parametrize("name", ROWS)
def test_the_facts_are_true(imported: dict[str, Program], name: str):
    check_often(imported[name], forward_facts(imported[name].function), ROWS[name])
