"""What goes, and what has to stay."""

from collections import Counter

import gossamer
import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.aten import CallOp
from gossamer.runtime.executor import Program
from gossamer.tests.imports import Wrap
from gossamer.tests.passes.programs import check, check_stays

GONE = {
    "a whole slice": 'aten.call "aten.slice.Tensor"(%a, 0, 0, 9223372036854775807)',
    "a slice that ends past the last element": 'aten.call "aten.slice.Tensor"(%a, 1, 0, 99)',
    "a slice without arguments": 'aten.call "aten.slice.Tensor"(%a)',
    "a reshape to the same shape": 'aten.call "aten.reshape.default"(%a, [4, 6])',
    "an expand to the same shape": 'aten.call "aten.expand.default"(%a, [4, 6])',
    "an alias": 'aten.call "aten.alias.default"(%a)',
    "a slice that ends where the axis does": 'aten.call "aten.slice.Tensor"(%a, -1, none, 6)',
    "a slice without an end": 'aten.call "aten.slice.Tensor"(%a, 1, 0, none, 1)',
    "a copy": 'aten.call "aten.clone.default"(%a)',
    "a copy that says that it keeps strides": (
        'aten.call "aten.clone.default"(%a, memory_format = torch.preserve_format)'
    ),
    "a cast that may give back its operand": 'aten.call "aten.to.dtype"(%a, torch.int64, false, true)',
    "a copy of a constant": 'aten.call "aten.lift_fresh_copy.default"(%a)',
    "a cast to the same type": 'aten.call "aten._to_copy.default"(%a, dtype = torch.int64)',
    "dropout that drops nothing": 'aten.call "aten.dropout.default"(%a, 0.5, false)',
    "adding 0 to integers": 'aten.call "aten.add.Tensor"(%a, 0)',
    "adding 0 times something to integers": 'aten.call "aten.add.Tensor"(%a, 0, alpha = 3)',
    "subtracting 0 from integers": 'aten.call "aten.sub.Tensor"(%a, 0)',
}


@pytest.mark.parametrize("name", GONE)
def test_a_call_that_does_nothing_goes(name):
    check(
        "simplify",
        before=f"""
        func.func @forward(%x: tensor<4x6xi64>) -> tensor<4x6xi64> {{
          %a = aten.call "aten.neg.default"(%x) : (tensor<4x6xi64>) -> tensor<4x6xi64>
          %b = {GONE[name]} : (tensor<4x6xi64>) -> tensor<4x6xi64>
          %c = aten.call "aten.abs.default"(%b) : (tensor<4x6xi64>) -> tensor<4x6xi64>
          func.return %c : tensor<4x6xi64>
        }}""",
        after="""
        func.func @forward(%x: tensor<4x6xi64>) -> tensor<4x6xi64> {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4x6xi64>) -> tensor<4x6xi64>
          %c = aten.call "aten.abs.default"(%a) : (tensor<4x6xi64>) -> tensor<4x6xi64>
          func.return %c : tensor<4x6xi64>
        }""",
    )


STAYS = {
    "a slice from 1": ('aten.call "aten.slice.Tensor"(%a, 0, 1)', "tensor<3x6xf32>"),
    "a slice by 2": ('aten.call "aten.slice.Tensor"(%a, 0, 0, 9223372036854775807, 2)', "tensor<2x6xf32>"),
    "a slice that ends before the last element": ('aten.call "aten.slice.Tensor"(%a, 0, 0, -1)', "tensor<3x6xf32>"),
    "a slice by 2 of an axis of which it keeps the type": (
        'aten.call "aten.slice.Tensor"(%a, 0, none, none, 2)',
        "tensor<2x6xf32>",
    ),
    "a cast that asks for strides": (
        'aten.call "aten.to.dtype"(%a, torch.float32, false, true, torch.contiguous_format)',
        "tensor<4x6xf32>",
    ),
    "a cast that keeps the type and asks for strides": (
        'aten.call "aten._to_copy.default"(%a, memory_format = torch.contiguous_format)',
        "tensor<4x6xf32>",
    ),
    "a copy to pinned memory": ('aten.call "aten._to_copy.default"(%a, pin_memory = true)', "tensor<4x6xf32>"),
    "a product with 1": ('aten.call "aten.mul.Tensor"(%a, 1)', "tensor<4x6xf32>"),
    "a slice that ends early": ('aten.call "aten.slice.Tensor"(%a, 1, 0, 5)', "tensor<4x5xf32>"),
    "adding 0 to floats, which turns -0.0 into 0.0": ('aten.call "aten.add.Tensor"(%a, 0)', "tensor<4x6xf32>"),
    "a cast": ('aten.call "aten._to_copy.default"(%a, dtype = torch.float64)', "tensor<4x6xf64>"),
    "a copy with other strides": (
        'aten.call "aten.clone.default"(%a, memory_format = torch.contiguous_format)',
        "tensor<4x6xf32>",
    ),
    "a move to a device": ('aten.call "aten._to_copy.default"(%a, device = device<"cpu">)', "tensor<4x6xf32>"),
    "dropout that drops": ('aten.call random "aten.dropout.default"(%a, 0.5, true)', "tensor<4x6xf32>"),
    "a cut of the gradient": ('aten.call "aten.detach.default"(%a)', "tensor<4x6xf32>"),
}


