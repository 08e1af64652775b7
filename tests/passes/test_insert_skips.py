"""Products that skip along k and n, and those that must not."""

from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.sparse import MatmulOp, SupportOp
from gossamer.tests.passes.programs import check, check_stays, program
from xdsl.dialects.builtin import ModuleOp

FREE = "insert-skips{call=0.0 start-k=0.0 copy-k=0.0 copy-n=0.0 bandwidth=1.0e+30}"
"""Skipping costs nothing: what is legal and not known to be dense is inserted, up to density 0.98."""

SHORT = {
    "ROW": "tensor<1x8xf32>",
    "WIDE": "tensor<1x32xf32>",
    "UP": "tensor<32x8xf32>",
    "DOWN": "tensor<8x32xf32>",
    "HIDDEN": "!sparse.domain<32>",
}


def text(body: str, head: str = "") -> str:
    """A function of %x and finite weights %g, %u, %d, and what `head` adds."""
    weights = ", ".join(
        f"%{name}: {kind} {{sparse.finite}}" for name, kind in (("g", "UP"), ("u", "UP"), ("d", "DOWN"))
    )
    whole = f"func.func @forward(%x: ROW, {weights}{head}) -> ROW {{ {body} func.return %y : ROW }}"
    for name, written in SHORT.items():
        whole = whole.replace(name, written)
    return whole


def guarded(limit: str = "9.800000e-01") -> str:
    """%c: the support %s, if it is sparse enough."""
    return f"""
      %density = sparse.density %s : HIDDEN
      %limit = arith.constant {limit} : f32
      %pays = arith.cmpf ole, %density, %limit : f32
      %c = scf.if %pays -> (HIDDEN) {{
        scf.yield %s : HIDDEN
      }} else {{
        %all = sparse.everywhere %s : HIDDEN
        scf.yield %all : HIDDEN
      }}"""


GATE = 'aten.call "aten.linear.default"(%x, %g) : (ROW, UP) -> WIDE'
RELU = '%r = aten.call "aten.relu.default"(%a) : (WIDE) -> WIDE'
UP = '%b = aten.call "aten.linear.default"(%x, %u) : (ROW, UP) -> WIDE'
TIMES = '%h = aten.call "aten.mul.Tensor"(%r, %b) : (WIDE, WIDE) -> WIDE'
DOWN = '%y = aten.call "aten.linear.default"(%h, %d) : (WIDE, DOWN) -> ROW'
SKIPPED_UP = "%b = sparse.matmul %x, %u[%c] n : ROW, UP, HIDDEN -> WIDE"
SKIPPED_DOWN = "%y = sparse.matmul %h, %d[%c] k : WIDE, DOWN, HIDDEN -> ROW"
SUPPORT = "%s = sparse.support %r : WIDE -> HIDDEN"


def test_what_follows_a_relu_sums_over_its_support():
    check(
        FREE,
        text(f"%a = {GATE}\n {RELU}\n {DOWN}".replace("%h", "%r")),
        text(f"%a = {GATE}\n {RELU}\n {SUPPORT} {guarded()} {SKIPPED_DOWN}".replace("%h", "%r")),
    )


def test_one_support_serves_what_is_computed_and_what_is_summed():
    check(
        FREE,
        text(f"%a = {GATE}\n {RELU}\n {UP}\n {TIMES}\n {DOWN}"),
        text(f"%a = {GATE}\n {RELU}\n {SUPPORT} {guarded()} {SKIPPED_UP}\n {TIMES}\n {SKIPPED_DOWN}"),
    )


def test_a_product_waits_until_the_support_is_known():
    check(
        FREE,
        text(f"{UP}\n %a = {GATE}\n {RELU}\n {TIMES}\n {DOWN}"),
        text(f"%a = {GATE}\n {RELU}\n {SUPPORT} {guarded()} {SKIPPED_UP}\n {TIMES}\n {SKIPPED_DOWN}"),
    )


