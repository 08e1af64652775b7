"""Which axes may be permuted and skipped: every claim tried out, every refusal shown to be needed."""

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.permutable import Role, Skip, axes_of
from gossamer.tests.passes.analysis.axis_examples import AXES
from gossamer.tests.passes.analysis.axis_sites import (
    Site,
    close,
    filling,
    labels,
    labels_are_whole,
    leaving_out,
    permuting,
    refusing,
    reorder,
    shown,
)
from gossamer.tests.passes.analysis.fact_programs import Program, arguments_of, below, mask, programs, real, row

IMAGE = {"x": real(3, 4, 5, 6)}

ROWS = {
    "mm": row(lambda x, y: x @ y, y=real(6, 5)),
    "mv": row(lambda x, y: x @ y, y=real(6)),
    "dot": row(lambda x, y: x @ y, x=real(6), y=real(6)),
    "bmm": row(lambda x, y: torch.bmm(x, y), x=real(3, 4, 5), y=real(3, 5, 6)),
    "matmul with batches": row(lambda x, y: x @ y, x=real(2, 1, 4, 5), y=real(3, 5, 6)),
    "linear": row(lambda x, y, z: F.linear(x, y, z), x=real(2, 3, 6), y=real(5, 6), z=real(5)),
    "addmm": row(lambda x, y, z: torch.addmm(z, x, y), y=real(6, 5), z=real(5)),
    "baddbmm": row(lambda x, y, z: torch.baddbmm(z, x, y), x=real(3, 4, 5), y=real(3, 5, 6), z=real(3, 1, 6)),
    "einsum": row(lambda x, y: torch.einsum("bsd,btd->bst", x, y), x=real(2, 3, 4), y=real(2, 5, 4)),
    "einsum without a result": row(lambda x, y: torch.einsum("ij,jk", x, y), y=real(6, 5)),
    "einsum of a diagonal": row(lambda x: torch.einsum("iij->j", x), x=real(4, 4, 5)),
    "conv2d": row(lambda x, y, z: F.conv2d(x, y, z), **IMAGE, y=real(5, 4, 3, 3), z=real(5)),
    "conv2d pointwise": row(lambda x, y, z: F.conv2d(x, y, z), **IMAGE, y=real(5, 4, 1, 1), z=real(5)),
    "conv2d pointwise with a stride": row(lambda x, y: F.conv2d(x, y, stride=2), **IMAGE, y=real(5, 4, 1, 1)),
    "conv2d depthwise": row(lambda x, y: F.conv2d(x, y, groups=4), **IMAGE, y=real(4, 1, 3, 3)),
    "conv2d in groups": row(lambda x, y: F.conv2d(x, y, groups=2), **IMAGE, y=real(6, 2, 3, 3)),
    "conv2d in groups of one": row(lambda x, y: F.conv2d(x, y, groups=4), **IMAGE, y=real(8, 1, 3, 3)),
    "conv2d pointwise with padding": row(lambda x, y: F.conv2d(x, y, padding=1), **IMAGE, y=real(5, 4, 1, 1)),
    "conv1d": row(lambda x, y: F.conv1d(x, y, padding=1), x=real(3, 4, 6), y=real(5, 4, 3)),
    "max_pool2d": row(lambda x: F.max_pool2d(x, 2, 1), **IMAGE),
    "avg_pool2d": row(lambda x: F.avg_pool2d(x, 2, 1), **IMAGE),
    "adaptive_avg_pool2d to one": row(lambda x: F.adaptive_avg_pool2d(x, 1), **IMAGE),
    "adaptive_avg_pool2d to two": row(lambda x: F.adaptive_avg_pool2d(x, 2), **IMAGE),
    "layer_norm": row(lambda x, y, z: F.layer_norm(x, (6,), y, z), x=real(2, 3, 6), y=real(6), z=real(6)),
    "rms_norm": row(lambda x, y: F.rms_norm(x, (6,), y, 1e-6), x=real(2, 3, 6), y=real(6)),
    "batch_norm in inference": row(
        lambda x, y, z: F.batch_norm(x, y, z.abs() + 0.1, y, z), **IMAGE, y=real(4), z=real(4)
    ),
    "batch_norm in training": row(
        lambda x, y, z: torch.ops.aten._native_batch_norm_legit.no_stats(x, y, z, True, 0.1, 1e-5)[0],
        **IMAGE, y=real(4), z=real(4),
    ),
    "group_norm": row(lambda x, y, z: F.group_norm(x, 2, y, z), **IMAGE, y=real(4), z=real(4)),
    "group_norm of one group": row(lambda x, y, z: F.group_norm(x, 1, y, z), **IMAGE, y=real(4), z=real(4)),
    "instance_norm": row(lambda x: F.instance_norm(x), **IMAGE),
    "instance_norm in inference": row(
        lambda x, y, z: F.instance_norm(x, y, z.abs() + 0.1, y + 1, z + 1, use_input_stats=False),
        **IMAGE, y=real(4), z=real(4),
    ),
    "softmax": row(lambda x: x.softmax(1)),
    "log_softmax": row(lambda x: x.log_softmax(0)),
    "sum": row(lambda x: x.sum(1)),
    "sum of all": row(lambda x: x.sum()),
    "sum that keeps its axis": row(lambda x: x.sum(1, keepdim=True)),
    "any": row(lambda m: m.any(1), m=mask(4, 6)),
    "all": row(lambda m: m.all(1), m=mask(4, 6)),
    "count_nonzero": row(lambda x: x.relu().count_nonzero(1)),
    "logsumexp": row(lambda x: x.logsumexp(1)),
    "norm": row(lambda x: torch.linalg.vector_norm(x, dim=1)),
    "mean": row(lambda x: x.mean(1)),
    "var": row(lambda x: x.var(1)),
    "amax": row(lambda x: x.amax(1)),
    "amin": row(lambda x: x.amin(1)),
    "prod": row(lambda x: x.prod(1)),
    "argmax": row(lambda x: x.argmax(1)),
    "topk": row(lambda x: x.topk(2, 1)[1]),
    "sort": row(lambda x: x.sort(1)[1]),
    "cumsum": row(lambda x: x.cumsum(1)),
    "cumprod": row(lambda x: x.cumprod(0)),
    "add": row(lambda x, y: x + y, y=real(6)),
    "gelu": row(lambda x: F.gelu(x)),
    "where": row(lambda x, m: torch.where(m[:, None], x, 0.0)),
    "prelu": row(lambda x, y: F.prelu(x, y), x=real(2, 4, 3), y=real(4)),
    "arange": row(lambda x: torch.arange(6) + x.shape[0]),
    "index_select": row(lambda x, i: x.index_select(0, i), i=below(4, 5)),
    "gather": row(lambda x, i: x.gather(1, i), i=below(6, 4, 3)),
    "gather of less": row(lambda x, i: x.gather(1, i), i=below(6, 3, 3)),
    "index at pairs": row(lambda x, i, j: x[:, i, j], x=real(3, 4, 5), i=below(4, 6), j=below(5, 2, 6)),
    "take_along_dim": row(lambda x, i: x.take_along_dim(i, 1), i=below(6, 4, 3)),
    "embedding": row(lambda y, i: F.embedding(i, y), y=real(7, 3), i=below(7, 4, 5)),
    "scatter_add": row(lambda x, i, y: x.scatter_add(1, i, y), i=below(6, 4, 9), y=real(4, 9)),
    "scatter": row(lambda x, i, y: x.scatter(1, i, y), i=below(6, 4, 9), y=real(4, 9)),
    "index_add": row(lambda x, i, y: x.index_add(0, i, y), i=below(4, 9), y=real(9, 6)),
    "index_copy": row(lambda x, i, y: x.index_copy(0, i, y), i=below(4, 9), y=real(9, 6)),
    "sdpa": row(
        lambda x, y, z, m: F.scaled_dot_product_attention(x, y, z, m),
        x=real(2, 3, 4, 8), y=real(2, 3, 5, 8), z=real(2, 3, 5, 7), m=real(2, 1, 4, 5),
    ),
    "sdpa that is causal": row(
        lambda x, y, z: F.scaled_dot_product_attention(x, y, z, is_causal=True),
        x=real(2, 3, 4, 8), y=real(2, 3, 4, 8), z=real(2, 3, 4, 7),
    ),
    "transpose": row(lambda x: x.transpose(0, 1)),
    "permute": row(lambda x: x.permute(2, 0, 1), x=real(3, 4, 5)),
    "view that merges": row(lambda x: x.view(12, 5), x=real(3, 4, 5)),
    "view that splits": row(lambda x: x.view(4, 2, 3)),
    "unsqueeze": row(lambda x: x[:, None]),
    "expand": row(lambda x: x[:, None].expand(4, 3, 6)),
    "cat": row(lambda x, y: torch.cat([x, y], 1), y=real(4, 2)),
    "stack": row(lambda x, y: torch.stack([x, y], 1)),
    "split": row(lambda x: x.split(3, 1)[1]),
    "slice": row(lambda x: x[:, 2:]),
    "select": row(lambda x: x[:, 2]),
    "pad": row(lambda x: F.pad(x, (1, 2))),
    "roll": row(lambda x: x.roll(1, 0)),
    "flip": row(lambda x: x.flip(1)),
    "unfold": row(lambda x: x.unfold(1, 3, 1)),
    "im2col": row(lambda x: F.unfold(x, 2), **IMAGE),
    "interpolate": row(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), **IMAGE),
    "pixel_shuffle": row(lambda x: F.pixel_shuffle(x, 2), **IMAGE),
    "tril": row(lambda x: x.tril(), x=real(3, 5, 5)),
    "one_hot": row(lambda i: F.one_hot(i, 7), i=below(7, 4, 5)),
    "dropout in training": row(lambda x: F.dropout(x, 0.5, True)),
    "cross_entropy": row(lambda x, i: F.cross_entropy(x, i), i=below(6, 4)),
    "cross_entropy of each": row(lambda x, i: F.cross_entropy(x, i, reduction="none"), i=below(6, 4)),
    "mse_loss": row(lambda x, y: F.mse_loss(x, y)),
}  # fmt: skip

