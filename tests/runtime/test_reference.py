import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime import reference

TEXT = """
aten.weight parameter @w : tensor<2xf32> digest "a"
func.func @forward(%x: tensor<3x2xf32>, %m: tensor<3xi1>) -> tensor<3x2xf32> {
  %w = aten.parameter @w : tensor<2xf32>
  %d = sparse.domain %m : tensor<3xi1> -> !sparse.domain<3>
  %c = sparse.gather %x[%d] "i a" : tensor<3x2xf32>, !sparse.domain<3> -> tensor<?x2xf32>
  %y = aten.call "aten.mul.Tensor"(%c, %w) : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %s = sparse.scatter %y[%d] "i a" : tensor<?x2xf32>, !sparse.domain<3> -> tensor<3x2xf32>
  func.return %s : tensor<3x2xf32>
}"""


def test_every_op_is_observed_with_its_results():
    seen = []
    x, w = torch.randn(3, 2), torch.randn(2)
    reference.run(
        parse_text(TEXT),
        {"w": w},
        [x, torch.tensor([True, False, True])],
        observe=lambda op, r: seen.append((op.name, r)),
    )
    assert [name for name, _ in seen] == [
        "aten.parameter",
        "sparse.domain",
        "sparse.gather",
        "aten.call",
        "sparse.scatter",
        "func.return",
    ]
    assert torch.equal(seen[3][1][0], x[[0, 2]] * w)


def test_the_reference_is_differentiable():
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([False, True, True])
    module = parse_text(TEXT)
    assert torch.autograd.gradcheck(lambda x, w: reference.run(module, {"w": w}, [x, mask])[0], (x, w))


def test_a_wrong_number_of_inputs_is_refused():
    with pytest.raises(UserError, match="takes 2 inputs, got 0"):
        reference.run(parse_text(TEXT), {"w": torch.randn(2)}, [])