def test_a_product_that_could_skip_along_both_axes_skips_along_one():
    body = """
      %r = aten.call "aten.relu.default"(%a) : (WIDE) -> WIDE
      %b = aten.call "aten.linear.default"(%r, %w) : (WIDE, SQUARE) -> WIDE
      %q = aten.call "aten.relu.default"(%c) : (WIDE) -> WIDE
      %h = aten.call "aten.mul.Tensor"(%q, %b) : (WIDE, WIDE) -> WIDE
      %y = aten.call "aten.linear.default"(%h, %d) : (WIDE, DOWN) -> ROW"""
    head = ", %a: WIDE, %c: WIDE, %w: SQUARE {sparse.finite}"

    def axes(*densities: float) -> list[str]:
        lines = body
        for name, density in zip("ac", densities, strict=False):
            relu = f'"aten.relu.default"(%{name})'
            lines = lines.replace(relu, f"{relu} attributes {{sparse.support = {density} : f64}}")
        module = program(text(lines, head).replace("SQUARE", "tensor<32x32xf32>"))
        run_pipeline(module, FREE)
        return [str(op.axis.data) for op in module.walk() if isinstance(op, MatmulOp)]

    assert axes() == ["k", "k"]
    assert axes(0.2, 0.1) == ["n", "k"]
    assert axes(0.1, 0.2) == ["k", "k"]


def test_a_product_whose_inner_size_is_a_formula_stays():
    kind = 'tensor<1x?xf32, #aten.dims<1, "(s1 + 1)//2">>'
    down = f'%y = aten.call "aten.linear.default"(%r, %d) : ({kind}, DOWN) -> ROW'
    assert inserted(f"{RELU.replace('WIDE', kind)} {down}", f", %a: {kind}") == ["0 supports"]
    assert inserted(f"{RELU} {down.replace(kind, 'WIDE')}", ", %a: WIDE") == ["k", "1 supports"]


def test_masks_say_what_is_read():
    """masked_fill reads where its mask does not hold: at the support of the opposite."""
    masked = '%h = aten.call "aten.masked_fill.Scalar"(%b, %m, 0.0) : (WIDE, tensor<32xi1>) -> WIDE'
    down = DOWN.replace("%d)", "%w)")
    head = ", %m: tensor<32xi1>, %w: DOWN"
    check(
        FREE,
        text(f"{UP}\n {masked}\n {down}", head),
        text(
            f'%n = aten.call "aten.logical_not.default"(%m) : (tensor<32xi1>) -> tensor<32xi1>\n'
            f"%s = sparse.support %n : tensor<32xi1> -> HIDDEN {guarded()} {SKIPPED_UP}\n {masked}\n {down}",
            head,
        ),
    )


def test_a_list_says_what_is_read():
    """Two readers: what one lists, from the end too, and one position."""
    head = ", %i: tensor<2x3xi64>, %w: DOWN"
    read = f"""{UP}
      %p = aten.call "aten.index.Tensor"(%b, [none, %i]) : (WIDE, tensor<2x3xi64>) -> tensor<1x2x3xf32>
      %q = aten.call "aten.select.int"(%b, 1, 5) : (WIDE) -> tensor<1xf32>
      %v = aten.call "aten.sum.default"(%p) : (tensor<1x2x3xf32>) -> tensor<f32>
      %t = aten.call "aten.add.Tensor"(%q, %v) : (tensor<1xf32>, tensor<f32>) -> tensor<1xf32>
      %y = aten.call "aten.mul.Tensor"(%x, %t) : (ROW, tensor<1xf32>) -> ROW"""
    listed = "%s = sparse.listed %i and [5 : i64] : tensor<2x3xi64> -> HIDDEN"
    after = f"{listed} {guarded()} {read.replace(UP, SKIPPED_UP)}"
    check(FREE, text(read, head), text(after, head))


def inserted(body: str, head: str = "", passes: str = FREE) -> list[str]:
    """The axes along which products skip, in order, then the number of supports."""
    module = program(text(body, head))
    run_pipeline(module, passes)
    return summary(module)


def summary(module: ModuleOp) -> list[str]:
    skips = [str(op.axis.data) for op in module.walk() if isinstance(op, MatmulOp)]
    return [*skips, f"{sum(isinstance(op, SupportOp) for op in module.walk())} supports"]


SQUARED = f'%a = {GATE}\n {RELU}\n %h = aten.call "aten.square.default"(%r) : (WIDE) -> WIDE\n {DOWN}'
BOTH = f"%a = {GATE}\n {RELU}\n {UP}\n {TIMES}\n {DOWN}"


def test_a_squared_relu_is_zero_where_the_relu_is():
    assert inserted(SQUARED) == ["k", "1 supports"]


def test_two_relus_share_what_they_can():
    """relu(a) * relu(b): b is read where relu(a) is not 0; the sum runs over the support of one of them."""
    other = '%t = aten.call "aten.relu.default"(%b) : (WIDE) -> WIDE'
    times = TIMES.replace("%b", "%t")
    assert inserted(f"%a = {GATE}\n {RELU}\n {UP}\n {other}\n {times}\n {DOWN}") == ["n", "k", "1 supports"]


