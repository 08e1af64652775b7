"""Where results lie and how large they are: what tables say, and what a run says, are the same."""

import pytest
import torch
from gossamer.compiler.step_costs import metered
from gossamer.dialects.aten import CallOp
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.analysis.storages import storage, why_fixed
from gossamer.tests.passes.step_programs import module

CALLS = {
    "a view": ('"aten.view.default"(%x, [32])', "tensor<32xf32>"),
    "a transpose": ('"aten.t.default"(%x)', "tensor<8x4xf32>"),
    "an expanded axis": ('"aten.expand.default"(%x, [2, 4, 8])', "tensor<2x4x8xf32>"),
    "part of a tensor": ('"aten.slice.Tensor"(%x, 0, 0, 2)', "tensor<2x8xf32>"),
    "a window of a tensor": ('"aten.as_strided.default"(%x, [4, 4], [4, 1], 0)', "tensor<4x4xf32>"),
    "a view that is not called one": ('"aten._unsafe_view.default"(%x, [32])', "tensor<32xf32>"),
    "truth values": ('"aten.gt.Scalar"(%x, 0)', "tensor<4x8xi1>"),
    "half of the bytes": ('"aten._to_copy.default"(%x, dtype = torch.bfloat16)', "tensor<4x8xbf16>"),
    "indices": ('"aten.argmax.default"(%x, 1)', "tensor<4xi64>"),
    "complex numbers": ('"aten.fft_rfft.default"(%x)', "tensor<4x5xcomplex<f32>>"),
    "a copy of an expanded tensor": ('"aten.clone.default"(%x)', "tensor<4x8xf32>"),
    "nothing": ('"aten.empty_like.default"(%n)', "tensor<0xf32>"),
}


@pytest.mark.parametrize("case", CALLS)
def test_tables_say_what_a_run_does(case):
    call, type = CALLS[case]
    operand = "%n" if "%n" in call else "%x"
    given = "tensor<0xf32>" if operand == "%n" else "ROWS"
    program = module(f"""builtin.module {{
      func.func @step(%x: ROWS, %n: tensor<0xf32>) -> ({type}) {{
        %y = aten.call {call} : ({given}) -> {type}
        func.return %y : {type} }} }}""")
    op = next(op for op in program.walk() if isinstance(op, CallOp))
    found = storage(op.results[0])
    places = metered(program, {}, [torch.randn(4, 8), torch.empty(0)]).places
    assert places[op] == ((found.kind.data, found.number.data),)


def test_what_only_a_run_can_tell_is_asked_for():
    program = module("""builtin.module { func.func @step(%x: tensor<4x8xf32>) -> (tensor<32xf32>) {
      %y = aten.call "aten.reshape.default"(%x, [32]) : (tensor<4x8xf32>) -> tensor<32xf32>
      func.return %y : tensor<32xf32> } }""")
    op = next(op for op in program.walk() if isinstance(op, CallOp))
    with pytest.raises(UserError, match=r"whether aten.reshape.default gives new memory shows only when it runs"):
        storage(op.results[0])
    assert metered(program, {}, [torch.randn(4, 8)]).places[op] == (("operand", 0),)
    assert metered(program, {}, [torch.randn(8, 4).t()]).places[op] == (("new", 128),)


def test_a_storage_may_be_larger_than_its_elements():
    program = module("""builtin.module { func.func @step(%x: tensor<4x8xf32>) -> (tensor<4xf32>) {
      %y = aten.call "aten.empty_strided.default"([4], [100]) : () -> tensor<4xf32>
      func.return %y : tensor<4xf32> } }""")
    op = next(op for op in program.walk() if isinstance(op, CallOp))
    assert metered(program, {}, [torch.randn(4, 8)]).places[op] == (("new", 1204),)


FIXED = {
    'random "aten.rand_like.default"(%x)': "draws from the random stream",
    'mutates "aten.add_.Tensor"(%x, 1)': "writes in place",
    '"house.op.default"(%x)': "house.op.default may do more than its schema says",
    '"aten.exp.default"(%x)': "",
    '"gossamer.moe_experts.default"(%x)': "",
}


@pytest.mark.parametrize("call", FIXED)
def test_what_must_not_run_twice_says_why(call):
    program = module(f"""builtin.module {{ func.func @step(%x: ROWS) -> (ROWS) {{
      %y = aten.call {call} : (ROWS) -> ROWS
      func.return %y : ROWS }} }}""")
    assert why_fixed(next(op for op in program.walk() if isinstance(op, CallOp))) == FIXED[call]