UNKNOWN = {
    "an unknown op": row(lambda x: torch.special.bessel_j0(x)),
    "a product with itself": row(lambda x: x.mm(x), x=real(4, 4)),
    "a product that is added to its factor": row(lambda x, y: torch.addmm(x, x, y), x=real(4, 4), y=real(4, 4)),
    "attention whose queries are its keys": row(
        lambda x, y: F.scaled_dot_product_attention(x, x, y), x=real(2, 3, 4, 8), y=real(2, 3, 4, 8)
    ),
    "scatter of less than is there": row(lambda x, i, y: x.scatter(1, i, y), i=below(6, 4, 5), y=real(4, 9)),
}
"""Calls of which nothing is said: an axis of a tensor that stands twice cannot move in one place alone."""


@pytest.fixture(scope="module")
def imported() -> Mapping[str, Program]:
    rows = ROWS | UNKNOWN
    return dict(zip(rows, programs(list(rows.values())), strict=True))


def site(imported: Mapping[str, Program], name: str) -> Site:
    return Site(imported[name], [source.draw("plain") for _, source in arguments_of(ROWS[name])])


CHECKS = pytest.mark.parametrize("check", [labels_are_whole, permuting, refusing, leaving_out, filling])


@CHECKS
@pytest.mark.parametrize("name", ROWS)
def test_what_is_said_of_an_axis_holds(imported: Mapping[str, Program], name: str, check: Callable[[Site], None]):
    check(site(imported, name))


