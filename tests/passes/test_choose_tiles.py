"""Products that go by tiles, and those that must not."""

from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.sparse import MatmulOp, SupportOp
from gossamer.dialects.tiles import TileOp, TilesType
from gossamer.passes.choose_tiles import PROBED
from gossamer.tests.passes.programs import check, check_stays, program
from xdsl.dialects.builtin import ModuleOp

PASS = "choose-tiles"
X, W, Y = "tensor<128x3072xf32>", "tensor<768x3072xf32>", "tensor<128x768xf32>"
TILES = "!sparse.tiles<8 : 128, 3072>"
LOW, HIGH = ", ".join(["5.0e-02"] * 5), "5.0e-02, 1.0e-01, 1.9e-01, 3.4e-01, 5.6e-01"


def measured(own: str = HIGH, clustered: str = LOW, union: float = 0.99) -> str:
    tiles = f"{{own = array<f64: {own}>, clustered = array<f64: {clustered}>}}"
    return f"attributes {{sparse.support = {union} : f64, sparse.tiles = {tiles}}}"


def relu(attributes: str) -> str:
    return f'%r = aten.call "aten.relu.default"(%x) {attributes} : ({X}) -> {X}'


LINEAR = f'%y = aten.call "aten.linear.default"(%r, %w) : ({X}, {W}) -> {Y}'


def text(body: str, finite: str = "{sparse.finite}") -> str:
    return f"func.func @forward(%x: {X}, %w: {W} {finite}) -> {Y} {{ {body} func.return %y : {Y} }}"


def tiled(limit: str, kind: str = "") -> str:
    most = float(limit) + PROBED
    upto = f"upto {most!r} : f64" if most < 1.0 else ""
    return f"""
      %t = sparse.tile %r {kind} {upto} : {X} -> {TILES}
      %density = sparse.density %t : {TILES}
      %limit = arith.constant {limit} : f32
      %pays = arith.cmpf ole, %density, %limit : f32
      %c = scf.if %pays -> ({TILES}) {{
        scf.yield %t : {TILES}
      }} else {{
        %all = sparse.everywhere %t : {TILES}
        scf.yield %all : {TILES}
      }}
      %y = sparse.matmul %r, %w[%c] k : {X}, {W}, {TILES} -> {Y}"""


EIGHT = "choose-tiles{rates=1.0e+09,1.0e+09,1.0e+09,1.9e+11,1.0e+09 call=0.0}"
"""Nothing but tiles of eight rows pays."""


def limit_of(module: ModuleOp) -> str:
    """The threshold that was put in, as it is written."""
    (line,) = (line for line in str(module).splitlines() if "arith.constant" in line)
    return line.split("constant ")[1].split(" :")[0]


def test_a_product_whose_union_is_full_goes_by_tiles():
    before = text(f"{relu(measured())} {LINEAR}")
    module = program(before)
    run_pipeline(module, EIGHT)
    limit = limit_of(module)
    assert 0.3 < float(limit) < 1.0
    check(EIGHT, before, text(f"{relu(measured())} {tiled(limit, 'clustered')}"))


def test_rows_stay_in_their_order_where_bringing_them_together_gains_nothing():
    same = measured(LOW, LOW)
    module = program(text(f"{relu(same)} {LINEAR}"))
    run_pipeline(module, EIGHT)
    check(EIGHT, text(f"{relu(same)} {LINEAR}"), text(f"{relu(same)} {tiled(limit_of(module))}"))


def tiles(module: ModuleOp) -> list[str]:
    found = [op.tiles.type for op in module.walk() if isinstance(op, TileOp)]
    return [str(kind) for kind in found]


def after(body: str, passes: str = PASS, finite: str = "{sparse.finite}") -> ModuleOp:
    module = program(text(body, finite))
    run_pipeline(module, passes)
    return module


def test_a_union_that_tiles_beat_gives_way_with_all_that_found_it():
    sparse = measured(union=0.3)
    module = after(f"{relu(sparse)} {LINEAR}", "insert-skips{call=0.0 start-k=0.0 copy-k=0.0 bandwidth=1.0e+30}")
    assert any(isinstance(op, SupportOp) for op in module.walk())
    run_pipeline(module, PASS)
    assert len(tiles(module)) == 1
    names = [op.name for op in module.walk()]
    assert names.count("sparse.density") == names.count("scf.if") == names.count("sparse.matmul") == 1
    assert "sparse.support" not in names


def test_a_support_that_others_read_stays():
    other = LINEAR.replace("%y", "%z")
    both = f"{relu(measured(union=0.3))} {other} {LINEAR}"
    keep = both.replace(LINEAR, f'{LINEAR} %q = aten.call "aten.add.Tensor"(%y, %z) : ({Y}, {Y}) -> {Y}')
    module = program(text(keep).replace("return %y", "return %q"))
    run_pipeline(module, PASS)
    assert len(tiles(module)) == 1, "one guard for products that share it"
    products = [op for op in module.walk() if isinstance(op, MatmulOp)]
    assert len(products) == 2
    assert all(isinstance(op.domain.type, TilesType) for op in products)


def test_what_was_not_measured_stays():
    check_stays(PASS, text(f"{relu('')} {LINEAR}"))
    check_stays(PASS, text(f"{relu('attributes {sparse.support = 0.1 : f64}')} {LINEAR}"))


def test_dense_rows_stay():
    ones = ", ".join(["9.0e-01"] * 5)
    check_stays(PASS, text(f"{relu(measured(ones, ones))} {LINEAR}"))


def test_a_weight_that_may_be_infinite_stays_dense():
    assert not tiles(after(f"{relu(measured())} {LINEAR}", finite=""))
    assert tiles(after(f"{relu(measured())} {LINEAR}"))


def test_bitwise_plans_keep_the_order_of_sums():
    exact = 'module attributes {gossamer.exact = "bitwise"} {' + text(f"{relu(measured())} {LINEAR}") + "}"
    check_stays(PASS, exact)


def test_nothing_is_zero_without_a_relu():
    silu = relu(measured()).replace("relu", "silu")
    check_stays(PASS, text(f"{silu} {LINEAR}"))


def test_without_kernels_nothing_is_done():
    check_stays("choose-tiles{rates=0.0}", text(f"{relu(measured())} {LINEAR}"))


def test_rows_that_may_be_many_are_counted_when_the_program_runs():
    body = f"{relu(measured())} {LINEAR}"
    whole = text(body)
    for width in (3072, 768):
        dynamic = f'tensor<?x{width}xf32, #aten.dims<"s0", {width}>>'
        whole = whole.replace(f"tensor<128x{width}xf32>", dynamic)
    symbols = "attributes {aten.symbols = {s0 = [2 : i64, 1000 : i64, 128 : i64]}} {"
    module = program(whole.replace(") -> tensor", ") -> tensor").replace("{ %r", f"{symbols} %r", 1))
    run_pipeline(module, PASS)
    (tile,) = (op for op in module.walk() if isinstance(op, TileOp))
    assert tile.rows is not None
    assert tile.rows.value.data == 512


def test_a_second_run_changes_nothing():
    module = after(f"{relu(measured())} {LINEAR}")
    again = module.clone()
    run_pipeline(again, PASS)
    assert again.is_structurally_equivalent(module)
