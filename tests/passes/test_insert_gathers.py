"""Where domains come to stand, and where they must not."""

from collections import Counter

import pytest
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.sparse import DomainOp
from gossamer.tests.passes.programs import check, check_stays, program

INSERT = "insert-gathers"
GIVEN_AWAY = '{sparse.dont_care = "keep"}'


def linear(seed: str, more: str = "") -> str:
    """A linear layer with the result `seed` says."""
    return f"""
    func.func @forward(%x: FULL {{aten.name = "x"}}, %k: KEEP {{aten.name = "keep"}}, %w: WEIGHT {{aten.name = "w"}})
        -> (FULL {seed}) {{
      {more}
      %y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL
      func.return %y : FULL
    }}"""


def test_a_product_whose_rows_are_partly_dead_is_packed():
    check(
        INSERT,
        before=linear(GIVEN_AWAY),
        after="""
        func.func @forward(%x: FULL {aten.name = "x"}, %k: KEEP {aten.name = "keep"}, %w: WEIGHT {aten.name = "w"})
            -> (FULL {sparse.dont_care = "keep"}) {
          %d = sparse.domain %k : KEEP -> DOMAIN
          %g = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS
          %c = aten.call "aten.linear.default"(%g, %w) attributes {sparse.layout = #sparse<layout "i j a">}
            : (ROWS, WEIGHT) -> ROWS
          %y = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          func.return %y : FULL
        }""",
    )


def test_a_result_that_is_read_whole_stays_dense():
    check_stays(INSERT, linear(""))


def test_a_mask_that_is_no_argument_gives_nothing_away():
    check_stays(INSERT, linear('{sparse.dont_care = "mask"}'))


def test_a_site_that_an_op_with_effects_reads_stays_dense():
    check_stays(
        INSERT,
        """
        func.func @forward(%x: FULL {aten.name = "x"}, %k: KEEP {aten.name = "keep"}, %w: WEIGHT {aten.name = "w"})
            -> (FULL {sparse.dont_care = "keep"}) {
          %y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL
          %z = aten.call random "aten.dropout.default"(%y, 0.5, true) : (FULL) -> FULL
          func.return %z : FULL
        }""",
    )


def test_two_layers_share_one_domain():
    module = program("""
    func.func @forward(%x: FULL {aten.name = "x"}, %k: KEEP {aten.name = "keep"}, %w: WEIGHT {aten.name = "w"})
        -> (FULL {sparse.dont_care = "keep"}) {
      %y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL
      %r = aten.call "aten.relu.default"(%y) : (FULL) -> FULL
      %z = aten.call "aten.linear.default"(%r, %w) : (FULL, WEIGHT) -> FULL
      func.return %z : FULL
    }""")
    run_pipeline(module, INSERT)
    ops = Counter(op.name for op in module.walk())
    assert (ops["sparse.domain"], ops["sparse.gather"], ops["sparse.scatter"]) == (1, 2, 2)


def test_results_given_away_under_two_masks_get_the_union():
    text = """
    func.func @forward(%x: FULL {aten.name = "x"}, %k: KEEP {aten.name = "k"}, %l: KEEP {aten.name = "l"},
                       %w: WEIGHT {aten.name = "w"})
        -> (FULL {sparse.dont_care = "k"}, FULL {sparse.dont_care = "l"}) {
      BEFORE
      func.return %y, %y : FULL, FULL
    }"""
    linear = '%y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL'
    check(
        INSERT,
        before=text.replace("BEFORE", linear),
        after=text.replace(
            "BEFORE",
            """
      %m = aten.call "aten.logical_or.default"(%k, %l) : (KEEP, KEEP) -> KEEP
      %d = sparse.domain %m : KEEP -> DOMAIN
      %g = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS
      %c = aten.call "aten.linear.default"(%g, %w) attributes {sparse.layout = #sparse<layout "i j a">}
        : (ROWS, WEIGHT) -> ROWS
      %y = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL""",
        ),
    )