def test_nothing_is_inserted_where_nothing_is_zero():
    check_stays(FREE, text(f"%r = {GATE}\n {UP}\n {TIMES}\n {DOWN}"))
    silu = RELU.replace("relu", "silu")
    check_stays(FREE, text(f"%a = {GATE}\n {silu}\n {UP}\n {TIMES}\n {DOWN}"))


def test_bitwise_plans_keep_the_order_of_sums():
    module = program(text(BOTH))
    run_pipeline(module, FREE)
    assert summary(module)[:-1] == ["n", "k"]
    exact = program('module attributes {gossamer.exact = "bitwise"} {' + text(BOTH) + "}")
    run_pipeline(exact, FREE)
    assert summary(exact) == ["0 supports"]


def test_a_weight_that_may_be_infinite_is_multiplied_by_every_zero():
    unknown = text(BOTH).replace("%d: tensor<8x32xf32> {sparse.finite}", "%d: tensor<8x32xf32>")
    module = program(unknown)
    run_pipeline(module, FREE)
    assert summary(module)[:-1] == ["n"]


def test_strict_nan_trusts_no_activation():
    """0 * inf in the gate stays NaN: the product that is gated is whole, and the sum runs over what is not 0."""
    strict = FREE.replace("{", "{strict-nan=true ")
    assert inserted(BOTH, passes=strict) == ["k", "1 supports"]
    module = program(text(BOTH))
    run_pipeline(module, strict)
    (support,) = (op for op in module.walk() if isinstance(op, SupportOp))
    assert support.x.name_hint == "h"


def dense_relu(density: float, body: str = BOTH) -> str:
    return body.replace('relu.default"(%a)', f'relu.default"(%a) attributes {{sparse.support = {density} : f64}}')


def test_a_measured_density_decides():
    sparse, dense = 0.1, 0.6
    costly = FREE.replace("=0.0 bandwidth", "=3.0 bandwidth").replace("copy-k=0.0", "copy-k=3.0")
    assert inserted(dense_relu(sparse), passes=costly) == ["n", "k", "1 supports"]
    assert inserted(dense_relu(dense), passes=costly) == ["0 supports"]


def test_products_without_anything_to_gain_stay():
    """Calls that cost more than the product."""
    check_stays("insert-skips{call=1.0}", text(BOTH))


def test_many_rows_are_left_alone_unless_their_union_was_measured():
    def many(body: str) -> str:
        return text(body).replace("tensor<1x", "tensor<64x")

    module = program(many(BOTH))
    run_pipeline(module, FREE)
    assert summary(module) == ["0 supports"]
    measured = program(many(dense_relu(0.05)))
    run_pipeline(measured, FREE)
    assert summary(measured) == ["n", "k", "1 supports"]


def test_rows_that_may_be_many_are_counted_when_the_program_runs():
    dynamic = {f"tensor<1x{width}xf32>": f'tensor<?x{width}xf32, #aten.dims<"rows", {width}>>' for width in (8, 32)}
    whole = text(BOTH)
    for one, any_number in dynamic.items():
        whole = whole.replace(one, any_number)
    module = program(whole)
    run_pipeline(module, FREE)
    (support,) = (op for op in module.walk() if isinstance(op, SupportOp))
    assert support.rows is not None
    assert support.rows.value.data == 8


def test_products_in_other_forms():
    """mm takes its weight as it is used, addmm its bias first."""
    mm = '%y = aten.call "aten.mm.default"(%r, %t) : (WIDE, tensor<32x8xf32>) -> ROW'
    turned = '%t = aten.call "aten.t.default"(%d) : (DOWN) -> tensor<32x8xf32>'
    assert inserted(f"%a = {GATE}\n {RELU}\n {turned}\n {mm}") == ["k", "1 supports"]
    addmm = '%y = aten.call "aten.addmm.default"(%k, %r, %u) : (tensor<8xf32>, WIDE, UP) -> ROW'
    assert inserted(f"%a = {GATE}\n {RELU}\n {addmm}", ", %k: tensor<8xf32>") == ["k", "1 supports"]
    scaled = addmm.replace("%u)", "%u, alpha = 2)")
    assert inserted(f"%a = {GATE}\n {RELU}\n {scaled}", ", %k: tensor<8xf32>") == ["0 supports"]


def test_a_second_run_changes_nothing():
    module = program(text(BOTH))
    run_pipeline(module, FREE)
    again = module.clone()
    run_pipeline(again, FREE)
    assert again.is_structurally_equivalent(module)
