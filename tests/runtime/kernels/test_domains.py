import pytest
import torch
from gossamer.dialects.sparse import DomainOp
from gossamer.runtime.domain import Domain
from gossamer.runtime.kernels import KERNELS, bind, kernel
from xdsl.dialects.builtin import TensorType, i1
from xdsl.utils.test_value import create_ssa_value

MASK = "tensor<?x?xi64>"
DOMAIN = '!sparse.domain<"b", "s">'


def test_a_guard_measures_the_density_of_the_domain(execute):
    text = f"""
    func.func @forward(%m: {MASK}) -> (f32, f32) {{
      %d = sparse.domain %m : {MASK} -> {DOMAIN}
      %all = sparse.everywhere %d : {DOMAIN}
      %r = sparse.density %d : {DOMAIN}
      %one = sparse.density %all : {DOMAIN}
      func.return %r, %one : f32, f32
    }}"""
    assert execute(text, [torch.tensor([[1, 0], [0, 0]])]) == [0.25, 1.0]
    assert execute(text, [torch.zeros(0, 3, dtype=torch.int64)]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("mask", "covered", "everywhere"),
    [
        (torch.tensor([[1, 0], [1, 1]]), True, False),
        (torch.tensor([[1, 1], [1, 1]]), True, True),
        (torch.tensor([[0, 1], [1, 1]]), False, False),
        (torch.tensor([[float("nan"), -0.0], [1, 1]]), True, False),
        (torch.tensor([[-0.0, 1], [1, 1]]), False, False),
        (torch.tensor([[True, False], [True, True]]), True, False),
        (torch.ones(2, 3), False, False),
        (torch.ones(4), False, False),
    ],
)
def test_a_mask_covers_a_domain_when_no_active_position_is_zero_in_it(execute, mask, covered, everywhere):
    text = f"""
    func.func @forward(%m: {MASK}, %c: tensor<?xf32>) -> (i1, i1) {{
      %d = sparse.domain %m : {MASK} -> {DOMAIN}
      %all = sparse.everywhere %d : {DOMAIN}
      %r = sparse.covers %c, %d : tensor<?xf32>, {DOMAIN}
      %e = sparse.covers %c, %all : tensor<?xf32>, {DOMAIN}
      func.return %r, %e : i1, i1
    }}"""
    assert execute(text, [torch.tensor([[1, 0], [0, 1]]), mask]) == [covered, everywhere]


@pytest.mark.parametrize(
    ("layout", "shape", "fits"),
    [
        ("i j a", (2, 3, 5), True),
        ("i j a", (2, 4, 5), False),
        ("i j a", (2, 3), False),
        ("j (i a) b", (3, 8, 1), True),
        ("j (i a) b", (3, 7, 1), False),
        ("1 j a", (1, 3, 5), True),
        ("1 j a", (2, 3, 5), False),
    ],
)
def test_a_tensor_fits_a_domain_when_its_sizes_are_those_of_the_layout(execute, layout, shape, fits):
    text = f"""
    func.func @forward(%m: {MASK}, %x: tensor<?xf32>) -> i1 {{
      %d = sparse.domain %m : {MASK} -> {DOMAIN}
      %r = sparse.fits %x, %d "{layout}" : tensor<?xf32>, {DOMAIN}
      func.return %r : i1
    }}"""
    assert execute(text, [torch.ones(2, 3, dtype=torch.int64), torch.ones(shape)]) == [fits]


def test_a_kernel_for_one_device_goes_before_the_one_for_all(monkeypatch):
    monkeypatch.setattr("gossamer.runtime.kernels.registry.KERNELS", dict(KERNELS))

    op = DomainOp(create_ssa_value(TensorType(i1, [4])))

    def made_for_xpu(mask):
        return mask

    assert bind(op, "xpu") == Domain.of
    kernel("sparse.domain", device="xpu")(lambda op: made_for_xpu)
    assert bind(op, "xpu") is made_for_xpu
    assert bind(op, "cpu") == Domain.of


@pytest.mark.parametrize(
    ("given", "single", "expected"),
    [
        ([[3, 3, 0]], (), 2),
        ([[-1], [7, 1]], (), 2),
        ([[2]], (2, 5), 2),
        ([], (5, 2), 2),
        ([[]], (), 0),
        ([[8, -9]], (), 2),
    ],
)
def test_lists_and_single_positions_name_what_is_active(execute, given, single, expected):
    names, types = [f"%l{k}" for k in range(len(given))], ["tensor<?xi64>"] * len(given)
    head = ", ".join(f"{name}: {kind}" for name, kind in zip(names, types, strict=True))
    also = f"and [{', '.join(f'{position} : i64' for position in single)}]" if single else ""
    text = f"""
    func.func @forward({head}) -> (f32, !aten.scalar<int, "active">) {{
      %d = sparse.listed {", ".join(names)} {also} : {", ".join(types)} -> !sparse.domain<8>
      %r = sparse.density %d : !sparse.domain<8>
      %n = sparse.size %d : !sparse.domain<8> -> !aten.scalar<int, "active">
      func.return %r, %n : f32, !aten.scalar<int, "active">
    }}"""
    lists = [torch.tensor(entries, dtype=torch.int64) for entries in given]
    assert execute(text, lists) == [expected / 8, expected]