ATTENTION = """
func.func @forward(%q: HEADS {aten.name = "q"}, %k: HEADS {aten.name = "k"}, %v: HEADS {aten.name = "v"},
                   %keep: KEEP {aten.name = "keep"}, %read: KEEP {aten.name = "read"},
                   %w: tensor<4x4xf32> {aten.name = "w"})
    -> (HEADS {aten.name = "y"}) {
  %q1 = aten.call "aten.linear.default"(%q, %w) : (HEADS, tensor<4x4xf32>) -> HEADS
  %k1 = aten.call "aten.linear.default"(%k, %w) : (HEADS, tensor<4x4xf32>) -> HEADS
  %v1 = aten.call "aten.linear.default"(%v, %w) : (HEADS, tensor<4x4xf32>) -> HEADS
  %s = aten.call "aten.add.Tensor"(%q1, %k1) : (HEADS, HEADS) -> HEADS
  %m = aten.call "aten.reshape.default"(MASK, [-1, 1, 1, 5]) : (KEEP) -> WIDE
  %a = aten.call "aten.scaled_dot_product_attention.default"(%q1, %s, %v1, %m) : (HEADS, HEADS, HEADS, WIDE) -> HEADS
  %b = aten.call "aten.add.Tensor"(%a, %v1) : (HEADS, HEADS) -> HEADS
  %t = aten.call "aten.transpose.int"(%b, 1, 2) : (HEADS) -> SPLIT
  func.return %t : SPLIT
}""".replace("WIDE", 'tensor<?x1x1x?xi1, #aten.dims<"b", 1, 1, "s">>').replace(
    '-> (HEADS {aten.name = "y"})', '-> (SPLIT {sparse.dont_care = "read"})'
)


@pytest.mark.parametrize(("mask", "asked"), [("%read", 0), ("%keep", 1)])
def test_attention_asks_at_run_time_where_it_is_not_plain_that_active_keys_are_allowed(mask, asked):
    module = program(ATTENTION.replace("MASK", mask))
    run_pipeline(module, INSERT)
    ops = Counter(op.name for op in module.walk())
    assert ops["sparse.attention"] == 1
    assert ops["sparse.covers"] == ops["sparse.everywhere"] == asked


def test_attention_is_never_packed_where_bits_must_not_change():
    module = program(
        f'builtin.module attributes {{gossamer.exact = "bitwise"}} {{ {ATTENTION.replace("MASK", "%read")} }}'
    )
    before = module.clone()
    run_pipeline(module, INSERT)
    assert module.is_structurally_equivalent(before)


def masked(call: str, more: str = "", x: str = "FULL", w: str = "WEIGHT") -> str:
    """A linear layer of the rows of %x that `call` leaves over; `more` comes before it."""
    return f"""
    func.func @forward(%x: {x}, %m: KEEP_1, %w: {w} {{aten.name = "w"}}) -> FULL {{
      {more}
      %h = {call} : ({x}, KEEP_1) -> {x}
      %y = aten.call "aten.linear.default"(%h, %w) : ({x}, {w}) -> FULL
      func.return %y : FULL
    }}"""


FILLS = 'aten.call "aten.masked_fill.Scalar"(%x, %m, 1.0)'
STARTS = [
    FILLS,
    'aten.call "aten.mul.Tensor"(%x, %m)',
    'aten.call "aten.mul.Tensor"(%m, %x)',
    'aten.call "aten.where.ScalarOther"(%m, %x, 0.0)',
]


@pytest.mark.parametrize("call", STARTS)
def test_rows_that_are_filled_before_a_product_start_a_region(call):
    text = masked(call) if "(%x" in call else masked(call).replace("(FULL, KEEP_1)", "(KEEP_1, FULL)")
    if "where" in call:
        text = text.replace("(FULL, KEEP_1)", "(KEEP_1, FULL)")
    module = program(text)
    run_pipeline(module, INSERT)
    ops = Counter(op.name for op in module.walk())
    assert (ops["sparse.domain"], ops["sparse.gather"], ops["sparse.scatter"]) == (1, 2, 1), "rows, and their mask"


@pytest.mark.parametrize("op", ["aten.relu.default", "aten.softmax.int"])
def test_rows_that_are_filled_for_no_product_start_none(op):
    last = f'aten.call "{op}"(%h{", 1" if "softmax" in op else ""}) : (FULL) -> FULL'
    check_stays(INSERT, masked(FILLS).replace('aten.call "aten.linear.default"(%h, %w) : (FULL, WEIGHT) -> FULL', last))


@pytest.mark.parametrize("number", ["%n", "true"])
def test_a_fill_that_is_no_number_of_the_program_starts_nothing(number):
    text = (
        masked(FILLS).replace("1.0)", f"{number})").replace("%m: KEEP_1,", '%m: KEEP_1, %n: !aten.scalar<float, "n">,')
    )
    if number == "%n":
        text = text.replace("(FULL, KEEP_1)", '(FULL, KEEP_1, !aten.scalar<float, "n">)')
    check_stays(INSERT, text)


def test_a_fill_as_wide_as_is_known_only_at_run_time_starts_nothing():
    wide = 'tensor<?x?x?xf32, #aten.dims<"b", "s", "t">>'
    check_stays(INSERT, masked(FILLS, x=wide, w='tensor<8x?xf32, #aten.dims<8, "t">>'))