@pytest.mark.parametrize("name", ROWS)
def test_axes_read_as_expected(imported: Mapping[str, Program], name: str):
    assert shown(site(imported, name).axes) == AXES[name]


@pytest.mark.parametrize("name", ["batch_norm in training", "group_norm of one group", "softmax", "var"])
def test_zeros_may_not_be_left_out_of_statistics(imported: Mapping[str, Program], name: str):
    here = site(imported, name)
    refused = labels(here.axes, lambda _, skip: skip in (Skip.NEVER, Skip.LOWEST))
    assert refused
    for label in refused:
        carrier = next(k for k, own in enumerate(here.axes.operands) if label in own)
        axis, size = here.axes.operands[carrier].index(label), here.size(label)
        here.operands[carrier] = here.operands[carrier].index_fill(axis, torch.tensor([0, 1]), 0.0)
        kept = torch.arange(2, size)
        expected = reorder(here.run(here.operands), here.result_labels, label, kept)
        assert not close(here.run(here.moved(label, kept)), expected), f"{here.op.target.data} {label}"


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_op_says_nothing(imported: Mapping[str, Program], name: str):
    ops = [op for op in imported[name].function.body.block.ops if isinstance(op, CallOp)]
    assert [axes_of(op) for op in ops] == [None]


def test_a_convolution_tells_why_sites_may_not_move(imported: Mapping[str, Program]):
    here = site(imported, "conv2d")
    roles = {label: (role.role, role.skip) for label, role in here.axes.roles.items()}
    assert here.axes.operands == (("n", "c", "s0", "s1"), ("o", "c", "t0", "t1"), ("o",))
    assert roles["c"] == (Role.REDUCED, Skip.ZERO)
    assert roles["n"] == roles["o"] == (Role.PARALLEL, Skip.FILL)
    assert roles["s0"][0] is Role.NEITHER
    assert "sliding window" in here.axes.roles["s0"].reason


def test_batch_norm_in_inference_treats_every_row_alone(imported: Mapping[str, Program]):
    here = site(imported, "batch_norm in inference")
    assert {role.skip for role in here.axes.roles.values()} == {Skip.FILL}
    assert here.axes.operands[1:] == (("c",),) * (len(here.axes.operands) - 1)


def test_a_linear_layer_has_rows_columns_and_a_sum(imported: Mapping[str, Program]):
    here = site(imported, "linear")
    assert here.axes.operands == (("m0", "m1", "k"), ("n", "k"), ("n",))
    assert here.axes.results == (("m0", "m1", "n"),)
    role = here.axes.role(0, 2)
    assert role is not None
    assert (role.role, role.skip) == (Role.REDUCED, Skip.ZERO)
