"""Where domains come to stand, and where they must not."""

from collections import Counter

import pytest
from gossamer.compiler.pipeline import run_pipeline
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
