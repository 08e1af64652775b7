"""Ops that move, choose and put together: predicates and rows are re-indexed exactly."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from gossamer.passes.analysis.facts import forward_facts
from gossamer.tests.passes.analysis.fact_checks import check_often
from gossamer.tests.passes.analysis.fact_programs import Program, below, mask, programs, real, row, weight

BATCH = {"x": real(2, 3, 4), "a": mask(2, 3)}
FILLED = BATCH | {"b": weight(4)}

ROWS = {
    "index_select": row(
        lambda x, m, i: (x * m[:, None]).index_select(0, i),
        "0 on axes [0] unless nz(%m)[%i]; needs finite %x",
        i=below(4, 3),
    ),
    "gather": row(lambda x, i: x.relu().gather(1, i), "0 on axes [0, 1] unless nz(%relu)[i0, %i]", i=below(6, 4, 2)),
    "take_along_dim": row(
        lambda x, i: x.relu().take_along_dim(i, 1), "0 on axes [0, 1] unless nz(%relu)[i0, %i]", i=below(6, 4, 2)
    ),
    "embedding": row(
        lambda y, a, i: F.embedding(i, y * a[:, None]),
        "0 on axes [0, 1] unless nz(%a)[%i]; needs finite %y",
        y=real(5, 3),
        a=mask(5),
        i=below(5, 2, 3),
    ),
    "index at pairs": row(
        lambda x, i, j: x.relu()[i, j],
        "0 on axes [0, 1] unless nz(%relu)[%i % 4, %j[i1] % 6]",
        i=below(4, 2, 3),
        j=below(6, 3),
    ),
    "index in the middle": row(
        lambda x, a, i: (x * a[:, :, None])[:, i],
        "0 on axes [0, 1, 2] unless nz(%a)[i0, %i[i1, i2] % 3]; needs finite %x",
        x=real(2, 3, 4),
        a=mask(2, 3),
        i=below(3, 2, 2),
    ),
    "scatter onto masked rows": row(
        lambda x, m, i, y: (x * m[:, None]).scatter(1, i, y),
        "0 on axes [0, 1] unless nz(%m) or any(%i[i0, j1] == i1 for j1 < 2); needs finite %x",
        i=below(6, 4, 2),
        y=real(4, 2),
    ),
    "view that merges": row(
        lambda x, a: (x * a[..., None]).view(6, 4),
        "0 on axes [0] unless nz(%a)[i0 // 3, i0 % 3]; needs finite %x",
        **BATCH,
    ),
    "view that splits": row(
        lambda x, c: (x * c).view(2, 3, 2, 2),
        "0 on axes [2, 3] unless nz(%c)[2*i0 + i1]; needs finite %x",
        x=real(2, 3, 4),
        c=mask(4),
    ),
    "view across boundaries": row(
        lambda x: x.relu().reshape(6, 4), "0 on axes [0, 1] unless nz(%relu)[(4*i0 + i1) // 6, (4*i0 + i1) % 6]"
    ),
    "view there and back": row(
        lambda x, a: (x * a[..., None]).view(6, 4).view(2, 3, 4),
        "0 on axes [0, 1] unless nz(%a); needs finite %x",
        **BATCH,
    ),
    "view down and back": row(
        lambda x, m: (x * m[:, None]).view(2, 2, 6).view(4, 6), "0 on axes [0] unless nz(%m); needs finite %x"
    ),
    "flatten": row(
        lambda x, a: (x * a[..., None]).flatten(),
        "0 on axes [0] unless nz(%a)[i0 // 12, i0 // 4 % 3]; needs finite %x",
        **BATCH,
    ),
    "unsqueeze": row(lambda x: x.relu()[:, None], "0 on axes [0, 2] unless nz(%relu)"),
    "expand": row(lambda x: x.relu()[:, None].expand(4, 3, 6), "0 on axes [0, 2] unless nz(%relu)"),
    "permute": row(
        lambda x, a: (x * a[..., None]).permute(1, 2, 0), "0 on axes [2, 0] unless nz(%a); needs finite %x", **BATCH
    ),
    "transpose": row(
        lambda x, a: (x * a[..., None]).transpose(0, 1), "0 on axes [1, 0] unless nz(%a); needs finite %x", **BATCH
    ),
    "heads": row(
        lambda x, a: (x * a[..., None]).view(2, 3, 2, 2).transpose(1, 2),
        "0 on axes [0, 2] unless nz(%a); needs finite %x",
        **BATCH,
    ),
    "split": row(lambda x: x.relu().split(2, 1)[1], "0 on axes [0, 1] unless nz(%relu)[i0, i1 + 2]"),
    "chunk": row(lambda x: x.relu().chunk(2, 1)[1], "0 on axes [0, 1] unless nz(%relu)[i0, i1 + 3]"),
    "unbind": row(lambda x: x.relu().unbind(1)[2], "0 on axes [0] unless nz(%relu)[i0, 2]"),
    "select from the end": row(lambda x: x.relu()[:, -2], "0 on axes [0] unless nz(%relu)[i0, 4]"),
    "slice with a step": row(lambda x: x.relu()[1:, ::2], "0 on axes [0, 1] unless nz(%relu)[i0 + 1, 2*i1]"),
    "slice from the end": row(lambda x: x.relu()[-2:], "0 on axes [0, 1] unless nz(%relu)[i0 + 2, i1]"),
    "narrow": row(lambda x: x.relu().narrow(1, 2, 3), "0 on axes [0, 1] unless nz(%relu)[i0, i1 + 2]"),
    "flip": row(lambda x, m: (x * m[:, None]).flip(0), "0 on axes [0] unless nz(%m)[-i0 + 3]; needs finite %x"),
    "roll": row(lambda x, m: (x * m[:, None]).roll(1, 0), "0 on axes [0] unless nz(%m)[(i0 + 3) % 4]; needs finite %x"),
    "repeat": row(lambda x, m: (x * m[:, None]).repeat(2, 3), "0 on axes [0] unless nz(%m)[i0 % 4]; needs finite %x"),
    "tile": row(lambda x, m: (x * m[:, None]).tile(2), "0 on axes [0] unless nz(%m); needs finite %x"),
    "repeat_interleave": row(
        lambda x, m: (x * m[:, None]).repeat_interleave(2, 0), "0 on axes [0] unless nz(%m)[i0 // 2]; needs finite %x"
    ),
    "diagonal": row(lambda x: x.relu().diagonal(1), "0 on axes [0] unless nz(%relu)[i0, i0 + 1]"),
    "unfold": row(lambda x: x.relu().unfold(1, 3, 2), "0 on axes [0, 1, 2] unless nz(%relu)[i0, 2*i1 + i2]"),
    "pixel_shuffle": row(
        lambda x, a: F.pixel_shuffle(x * a[:, :, None, None], 2),
        "0 on axes [1, 2, 3] unless nz(%a)[0, 4*i0 + 2*(i1 % 2) + (i2 % 2)]; needs finite %x",
        x=real(1, 8, 2, 2),
        a=mask(1, 8),
    ),
    "pixel_unshuffle": row(
        lambda x: F.pixel_unshuffle(x.relu(), 2),
        "0 on axes [1, 2, 3] unless nz(%relu)[0, i0 // 4, 2*i1 + (i0 % 4 // 2), 2*i2 + (i0 % 2)]",
        x=real(1, 2, 4, 4),
    ),
    "channel_shuffle": row(
        lambda x, a: F.channel_shuffle(x * a[:, :, None, None], 2),
        "0 on axes [1] unless nz(%a)[0, (i0 // 2) + 3*(i0 % 2)]; needs finite %x",
        x=real(1, 6, 2, 2),
        a=mask(1, 6),
    ),
    "im2col": row(
        lambda x: F.unfold(x.relu(), (2, 3), padding=1, stride=(1, 2)),
        "0 on axes [1, 2] unless nz(%relu)[0, i0 // 6, (i1 // 3) + (i0 % 6 // 3) - 1, (i0 % 3) + 2*(i1 % "
        "3) - 1] and (i1 // 3) + (i0 % 6 // 3) > 0 and (i0 % 3) + 2*(i1 % 3) > 0 and (i1 // 3) + (i0 % 6 "
        "// 3) < 5 and (i0 % 3) + 2*(i1 % 3) < 6",
        x=real(1, 2, 4, 5),
    ),
    "nearest neighbours": row(
        lambda x: F.interpolate(x.relu(), scale_factor=2),
        "0 on axes [1, 2, 3] unless nz(%relu)[0, i0, i1 // 2, i2 // 2]",
        x=real(1, 2, 3, 3),
    ),
    "nearest neighbours by 3": row(lambda x: F.interpolate(x.relu(), scale_factor=3), x=real(1, 2, 3, 3)),
    "bilinear mixes": row(lambda x: F.interpolate(x.relu(), scale_factor=2, mode="bilinear"), x=real(1, 2, 3, 3)),
    "stack of the same mask": row(
        lambda x, y, m: torch.stack([x * m[:, None], y * m[:, None]]),
        "0 on axes [1] unless nz(%m); needs finite %x, %y",
    ),
    "stack of two masks": row(
        lambda x, y, m, n: torch.stack([x * m[:, None], y * n[:, None]], 1),
        "0 on axes [0, 1] unless nz(%m) and i1 < 1 or nz(%n) and i1 > 0; needs finite %x, %y",
    ),
    "cat of the same mask": row(
        lambda x, y, m: torch.cat([x * m[:, None], y * m[:, None], x * m[:, None]], 1),
        "0 on axes [0] unless nz(%m); needs finite %x, %y",
        y=real(4, 2),
    ),
    "cat of two masks": row(
        lambda x, y, m, a: torch.cat([x * m[:, None], y * a[:, None]]),
        "0 on axes [0] unless nz(%m) and i0 < 4 or nz(%a)[i0 - 4] and i0 >= 4; needs finite %x, %y",
        y=real(3, 6),
        a=mask(3),
    ),
    "slice_scatter": row(
        lambda x, y, m: (x * m[:, None]).slice_scatter(y * m[:2, None], 0, 1, 3),
        "0 on axes [0] unless nz(%m)[i0 - 1] and i0 > 0 and i0 < 3 or nz(%m) and (i0 >= 3 or i0 < 1); "
        "needs finite %x, %y",
        y=real(2, 6),
    ),
    "padded rows": row(
        lambda x, m: F.pad(x * m[:, None], (0, 0, 1, 1)),
        "0 on axes [0] unless nz(%m)[i0 - 1] and i0 > 0 and i0 < 5; needs finite %x",
    ),
    "a row that is permuted": row(
        lambda x, a, b: (x * a[..., None] + b).permute(2, 0, 1),
        "add(0, %b) on axes [1, 2] unless nz(%a); needs finite %x",
        **FILLED,
    ),
    "a row cut into heads": row(
        lambda x, a, b: (x * a[..., None] + b).view(2, 3, 2, 2).transpose(1, 2),
        "add(0, %b) on axes [0, 2] unless nz(%a); needs finite %x",
        **FILLED,
    ),
    "rows merged": row(
        lambda x, a, b: (x * a[..., None] + b).view(6, 4),
        "add(0, %b) on axes [0] unless nz(%a)[i0 // 3, i0 % 3]; needs finite %x",
        **FILLED,
    ),
    "a row that is sliced": row(
        lambda x, a, b: (x * a[..., None] + b)[..., 1:3],
        "slice(add(0, %b)) on axes [0, 1] unless nz(%a); needs finite %x",
        **FILLED,
    ),
    "a row in two halves": row(
        lambda x, a, b: (x * a[..., None] + b).chunk(2, -1)[0],
        "slice(add(0, %b)) on axes [0, 1] unless nz(%a); needs finite %x",
        **FILLED,
    ),
    "one entry of a row": row(
        lambda x, a, b: (x * a[..., None] + b)[..., 2],
        "slice(add(0, %b)) on axes [0, 1] unless nz(%a); needs finite %x",
        **FILLED,
    ),
    "one row of each": row(
        lambda x, a, b: (x * a[..., None] + b)[:, 1],
        "add(0, %b) on axes [0] unless nz(%a)[i0, 1]; needs finite %x",
        **FILLED,
    ),
    "rows and their axis merged": row(lambda x, a, b: (x * a[..., None] + b).view(2, 12), **FILLED),
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
