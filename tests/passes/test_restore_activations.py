"""Thresholds that nothing skips by are taken back; the others stay."""

from gossamer.tests.passes.programs import check, check_stays

T, W, D = "tensor<1x8xf32>", "tensor<8x8xf32>", "!sparse.domain<8>"
CUT = f'%t = aten.call "aten.hardshrink.default"(%x, 0.25) attributes {{sparse.approximate}} : ({T}) -> {T}'
TIMES = f'%h = aten.call "aten.mul.Tensor"(%t, %u) : ({T}, {T}) -> {T}'
SUPPORT = f"%d = sparse.support %h : {T} -> {D}"
SKIP = f"%y = sparse.matmul %h, %w[%d] k : {T}, {W}, {D} -> {T}"
DENSE = f'%y = aten.call "aten.linear.default"(%h, %w) : ({T}, {W}) -> {T}'


def text(*lines: str) -> str:
    body = "\n".join(lines)
    return f"func.func @forward(%x: {T}, %w: {W}, %u: {T}) -> {T} {{ {body} func.return %y : {T} }}"


def test_a_threshold_by_which_nothing_skips_is_gone():
    check("restore-activations", text(CUT, TIMES, DENSE), text(TIMES.replace("%t", "%x"), DENSE))


def test_a_threshold_by_which_a_product_skips_stays():
    check_stays("restore-activations", text(CUT, TIMES, SUPPORT, SKIP))
    check_stays("restore-activations", text(CUT, TIMES, SUPPORT.replace("%h", "%t"), SKIP))


def test_the_support_behind_another_product_is_no_reason_to_stay():
    first = DENSE.replace("%y", "%z")
    later = [SUPPORT.replace("%h", "%z"), SKIP.replace("%h", "%z")]
    check("restore-activations", text(CUT, TIMES, first, *later), text(TIMES.replace("%t", "%x"), first, *later))


def test_the_user_s_own_shrinkage_is_not_touched():
    check_stays("restore-activations", text(CUT.replace("attributes {sparse.approximate}", ""), TIMES, DENSE))
