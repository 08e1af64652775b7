import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime import reference
from gossamer.runtime.executor import Program

MISMATCH = """func.func @forward(%x: tensor<?x?xf32>, %n: !aten.scalar<int, "n">) -> tensor<?x?xf32> {
  %w = aten.call "aten.ones.default"([4, %n]) : (!aten.scalar<int, "n">) -> tensor<4x?xf32>
  %y = aten.call "aten.mm.default"(%x, %w) : (tensor<?x?xf32>, tensor<4x?xf32>) -> tensor<?x?xf32> loc("MODEL":2:5)
  func.return %y : tensor<?x?xf32>
}"""

RUNS = {
    "program": lambda text, args: Program.build(parse_text(text), {})(args),
    "reference": lambda text, args: reference.run(parse_text(text), {}, args),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_fault_names_the_op_its_operands_and_the_line_of_the_model(tmp_path, run):
    model = tmp_path / "model.py"
    model.write_text("def forward(self, x):\n    return x @ torch.ones(4, n)\n")
    with pytest.raises(UserError) as caught:
        run(MISMATCH.replace("MODEL", str(model)), [torch.randn(2, 3), 5])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{model}:2:5: error: aten.mm.default: mat1 and mat2 shapes cannot be multiplied (2x3")
    assert lines[1:3] == ["    2 |     return x @ torch.ones(4, n)", "      |     ^"]
    assert lines[3:] == ["  %x is float32 [2, 3]", "  %w is float32 [4, 5]"]
    assert caught.value.exit_code == 1


def test_a_fault_of_a_sparse_op_names_it_too():
    text = """
    func.func @forward(%x: tensor<?x?xf32>, %m: tensor<?xi1>) -> tensor<?x?xf32> {
      %d = sparse.domain %m : tensor<?xi1> -> !sparse.domain<"n">
      %y = sparse.gather %x[%d] "i a" : tensor<?x?xf32>, !sparse.domain<"n"> -> tensor<?x?xf32>
      func.return %y : tensor<?x?xf32>
    }"""
    with pytest.raises(UserError, match=r"sparse\.gather: .* cannot have size 3.*\n(.*\n)*  %d is a Domain"):
        Program.build(parse_text(text), {})([torch.randn(3, 2), torch.ones(4) > 0])


def test_an_interrupt_is_not_a_fault(monkeypatch):
    text = """
    func.func @forward(%x: tensor<2xf32>) -> tensor<2xf32> {
      %y = aten.call "aten.neg.default"(%x) : (tensor<2xf32>) -> tensor<2xf32>
      func.return %y : tensor<2xf32>
    }"""
    program = Program.build(parse_text(text), {})

    def interrupted(_):
        raise KeyboardInterrupt

    program.writer.namespace["aten_neg_default"] = interrupted
    with pytest.raises(KeyboardInterrupt):
        program([torch.randn(2)])