@pytest.mark.parametrize("name", STAYS)
def test_a_call_that_does_something_stays(name):
    call, result = STAYS[name]
    check_stays(
        "simplify",
        f"""
        func.func @forward(%x: tensor<4x6xf32>) -> {result} {{
          %a = aten.call "aten.neg.default"(%x) : (tensor<4x6xf32>) -> tensor<4x6xf32>
          %b = {call} : (tensor<4x6xf32>) -> {result}
          %c = aten.call "aten.abs.default"(%b) : ({result}) -> {result}
          func.return %c : {result}
        }}""",
    )


def test_a_copy_of_an_input_that_leaves_stays():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: tensor<4xi64>) -> (tensor<4xi64>, tensor<2x2xi64>, tensor<4xi64>) {
          %a = aten.call "aten.clone.default"(%x) : (tensor<4xi64>) -> tensor<4xi64>
          %b = aten.call "aten.clone.default"(%a) : (tensor<4xi64>) -> tensor<4xi64>
          %v = aten.call "aten.reshape.default"(%b, [2, 2]) : (tensor<4xi64>) -> tensor<2x2xi64>
          %z = aten.call "aten.add.Tensor"(%x, 0) : (tensor<4xi64>) -> tensor<4xi64>
          func.return %a, %v, %z : tensor<4xi64>, tensor<2x2xi64>, tensor<4xi64>
        }""",
    )


def test_a_copy_of_a_new_value_that_leaves_by_no_other_way_goes():
    check(
        "simplify",
        before="""
        func.func @forward(%x: tensor<4xf32>) -> tensor<4xf32> {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          %b = aten.call "aten.clone.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %b : tensor<4xf32>
        }""",
        after="""
        func.func @forward(%x: tensor<4xf32>) -> tensor<4xf32> {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %a : tensor<4xf32>
        }""",
    )


def test_a_copy_of_a_new_value_that_leaves_too_stays():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          %b = aten.call "aten.clone.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %a, %b : tensor<4xf32>, tensor<4xf32>
        }""",
    )


