"""Calls that no exported program has, and their facts: products, windows, reductions, norms and losses."""

from gossamer.tests.passes.analysis.fact_examples import BOTH, IMAGE, KEPT, SEQUENCE, VOLUME, of_relu, of_rows
from gossamer.tests.passes.analysis.fact_programs import below, mask, real, row
from gossamer.tests.passes.analysis.written_programs import call, hidden, relu, rows

WHOLE = "0 unless any(nz(%m)[j1] for j1 < 4); needs finite %x"

PRODUCTS = [
    row(lambda x, m, y: call("mm.default", rows(x, m), y), BOTH, y=real(6, 3)),
    row(lambda x, m, y: call("mv.default", rows(x, m), y), BOTH, y=real(6)),
    row(
        lambda x, m, y: call("dot.default", relu(x), y),
        "0 unless any(nz(%relu)[j1] for j1 < 6); needs finite %y",
        x=real(6),
        y=real(6),
    ),
    row(lambda x, m, y, z: call("addmv.default", z, rows(x, m), y), y=real(6), z=real(4)),
    row(
        lambda x, m, y, z: call("addmv.default", rows(z, m), rows(x, m), y),
        "0 on axes [0] unless nz(%m); needs finite %x, %y, %z",
        y=real(6),
        z=real(4),
    ),
    row(
        lambda x, m, y, b: call("linear.default", rows(x, m), y, b),
        "%b on axes [0] unless nz(%m); needs finite %x, %y",
        y=real(3, 6),
        b=real(3),
    ),
    row(
        lambda x, m, y: call("linear.default", relu(x), rows(y, m)),
        "0 on axes [0] unless any(nz(%relu)[i0, j1] for j1 < 6); needs finite %mul",
        "0 on axes [1] unless nz(%m); needs finite %y, %relu",
        y=real(4, 6),
    ),
    row(
        lambda x, m, w: call("conv3d.default", rows(x, m), w),
        "0 on axes [0] unless nz(%m); needs finite %x, %w",
        w=real(3, 2, 2, 2, 2),
        **VOLUME,
    ),
    row(
        lambda x, m, w, b: call("convolution.default", rows(x, m), w, b, (1, 1), (0, 0), (1, 1), False, (0, 0), 1),
        "%b on axes [0] unless nz(%m); needs finite %x, %w",
        w=real(3, 4, 2, 2),
        b=real(3),
        **IMAGE,
    ),
    row(
        lambda x, m, w, b: call("convolution.default", rows(x, m), w, b, (1, 1), (0, 0), (1, 1), True, (0, 0), 1),
        w=real(4, 3, 2, 2),
        b=real(3),
        **IMAGE,
    ),
    row(lambda x, m, w: call("conv2d.padding", rows(x, m), w, None, (1, 1), "same"), w=real(3, 4, 3, 3), **IMAGE),
    row(lambda x, m: call("max_pool1d.default", rows(x, m), (2,)), KEPT, **SEQUENCE),
    row(lambda x, m: call("max_pool3d.default", rows(x, m), (2, 2, 2)), KEPT, **VOLUME),
    row(lambda x, m: call("avg_pool3d.default", rows(x, m), (2, 2, 2)), KEPT, **VOLUME),
    row(lambda x, m: call("max_pool2d_with_indices.default", rows(x, m), (2, 2))[0], KEPT, **IMAGE),
    row(lambda x, m: call("max_pool2d_with_indices.default", rows(x, m), (2, 2))[1], **IMAGE),
    row(lambda x, m: call("adaptive_avg_pool1d.default", rows(x, m), (2,)), KEPT, **SEQUENCE),
    row(lambda x, m: call("adaptive_avg_pool3d.default", rows(x, m), (2, 1, 2)), KEPT, **VOLUME),
    row(lambda x, m: call("_adaptive_avg_pool2d.default", rows(x, m), (2, 3)), KEPT, **IMAGE),
    row(
        lambda x, i: call(
            "max_unpool3d.default", relu(x), call("clamp.default", i, 0, 7), (2, 2, 2), (2, 2, 2), (0, 0, 0)
        ),
        "0 on axes [1, 2, 3, 4] unless nz(%max_unpool3d)[0, i0, i1, i2, i3]",
        x=real(1, 2, 1, 1, 1),
        i=below(8, 1, 2, 1, 1, 1),
    ),
]

