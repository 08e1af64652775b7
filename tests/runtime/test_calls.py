import operator

import pytest
import torch
from gossamer.dialects.aten import CallOp
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.template import Name, Ref, RegionRef, Template
from gossamer.runtime.calls import arguments, constant, resolve


def call(target: str) -> CallOp:
    return CallOp(target, Template(), [], [])


def test_an_overload_is_found_by_name():
    x = torch.randn(3)
    assert torch.equal(resolve(call("aten.add.Tensor"))(x, 2, alpha=3), x + 6)
    assert resolve(call("operator.mul")) is operator.mul
    assert resolve(call("torch.sym_max"))(3, 4) == 4


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("aten.ad.Tensor", r"did you mean 'aten\.add\.Tensor'"),
        ("aten.relu.defalt", r"did you mean 'aten\.relu\.default'"),
        ("nobody.op.default", "import the package that registers 'nobody' ops first"),
        ("conf", "did you mean 'cond'"),
        ("operator.mull", "did you mean 'operator.mul'"),
    ],
)
def test_an_unknown_target_is_named_with_what_is_close(target, hint):
    with pytest.raises(UserError, match=f"has no op '{target}'\n  hint: {hint}"):
        resolve(call(target))


@pytest.mark.parametrize("target", ["builtins.eval", "torch.load", "os.system", "operator.__builtins__", "torch.ops"])
def test_a_text_cannot_name_any_function_there_is(target):
    with pytest.raises(UserError, match="has no op"):
        resolve(call(target))


def test_a_custom_op_of_transformers_is_registered_when_it_is_needed():
    pytest.importorskip("transformers")
    x, w = torch.randn(5, 4), torch.randn(2, 4, 3)
    ends = torch.tensor([2, 5], dtype=torch.int32)
    found = resolve(call("transformers.grouped_mm_fallback.default"))(x, w, ends)
    torch.testing.assert_close(found, torch.cat([x[:2] @ w[0], x[2:] @ w[1]]))


def test_a_custom_op_of_the_user_is_called():
    @torch.library.custom_op("gossamer_test::twice", mutates_args=())
    def twice(x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        return x * 2 + len(sizes)

    x = torch.randn(3)
    assert torch.equal(resolve(call("gossamer_test.twice.default"))(x, (1, 2)), x * 2 + 2)


@pytest.mark.parametrize(
    "name", [Name("torch.float33"), Name("device", "moon"), Name("op", "aten.no.no"), Name("x", "y")]
)
def test_an_unknown_constant_is_refused(name):
    with pytest.raises(UserError, match="has no constant"):
        constant(name)


def test_templates_become_python_values():
    template = Template(
        (
            Ref(1),
            (None, Ref(0), (1, 2.5)),
            Name("torch.float16"),
            Name("ellipsis"),
            Name("device", "cpu"),
            Name("op", "aten.neg.default"),
            (Name("slice"), 0, None, Ref(0)),
            RegionRef(0),
        ),
        (("options", (Name("dict"), ("a", 1), ("b", (Ref(1), True)))),),
    )
    positional, keywords = arguments(template, ["zero", "one"], [len])
    assert positional == [
        "one",
        (None, "zero", (1, 2.5)),
        torch.float16,
        ...,
        torch.device("cpu"),
        torch.ops.aten.neg.default,
        slice(0, None, "zero"),
        len,
    ]
    assert keywords == {"options": {"a": 1, "b": ("one", True)}}


def test_dicts_slices_and_ops_reach_a_call(execute):
    text = """
    func.func @forward(%x: tensor<3xf32>, %n: !aten.scalar<int, "n">) -> (tensor<1xf32>, tensor<3xf32>) {
      %y = aten.call "operator.getitem"(%x, [slice, %n, none, none])
        : (tensor<3xf32>, !aten.scalar<int, "n">) -> tensor<1xf32>
      %all = aten.call "operator.getitem"(%x, ellipsis) : (tensor<3xf32>) -> tensor<3xf32>
      %d = aten.call "operator.getitem"([dict, ["a", %all]], "a") : (tensor<3xf32>) -> tensor<3xf32>
      func.return %y, %d : tensor<1xf32>, tensor<3xf32>
    }"""
    x = torch.randn(3)
    y, d = execute(text, [x, 2])
    assert torch.equal(y, x[2:])
    assert torch.equal(d, x)