def test_a_copy_of_an_expanded_tensor_stays():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: tensor<1x4xf32>) -> tensor<3x4xf32> {
          %a = aten.call "aten.expand.default"(%x, [3, 4]) : (tensor<1x4xf32>) -> tensor<3x4xf32>
          %b = aten.call "aten.clone.default"(%a) : (tensor<3x4xf32>) -> tensor<3x4xf32>
          %c = aten.call "aten.neg.default"(%b) : (tensor<3x4xf32>) -> tensor<3x4xf32>
          func.return %c : tensor<3x4xf32>
        }""",
    )


IN_PLACE = """
func.func @forward(%x: tensor<4xi64>) -> (tensor<4xi64>, tensor<4xi64>) {{
  %b = {copy} : (tensor<4xi64>) -> tensor<4xi64>
  %c = aten.call mutates "aten.add_.Tensor"(%b, 1) : (tensor<4xi64>) -> tensor<4xi64>
  func.return %b, %x : tensor<4xi64>, tensor<4xi64>
}}"""


@pytest.mark.parametrize("copy", ['aten.call "aten.clone.default"(%x)', 'aten.call "aten.add.Tensor"(%x, 0)'])
def test_a_copy_stays_where_something_is_written_in_place(copy):
    text = IN_PLACE.format(copy=copy)
    check_stays("simplify", text)
    module, x = parse_text(text), torch.arange(4)
    run_pipeline(module, "simplify")
    copied, same = Program.build(module, {})([x])
    assert torch.equal(same, torch.arange(4))
    assert torch.equal(copied, torch.arange(4) + 1)


def test_a_view_becomes_a_reshape_where_nothing_is_written_in_place():
    check(
        "simplify",
        before="""
        func.func @forward(%x: tensor<4x6xf32>) -> tensor<24xf32> {
          %v = aten.call "aten.view.default"(%x, [24]) : (tensor<4x6xf32>) -> tensor<24xf32>
          func.return %v : tensor<24xf32>
        }""",
        after="""
        func.func @forward(%x: tensor<4x6xf32>) -> tensor<24xf32> {
          %v = aten.call "aten.reshape.default"(%x, [24]) : (tensor<4x6xf32>) -> tensor<24xf32>
          func.return %v : tensor<24xf32>
        }""",
    )


EQUAL_CALLS = """
func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %b = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %c = aten.call "aten.add.Tensor"(%a, %b) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %r = aten.call random "aten.rand_like.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %s = aten.call random "aten.rand_like.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %t = aten.call "aten.sub.Tensor"(%r, %s) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %c, %t : tensor<4xf32>, tensor<4xf32>
}"""


def test_calls_that_do_the_same_are_one_but_not_random_ones():
    module = parse_text(EQUAL_CALLS)
    run_pipeline(module, "simplify")
    targets = Counter(op.target.data for op in module.walk() if isinstance(op, CallOp))
    assert targets["aten.neg.default"] == 1
    assert targets["aten.rand_like.default"] == 2


def test_the_text_of_merged_calls_can_be_read_again():
    module = parse_text(EQUAL_CALLS)
    run_pipeline(module, "simplify")
    x = torch.randn(4)
    assert torch.equal(Program.build(parse_text(print_module(module)), {})([x])[0], -2 * x)


def test_simplifying_twice_changes_nothing_more():
    once = parse_text(IN_PLACE.format(copy='aten.call "aten.slice.Tensor"(%x, 0)'))
    run_pipeline(once, "simplify")
    twice = once.clone()
    run_pipeline(twice, "simplify")
    assert twice.is_structurally_equivalent(once)


def test_adding_what_is_not_the_integer_0_stays():
    for zero in ("1", "0.0", "false"):
        check_stays(
            "simplify",
            f"""
            func.func @forward(%x: tensor<4xi64>) -> tensor<4xi64> {{
              %a = aten.call "aten.add.Tensor"(%x, {zero}) : (tensor<4xi64>) -> tensor<4xi64>
              %b = aten.call "aten.neg.default"(%a) : (tensor<4xi64>) -> tensor<4xi64>
              func.return %b : tensor<4xi64>
            }}""",
        )


def test_adding_0_to_truth_values_makes_integers():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: tensor<4xi1>) -> tensor<4xi64> {
          %a = aten.call "aten.add.Tensor"(%x, 0) : (tensor<4xi1>) -> tensor<4xi64>
          %b = aten.call "aten.neg.default"(%a) : (tensor<4xi64>) -> tensor<4xi64>
          func.return %b : tensor<4xi64>
        }""",
    )


def test_a_reshape_between_sizes_that_nobody_knows_stays():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: tensor<?x?xf32>, %n: !aten.scalar<int, "n">) -> tensor<?x?xf32> {
          %a = aten.call "aten.reshape.default"(%x, [%n, -1])
            : (tensor<?x?xf32>, !aten.scalar<int, "n">) -> tensor<?x?xf32>
          %b = aten.call "aten.neg.default"(%a) : (tensor<?x?xf32>) -> tensor<?x?xf32>
          func.return %b : tensor<?x?xf32>
        }""",
    )


def test_a_slice_to_a_length_that_is_computed_stays():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: tensor<?xf32>, %n: !aten.scalar<int, "n">) -> tensor<?xf32> {
          %a = aten.call "aten.slice.Tensor"(%x, 0, 0, %n) : (tensor<?xf32>, !aten.scalar<int, "n">) -> tensor<?xf32>
          %c = aten.call "aten.slice.Tensor"(%a, 0, 0, 7) : (tensor<?xf32>) -> tensor<?xf32>
          %b = aten.call "aten.neg.default"(%c) : (tensor<?xf32>) -> tensor<?xf32>
          func.return %b : tensor<?xf32>
        }""",
    )


def test_what_is_no_tensor_is_left_alone():
    check_stays(
        "simplify",
        """
        func.func @forward(%x: !aten.object<"sparse">) -> !aten.object<"sparse"> {
          %a = aten.call "aten.add.Tensor"(%x, 0) : (!aten.object<"sparse">) -> !aten.object<"sparse">
          %b = aten.call "aten.slice.Tensor"(%a, 0) : (!aten.object<"sparse">) -> !aten.object<"sparse">
          func.return %b : !aten.object<"sparse">
        }""",
    )