REDUCTIONS = [
    *(of_rows(f"{name}.default", facts=(WHOLE,)) for name in "sum mean median max min var std".split()),
    of_rows("norm.Scalar", facts=(WHOLE,)),
    of_rows("norm.Scalar", -1, facts=()),
    of_relu(
        "prod.default",
        facts=("0 unless not any(any(not nz(%relu)[j2, j1] for j1 < 6) for j2 < 4); needs finite %relu",),
    ),
    row(lambda m: call("all.default", m), "0 unless not any(not nz(%m)[j1] for j1 < 4); else 1"),
    row(lambda m: call("any.default", m), "0 unless any(nz(%m)[j1] for j1 < 4); else 1"),
    row(
        lambda c: call("all.dims", c, (0, 2)),
        "0 on axes [0] unless not any(any(not nz(%c)[j2, i0, j1] for j1 < 4) for j2 < 2); else 1",
        c=mask(2, 3, 4),
    ),
    row(
        lambda c: call("any.dims", c, (0, 2)),
        "0 on axes [0] unless any(any(nz(%c)[j2, i0, j1] for j1 < 4) for j2 < 2); else 1",
        c=mask(2, 3, 4),
    ),
    of_relu("norm.ScalarOpt_dim", 2, (1,)),
    of_relu("count_nonzero.dim_IntList", (1,)),
    of_relu("kthvalue.default", 2, 1),
    of_relu("kthvalue.default", 2),
    of_relu("mode.default", 1),
    of_relu("mode.default"),
    of_relu("max.dim", 1),
    of_relu("min.dim", 1),
    row(lambda x: call("max.dim", relu(x), 1)[1]),
    of_relu("argmin.default", 1, facts=()),
    of_relu("var.correction", (1,), correction=0),
    of_relu("var.correction", (1,), correction=6, facts=()),
    of_relu("std.correction", (1,), correction=1),
    of_relu("cummin.default", 1, facts=("0 on axes [0, 1] unless any(nz(%relu)[i0, j1] and i1 >= j1 for j1 < 6)",)),
    row(
        lambda x, m: call("logcumsumexp.default", hidden(x, m), 1),
        "-inf on axes [0, 1] unless any(nz(%m)[i0, j1] and i1 >= j1 for j1 < 6)",
        m=mask(4, 6),
    ),
    row(
        lambda x: call("cumsum.default", relu(x), 0),
        "0 on axes [1, 0] unless any(nz(%relu)[j1, i0] and i1 >= j1 for j1 < 4)",
    ),
]

NORMS = [
    row(
        lambda x, m: call("_softmax.default", hidden(x, m), 1, False),
        "0 on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    row(
        lambda x, m: call("_log_softmax.default", hidden(x, m), 1, False),
        "-inf on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    row(
        lambda x, m: call("_safe_softmax.default", hidden(x, m), 1),
        "0 on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    row(
        lambda x, m: call("softmax.int", hidden(x, m), 0),
        "0 on axes [0, 1] unless nz(%m) or not any(nz(%m)[j1, i1] for j1 < 4); needs finite %x",
        m=mask(4, 6),
    ),
    row(
        lambda x, m, b: call("native_layer_norm.default", rows(x, m), (6,), None, b, 1e-05)[0],
        "%b on axes [0] unless nz(%m); needs finite %x",
        b=real(6),
    ),
    row(lambda x, m: call("native_layer_norm.default", rows(x, m), (6,), None, None, 1e-5)[1]),
    row(lambda x, m: call("layer_norm.default", rows(x, m), (6,), None, None, 0.0)),
    row(
        lambda x, m, w, b, u, v: call(
            "batch_norm.default", rows(x, m), w, b, u, call("abs.default", v), False, 0.1, 1e-05, False
        ),
        "batch_norm(0, %w, %b, %u, %abs) on axes [0] unless nz(%m); rounded; needs finite %x",
        w=real(4),
        b=real(4),
        u=real(4),
        v=real(4),
        **IMAGE,
    ),
    row(lambda x, m: call("batch_norm.default", rows(x, m), None, None, None, None, True, 0.1, 1e-5, False), **IMAGE),
    row(
        lambda x, i: call("nll_loss.default", call("log_softmax.int", x, 1), i, None, 0, 2),
        "0 on axes [0] unless %i != 2",
        i=below(6, 4),
    ),
    row(lambda x, i: call("nll_loss.default", call("log_softmax.int", x, 1), i, None, 1, 2), i=below(6, 4)),
    row(
        lambda x, i: call("nll_loss_nd.default", call("log_softmax.int", x, 1), i, None, 0, 2),
        "0 on axes [0] unless %i != 2",
        i=below(6, 4),
    ),
    of_rows(
        "fake_quantize_per_tensor_affine.default",
        0.1,
        3,
        0,
        255,
        facts=("0 on axes [0, 1] unless nz(%fake_quantize_per_tensor_affine)", KEPT),
    ),
]