def test_a_row_that_is_spread_over_all_and_has_an_unknown_width_starts_nothing():
    check_stays(
        INSERT,
        """
        func.func @forward(%x: LINE, %m: MASK, %w: WEIGHT_T {aten.name = "w"}) -> POOLED {
          %h = aten.call "aten.mul.Tensor"(%x, %m) : (LINE, MASK) -> LINES
          %y = aten.call "aten.linear.default"(%h, %w) : (LINES, WEIGHT_T) -> POOLED
          func.return %y : POOLED
        }""".replace("LINES", 'tensor<?x?xf32, #aten.dims<"b", "t">>')
        .replace("LINE", 'tensor<1x?xf32, #aten.dims<1, "t">>')
        .replace("WEIGHT_T", 'tensor<8x?xf32, #aten.dims<8, "t">>')
        .replace("MASK", 'tensor<?x1xi1, #aten.dims<"b", 1>>'),
    )


def test_what_is_packed_already_stays_as_it_is():
    module = program(linear(GIVEN_AWAY))
    run_pipeline(module, INSERT)
    before = module.clone()
    run_pipeline(module, INSERT)
    assert module.is_structurally_equivalent(before)


def test_a_call_without_a_result_is_no_site():
    more = 'aten.call "aten._assert_scalar.default"(true, "there are rows") : () -> ()'
    module = program(linear(GIVEN_AWAY, more))
    run_pipeline(module, INSERT)
    assert Counter(op.name for op in module.walk())["sparse.domain"] == 1


def test_a_mask_along_the_width_of_a_product_tells_nothing_of_rows():
    check_stays(INSERT, linear(GIVEN_AWAY).replace("KEEP", 'tensor<?x?x8xi1, #aten.dims<"b", "s", 8>>'))


COUNTED = """
    func.func @forward(%x: FULL, %k: KEEP, %w: WEIGHT {aten.name = "w"}) -> FULL {
      EARLY
      %y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL
      LATE
      %m = aten.call "aten.unsqueeze.default"(%n, -1) : (WORDS) -> WORDS_1
      %z = aten.call "aten.mul.Tensor"(%y, %m) : (FULL, WORDS_1) -> FULL
      func.return %z : FULL
    }""".replace("WORDS_1", 'tensor<?x?x1xi64, #aten.dims<"b", "s", 1>>')
COUNT = '%n = aten.call "aten.cumsum.default"(%k, 1) : (KEEP) -> WORDS'


def test_a_mask_that_is_made_after_the_product_comes_too_late():
    check_stays(INSERT, COUNTED.replace("EARLY", "").replace("LATE", COUNT))


def test_a_mask_that_is_made_before_the_product_is_there_in_time():
    module = program(COUNTED.replace("EARLY", COUNT).replace("LATE", ""))
    run_pipeline(module, INSERT)
    assert Counter(op.name for op in module.walk())["sparse.gather"] == 1


def test_a_mask_that_is_made_of_the_first_product_comes_too_late():
    check_stays(
        INSERT,
        """
        func.func @forward(%x: FULL, %k: KEEP {aten.name = "keep"}, %w: WEIGHT, %v: tensor<1x8xf32>)
            -> (FULL {sparse.dont_care = "keep"}) {
          %n = aten.call "aten.linear.default"(%x, %v) : (FULL, tensor<1x8xf32>) -> ONES
          %m = aten.call "aten.ne.Scalar"(%n, 0) : (ONES) -> KEEP_1
          %y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL
          %z = aten.call "aten.where.ScalarOther"(%m, %y, 0.0) : (KEEP_1, FULL) -> FULL
          func.return %z : FULL
        }""".replace("ONES", 'tensor<?x?x1xf32, #aten.dims<"b", "s", 1>>'),
    )


@pytest.mark.parametrize(
    ("options", "multiple"),
    [("", None), ("{row-multiple=1 rows=20}", 1), ("{row-multiple=4 rows=20}", 4), ("{row-multiple=4 rows=24}", None)],
)
def test_products_keep_their_bits_only_over_numbers_of_rows_that_were_tried(options, multiple):
    text = linear(GIVEN_AWAY).replace("FULL", "tensor<4x5x8xf32>").replace("KEEP", "tensor<4x5xi1>")
    module = program(f'builtin.module attributes {{gossamer.exact = "bitwise"}} {{ {text} }}')
    run_pipeline(module, f"insert-gathers{options}")
    found = [op.multiple.value.data for op in module.walk() if isinstance(op, DomainOp) and op.multiple]
    assert found == ([] if multiple is None else [multiple])