READS_STRIDES = {
    "as_strided": 'aten.call "aten.as_strided.default"(%b, [2, 2], [2, 1])',
    "a view as another type": 'aten.call "aten.view.dtype"(%b, torch.float32)',
    "as_strided of a view": 'aten.call "aten.as_strided.default"(%v, [2, 2], [2, 1])',
    "a custom op": 'aten.call "my.op.default"(%v)',
}


@pytest.mark.parametrize("reader", READS_STRIDES)
def test_a_copy_stays_where_its_strides_are_read(reader):
    check_stays(
        "simplify",
        f"""
        func.func @forward(%x: tensor<2x4xf32>) -> tensor<2x2xf32> {{
          %s = aten.call "aten.slice.Tensor"(%x, 1, 1, 3) : (tensor<2x4xf32>) -> tensor<2x2xf32>
          %b = aten.call "aten.clone.default"(%s) : (tensor<2x2xf32>) -> tensor<2x2xf32>
          %v = aten.call "aten.t.default"(%b) : (tensor<2x2xf32>) -> tensor<2x2xf32>
          %r = {READS_STRIDES[reader]} : (tensor<2x2xf32>) -> tensor<2x2xf32>
          %w = aten.call "aten.add.Tensor"(%r, %v) : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
          func.return %w : tensor<2x2xf32>
        }}""",
    )


def test_the_elements_of_a_copy_are_read_by_its_own_strides():
    model = Wrap(lambda x: x[:, 1:].clone().as_strided((2, 2), (1, 1)) + 0)
    x = torch.randn(4, 3)
    assert torch.equal(gossamer.compile(model, x)(x), model(x))


def test_an_alias_that_is_returned_beside_what_it_is_an_alias_of_stays():
    text = """
        func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          %b = aten.call "aten.alias.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
          %c = aten.call "aten.alias.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %a, %b, %c : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
        }"""
    check_stays("simplify", text)
    check(
        "simplify",
        text.replace("return %a,", "return %x,"),
        """
        func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          %c = aten.call "aten.alias.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %x, %a, %c : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
        }""",
    )


def test_a_copy_that_is_only_read_goes_though_what_it_copies_leaves():
    check(
        "simplify",
        before="""
        func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
          %b = aten.call "aten.clone.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          %c = aten.call "aten.neg.default"(%b) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %c, %x : tensor<4xf32>, tensor<4xf32>
        }""",
        after="""
        func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
          %c = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %c, %x : tensor<4xf32>, tensor<4xf32>
        }""",
    )


def cat(pieces: str, kept: str = "%y") -> tuple[str, str]:
    """A program that joins, and what it is where all but one piece are empty."""
    head = """
        func.func @forward(%x: tensor<2x4xf32>, %e: tensor<0xf32>, %z: tensor<0x4xf32>) -> tensor<{result}xf32> {{
          {cat}
          %n = aten.call "aten.neg.default"({value}) : (tensor<{result}xf32>) -> tensor<{result}xf32>
          func.return %n : tensor<{result}xf32>
        }}"""
    names = [name.strip() for name in pieces.split(",")]
    types = {"%x": "tensor<2x4xf32>", "%e": "tensor<0xf32>", "%z": "tensor<0x4xf32>"}
    result = f"{2 * names.count('%x')}x4"
    given = ", ".join(types[name] for name in dict.fromkeys(names))
    call = f'%y = aten.call "aten.cat.default"([{pieces}], 0) : ({given}) -> tensor<{result}xf32>'
    before = head.format(cat=call, value="%y", result=result)
    return before, before if kept == "%y" else head.format(cat="", value=kept, result=result)


@pytest.mark.parametrize("pieces", ["%e, %x", "%x, %e", "%e, %x, %e"])
def test_appending_to_nothing_goes(pieces):
    check("simplify", *cat(pieces, kept="%x"))


@pytest.mark.parametrize("pieces", ["%x, %x", "%e, %x, %x", "%z, %x"])
def test_joining_what_holds_something_stays(pieces):
    check("simplify", *cat(pieces))


def test_what_is_appended_to_nothing_and_returned_is_a_copy():
    model = Wrap(lambda x: torch.cat([torch.tensor([]), x], dim=-1))
    x = torch.randn(2, 3)
    y = gossamer.compile(model, x)(x)
    assert torch.equal(y, x)
    assert y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bool, torch.complex64])
def test_appending_to_nothing_of_another_type_gives_what_eager_does(dtype):
    model = Wrap(lambda x: torch.cat([torch.tensor([], dtype=dtype), x]) * 2)
    x = torch.randn(3)
    y, expected = gossamer.compile(model, x)(x), model(x)
    assert y.dtype == expected.dtype
    assert torch.equal(y, expected)
