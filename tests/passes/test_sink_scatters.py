"""Regions stay packed, and what has to see full rows does."""

import pytest
from gossamer.tests.passes.programs import check, check_stays

TWO_INPUTS = "%c: ROWS, %d: DOMAIN, %y: FULL"
SINK = "sink-scatters"


def function(body: str, inputs: str = TWO_INPUTS, result: str = "ROWS") -> str:
    return f"func.func @forward({inputs}) -> {result} {{\n{body}\n}}"


def test_what_was_just_scattered_is_gathered_for_nothing():
    check(
        SINK,
        before=function("""
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %r = sparse.gather %f[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r : ROWS"""),
        after=function("func.return %c : ROWS"),
    )


def test_what_was_just_gathered_is_scattered_for_nothing():
    check(
        SINK,
        before=function(
            """
          %r = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %f = sparse.scatter %r[%d] "i j a" : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
            result="FULL",
        ),
        after=function("func.return %y : FULL", result="FULL"),
    )


def test_a_row_wise_chain_stays_compact():
    check(
        SINK,
        before=function("""
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %t = aten.call "aten.tanh.default"(%f) : (FULL) -> FULL
          %s = aten.call "aten.add.Tensor"(%t, %y) : (FULL, FULL) -> FULL
          %r = sparse.gather %s[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r : ROWS"""),
        after=function("""
          %t = aten.call "aten.tanh.default"(%c) attributes {sparse.layout = #sparse<layout "i j a">} : (ROWS) -> ROWS
          %g = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %s = aten.call "aten.add.Tensor"(%t, %g) attributes {sparse.layout = #sparse<layout "i j a">}
            : (ROWS, ROWS) -> ROWS
          func.return %s : ROWS"""),
    )


def test_a_gather_moves_above_row_wise_work_that_nothing_else_reads():
    check(
        SINK,
        before=function("""
          %s = aten.call "aten.add.Tensor"(%y, %y) : (FULL) -> FULL
          %r = sparse.gather %s[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r : ROWS"""),
        after=function("""
          %g = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %s = aten.call "aten.add.Tensor"(%g, %g) attributes {sparse.layout = #sparse<layout "i j a">} : (ROWS) -> ROWS
          func.return %s : ROWS"""),
    )


def test_moves_of_axes_outside_the_domain_are_moves_of_the_compact_form():
    check(
        SINK,
        before=function(
            """
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %v = aten.call "aten.reshape.default"(%f, [-1, 5, 2, 4]) : (FULL) -> SPLIT
          %h = aten.call "aten.transpose.int"(%v, 1, 2) : (SPLIT) -> HEADS
          %r = sparse.gather %h[%d] "i a j b" : HEADS, DOMAIN -> ROWS_2
          func.return %r : ROWS_2""",
            result="ROWS_2",
        ),
        after=function(
            """
          %n = sparse.size %d : DOMAIN -> ACTIVE
          %v = aten.call "aten.reshape.default"(%c, [%n, 2, 4]) attributes {sparse.layout = #sparse<layout "i j a b">}
            : (ROWS, ACTIVE) -> ROWS_2
          func.return %v : ROWS_2""",
            result="ROWS_2",
        ),
    )


def test_a_transposed_domain_needs_no_move_at_all():
    check(
        SINK,
        before=function("""
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %t = aten.call "aten.transpose.int"(%f, 0, 1) : (FULL) -> TURNED
          %r = sparse.gather %t[%d] "j i a" : TURNED, DOMAIN -> ROWS
          func.return %r : ROWS"""),
        after=function("func.return %c : ROWS"),
    )


def test_another_domain_keeps_its_scatter():
    check_stays(
        SINK,
        function(
            """
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %r = sparse.gather %f[%e] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r : ROWS""",
            inputs="%c: ROWS, %d: DOMAIN, %e: DOMAIN",
        ),
    )


def test_another_layout_keeps_its_scatter():
    check_stays(
        SINK,
        function(
            """
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> SQUARE
          %r = sparse.gather %f[%d] "j i a" : SQUARE, DOMAIN -> ROWS
          func.return %r : ROWS"""
        )
        .replace("DOMAIN", '!sparse.domain<"b", "b">')
        .replace("SQUARE", 'tensor<?x?x8xf32, #aten.dims<"b", "b", 8>>'),
    )


MASKED = {
    "a product with a mask": ('aten.call "aten.mul.Tensor"(%f, %m)', "(FULL, KEEP_1) -> FULL"),
    "a product with a mask that comes first": ('aten.call "aten.mul.Tensor"(%m, %f)', "(KEEP_1, FULL) -> FULL"),
    "masked_fill": ('aten.call "aten.masked_fill.Scalar"(%f, %m, 1.0)', "(FULL, KEEP_1) -> FULL"),
    "masked_fill with a tensor": (
        'aten.call "aten.masked_fill.Tensor"(%f, %m, %v)',
        "(FULL, KEEP_1, tensor<f32>) -> FULL",
    ),
    "where": ('aten.call "aten.where.self"(%m, %f, %y)', "(KEEP_1, FULL, FULL) -> FULL"),
    "where with a number": ('aten.call "aten.where.ScalarOther"(%m, %f, 0.0)', "(KEEP_1, FULL) -> FULL"),
    "where with a number first": ('aten.call "aten.where.ScalarSelf"(%m, 0.0, %f)', "(KEEP_1, FULL) -> FULL"),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_that_brings_rows_to_life_keeps_its_full_rows(name):
    call, types = MASKED[name]
    check_stays(
        SINK,
        function(
            f"""
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %m = aten.call "aten.unsqueeze.default"(%k, -1) : (KEEP) -> KEEP_1
          %s = {call} : {types}
          func.return %s : FULL""",
            inputs="%c: ROWS, %d: DOMAIN, %k: KEEP"
            + (", %y: FULL" if "%y" in call else "")
            + (", %v: tensor<f32>" if "%v" in call else ""),
            result="FULL",
        ),
    )


def test_a_product_with_what_is_no_mask_stays_compact():
    check(
        SINK,
        before=function(
            """
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %s = aten.call "aten.mul.Tensor"(%f, %y) : (FULL, FULL) -> FULL
          func.return %s : FULL""",
            result="FULL",
        ),
        after=function(
            """
          %g = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %s = aten.call "aten.mul.Tensor"(%c, %g) attributes {sparse.layout = #sparse<layout "i j a">}
            : (ROWS, ROWS) -> ROWS
          %f = sparse.scatter %s[%d] "i j a" : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
            result="FULL",
        ),
    )


FILLED = "%c: ROWS, %d: DOMAIN, %n: FILL, %y: FULL"


def test_a_fill_goes_through_the_op_too():
    check(
        SINK,
        before=function(
            """
          %f = sparse.scatter %c[%d] "i j a" fill %n : FILL : ROWS, DOMAIN -> FULL
          %s = aten.call "aten.exp.default"(%f) : (FULL) -> FULL
          func.return %s : FULL""",
            FILLED,
            "FULL",
        ),
        after=function(
            """
          %s = aten.call "aten.exp.default"(%c) attributes {sparse.layout = #sparse<layout "i j a">} : (ROWS) -> ROWS
          %e = aten.call "aten.exp.default"(%n) attributes {sparse.layout = #sparse<layout "i j a">} : (FILL) -> FILL
          %f = sparse.scatter %s[%d] "i j a" fill %e : FILL : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
            FILLED,
            "FULL",
        ),
    )


def test_filled_rows_that_meet_others_stay():
    check_stays(
        SINK,
        function(
            """
          %f = sparse.scatter %c[%d] "i j a" fill %n : FILL : ROWS, DOMAIN -> FULL
          %s = aten.call "aten.add.Tensor"(%f, %y) : (FULL, FULL) -> FULL
          func.return %s : FULL""",
            FILLED,
            "FULL",
        ),
    )


def test_a_filled_scatter_of_gathered_rows_is_not_what_was_gathered():
    check_stays(
        SINK,
        function(
            """
          %r = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %f = sparse.scatter %r[%d] "i j a" fill %n : FILL : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
            "%d: DOMAIN, %n: FILL, %y: FULL",
            "FULL",
        ),
    )


MIXES = {
    "softmax over the sequence": ('aten.call "aten.softmax.int"(%f, 1)', "FULL"),
    "a sum over the sequence": ('aten.call "aten.sum.dim_IntList"(%f, [1])', "POOLED"),
    "a mean over the sequence": ('aten.call "aten.mean.dim"(%f, [1])', "POOLED"),
    "a norm over sequence and width": ('aten.call "aten.layer_norm.default"(%f, [5, 8])', "FULL"),
    "a running sum": ('aten.call "aten.cumsum.default"(%f, 1)', "FULL"),
    "one position": ('aten.call "aten.select.int"(%f, 1, 0)', "POOLED"),
    "random numbers": ('aten.call random "aten.dropout.default"(%f, 0.5, true)', "FULL"),
    "writing in place": ('aten.call mutates "aten.relu_.default"(%f)', "FULL"),
}


@pytest.mark.parametrize("name", MIXES)
def test_what_mixes_rows_reads_them_all(name):
    call, result = MIXES[name]
    check_stays(
        SINK,
        function(
            f"""
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %s = {call} : (FULL) -> {result}
          func.return %s : {result}""",
            inputs="%c: ROWS, %d: DOMAIN",
            result=result,
        ),
    )


def test_a_gather_stays_below_what_another_op_reads():
    check_stays(
        SINK,
        function(
            """
          %s = aten.call "aten.neg.default"(%y) : (FULL) -> FULL
          %r = sparse.gather %s[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r, %s : ROWS, FULL""",
            inputs="%d: DOMAIN, %y: FULL",
            result="(ROWS, FULL)",
        ),
    )


def test_equal_gathers_are_one():
    check(
        SINK,
        before=function(
            """
          %r = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %s = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %a = aten.call "aten.abs.default"(%r) : (ROWS) -> ROWS
          %t = aten.call "aten.sub.Tensor"(%a, %s) : (ROWS, ROWS) -> ROWS
          func.return %t : ROWS""",
            inputs="%d: DOMAIN, %y: FULL",
            result="ROWS",
        ),
        after=function(
            """
          %r = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %a = aten.call "aten.abs.default"(%r) : (ROWS) -> ROWS
          %t = aten.call "aten.sub.Tensor"(%a, %r) : (ROWS, ROWS) -> ROWS
          func.return %t : ROWS""",
            inputs="%d: DOMAIN, %y: FULL",
            result="ROWS",
        ),
    )


def square(text: str) -> str:
    """`text` over an index space of two equal sizes, in which rows may lie either way."""
    text = text.replace("DOMAIN", '!sparse.domain<"b", "b">')
    return text.replace("FULL", 'tensor<?x?x8xf32, #aten.dims<"b", "b", 8>>')


ELSEWHERE = {
    "on another domain": ('%r[%e] "i j a"', "FULL"),
    "in another layout": ('%r[%d] "j i a"', "FULL"),
    "among more positions": ('%r[%d] "i j a"', 'tensor<?x?x8xf32, #aten.dims<"b", "t", 8>>'),
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_what_was_gathered_and_is_scattered_elsewhere_is_scattered_for_something(where):
    scatter, result = ELSEWHERE[where]
    text = function(
        f"""
          %r = sparse.gather %y[%d] "i j a" : FULL, DOMAIN -> ROWS
          %f = sparse.scatter {scatter} : ROWS, DOMAIN -> {result}
          func.return %f : {result}""",
        "%d: DOMAIN, %e: DOMAIN, %y: FULL",
        result,
    )
    check_stays(SINK, square(text) if "layout" in where else text)


MET = {
    "rows of another domain": '%e[%o] "i j a" fill %n : FILL : ROWS, DOMAIN -> FULL',
    "rows that lie otherwise": '%e[%d] "j i a" fill %n : FILL : ROWS, DOMAIN -> FULL',
}


@pytest.mark.parametrize("rows", MET)
def test_filled_rows_meet_only_rows_that_are_filled_at_the_same_places(rows):
    text = function(
        f"""
          %f = sparse.scatter %c[%d] "i j a" fill %n : FILL : ROWS, DOMAIN -> FULL
          %g = sparse.scatter {MET[rows]}
          %s = aten.call "aten.add.Tensor"(%f, %g) : (FULL, FULL) -> FULL
          func.return %s : FULL""",
        "%c: ROWS, %e: ROWS, %d: DOMAIN, %o: DOMAIN, %n: FILL",
        "FULL",
    )
    check_stays(SINK, square(text) if "otherwise" in rows else text)


def test_filled_rows_that_meet_dead_ones_are_dead():
    check(
        SINK,
        before=function(
            """
          %f = sparse.scatter %c[%d] "i j a" fill %n : FILL : ROWS, DOMAIN -> FULL
          %g = sparse.scatter %e[%d] "i j a" : ROWS, DOMAIN -> FULL
          %s = aten.call "aten.add.Tensor"(%f, %g) : (FULL, FULL) -> FULL
          func.return %s : FULL""",
            "%c: ROWS, %e: ROWS, %d: DOMAIN, %n: FILL",
            "FULL",
        ),
        after=function(
            """
          %s = aten.call "aten.add.Tensor"(%c, %e) attributes {sparse.layout = #sparse<layout "i j a">}
            : (ROWS, ROWS) -> ROWS
          %f = sparse.scatter %s[%d] "i j a" : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
            "%c: ROWS, %e: ROWS, %d: DOMAIN, %n: FILL",
            "FULL",
        ),
    )


@pytest.mark.parametrize("fill", ["", "fill %n : WIDE_FILL :"])
def test_a_reshape_to_sizes_that_only_the_full_rows_tell_stays(fill):
    text = function(
        f"""
          %f = sparse.scatter %c[%d] "i j a" {fill} : WIDE_ROWS, DOMAIN -> WIDE
          %s = aten.call "aten.reshape.default"(%f, [-1, 5, %t, 4]) : (WIDE, !aten.scalar<int, "t">) -> SQUARE
          func.return %s : SQUARE""".replace(": :", ":"),
        '%c: WIDE_ROWS, %d: DOMAIN, %n: WIDE_FILL, %t: !aten.scalar<int, "t">',
        "SQUARE",
    )
    for name, written in {
        "WIDE_ROWS": 'tensor<?x?xf32, #aten.dims<"?", "4*t">>',
        "WIDE_FILL": 'tensor<1x?xf32, #aten.dims<1, "4*t">>',
        "WIDE": 'tensor<?x?x?xf32, #aten.dims<"b", "s", "4*t">>',
        "SQUARE": 'tensor<?x?x?x4xf32, #aten.dims<"b", "s", "t", 4>>',
    }.items():
        text = text.replace(name, written)
    check_stays(SINK, text)


def test_a_gather_of_one_of_several_results_stays_below():
    check_stays(
        SINK,
        function(
            """
          %v, %n = aten.call "aten.sort.default"(%y, -1) unpack : (FULL) -> (FULL, INDICES)
          %r = sparse.gather %v[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r : ROWS""".replace("INDICES", 'tensor<?x?x8xi64, #aten.dims<"b", "s", 8>>'),
            "%d: DOMAIN, %y: FULL",
        ),
    )


READERS = {
    "on another domain": '%s[%e] "i j a" : FULL, DOMAIN',
    "in another layout": '%s[%d] "j i a" : FULL, DOMAIN',
}


@pytest.mark.parametrize("reader", READERS)
def test_gathers_that_differ_stay_below(reader):
    text = function(
        f"""
          %s = aten.call "aten.neg.default"(%y) : (FULL) -> FULL
          %r = sparse.gather %s[%d] "i j a" : FULL, DOMAIN -> ROWS
          %q = sparse.gather {READERS[reader]} -> ROWS
          func.return %r, %q : ROWS, ROWS""",
        "%d: DOMAIN, %e: DOMAIN, %y: FULL",
        "(ROWS, ROWS)",
    )
    check_stays(SINK, square(text) if "layout" in reader else text)


def test_two_scatters_of_one_domain_meet_above_them():
    inputs = "%c: ROWS, %e: ROWS, %d: DOMAIN"
    check(
        SINK,
        before=function(
            """
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %g = sparse.scatter %e[%d] "i j a" : ROWS, DOMAIN -> FULL
          %s = aten.call "aten.add.Tensor"(%f, %g) : (FULL, FULL) -> FULL
          func.return %s : FULL""",
            inputs,
            "FULL",
        ),
        after=function(
            """
          %s = aten.call "aten.add.Tensor"(%c, %e) attributes {sparse.layout = #sparse<layout "i j a">}
            : (ROWS, ROWS) -> ROWS
          %f = sparse.scatter %s[%d] "i j a" : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
            inputs,
            "FULL",
        ),
    )


def test_a_gather_stays_below_what_mixes_rows():
    check_stays(
        SINK,
        function(
            """
          %s = aten.call "aten.softmax.int"(%y, 1) : (FULL) -> FULL
          %r = sparse.gather %s[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %r : ROWS""",
            "%d: DOMAIN, %y: FULL",
        ),
    )


@pytest.mark.parametrize("other", ['%e[%o] "i j a"', '%e[%d] "j i a"'])
def test_rows_that_lie_elsewhere_are_gathered_from_their_scatter(other):
    inputs = "%c: ROWS, %e: ROWS, %d: DOMAIN, %o: DOMAIN"
    before = function(
        f"""
          %f = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
          %g = sparse.scatter {other} : ROWS, DOMAIN -> FULL
          %s = aten.call "aten.add.Tensor"(%f, %g) : (FULL, FULL) -> FULL
          func.return %s : FULL""",
        inputs,
        "FULL",
    )
    after = function(
        f"""
          %g = sparse.scatter {other} : ROWS, DOMAIN -> FULL
          %h = sparse.gather %g[%d] "i j a" : FULL, DOMAIN -> ROWS
          %s = aten.call "aten.add.Tensor"(%c, %h) attributes {{sparse.layout = #sparse<layout "i j a">}}
            : (ROWS, ROWS) -> ROWS
          %f = sparse.scatter %s[%d] "i j a" : ROWS, DOMAIN -> FULL
          func.return %f : FULL""",
        inputs,
        "FULL",
    )
    check(SINK, square(before), square(after))
