"""Gather and scatter against loops over single numbers, in any layout and over any domain."""

import itertools
import math

import pytest
import torch
from gossamer.dialects.layout import DOMAIN_AXES, OTHER_AXES, Layout
from gossamer.runtime.domain import Domain
from gossamer.runtime.kernels.moves import gather_rows, scatter_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode


@st.composite
def layouts(draw, complete: bool) -> tuple[Layout, dict[str, int], tuple[int, ...]]:
    """A layout, the size of every factor, and the index space; `complete`: every axis of the domain occurs."""
    rank = draw(st.integers(1, 3))
    space = tuple(draw(st.lists(st.integers(0, 3), min_size=rank, max_size=rank)))
    inside = list(DOMAIN_AXES[:rank])
    if not complete:
        inside = draw(st.lists(st.sampled_from(inside), unique=True, min_size=1))
    others = list(OTHER_AXES[: draw(st.integers(0, 3))])
    sizes = dict(zip(DOMAIN_AXES, space, strict=False)) | {name: draw(st.integers(1, 3)) for name in others}
    axes: list[tuple[str, ...]] = []
    for name in draw(st.permutations(inside + others)):
        crowded = axes and name in others and any(n in others for n in axes[-1])
        empty = axes and any(sizes[n] == 0 for n in (*axes[-1], name))
        if axes and axes[-1] and not crowded and not empty and draw(st.booleans()):
            axes[-1] = (*axes[-1], name)
        else:
            axes.append((name,))
        if draw(st.integers(0, 5)) == 0:
            axes.append(())
    return Layout(tuple(axes)), sizes, space


def fields(layout: Layout, sizes: dict[str, int], active: list[tuple[int, ...]]):
    """Every number of the compact form: its place there, and its place in the full tensor."""
    others = [name for name in layout.names if name not in DOMAIN_AXES]
    for row, where in enumerate(active):
        for rest in itertools.product(*(range(sizes[name]) for name in others)):
            at = dict(zip(DOMAIN_AXES, where, strict=False)) | dict(zip(others, rest, strict=True))
            full = []
            for axis in layout.axes:
                index = 0
                for name in axis:
                    index = index * sizes[name] + at[name]
                full.append(index)
            kept = [factors for factors in layout.kept if factors is not None]
            yield (row, *(at[factors[0]] if factors else 0 for factors in kept)), tuple(full)


def shape_of(layout: Layout, sizes: dict[str, int]) -> list[int]:
    return [math.prod(sizes[name] for name in axis) for axis in layout.axes]


def active_positions(mask: torch.Tensor) -> list[tuple[int, ...]]:
    return [where for where in itertools.product(*map(range, mask.shape)) if mask[where]]


def strange(*shape: int) -> torch.Tensor:
    """Random float32 bits: NaNs, infinities, denormals and negative zeros among them."""
    bits = torch.randint(-(2**31), 2**31, shape).to(torch.int32)
    special = torch.tensor([0x7FC00001, 0x7F800000, -0x800000, -0x80000000, 0, 1], dtype=torch.int64).to(torch.int32)
    pick = special[torch.randint(0, len(special), shape)]
    return torch.where(torch.rand(shape) < 0.3, pick, bits).view(torch.float32)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


def type_text(shape: list[int] | torch.Size, first: str = "") -> str:
    return f"tensor<{first}{''.join(f'{size}x' for size in shape)}f32>"


SETTINGS = settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SETTINGS
@given(st.data())
def test_a_gather_moves_each_number_of_an_active_position_bit_for_bit(execute, data):
    layout, sizes, space = data.draw(layouts(complete=False))
    mask = torch.rand(space) < data.draw(st.sampled_from([0.0, 0.4, 1.0]))
    everywhere = data.draw(st.booleans())
    order = data.draw(st.permutations(range(len(layout.axes))))
    full = strange(*(shape_of(layout, sizes)[axis] for axis in order)).permute([order.index(a) for a in sorted(order)])
    active = active_positions(torch.ones(space) if everywhere else mask)
    kept = [math.prod(sizes[n] for n in factors) for factors in layout.kept if factors is not None]
    expected = torch.zeros(len(active), *kept)
    for compact, where in fields(layout, sizes, active):
        expected[compact] = full[where]
    domain = f"!sparse.domain<{', '.join(map(str, space))}>"
    mask_type = f"tensor<{''.join(f'{s}x' for s in space)}i1>"
    text = f"""
    func.func @forward(%x: {type_text(full.shape)}, %mask: {mask_type}) -> {type_text(kept, "?x")} {{
      %active = sparse.domain %mask : {mask_type} -> {domain}
      %all = sparse.everywhere %active : {domain}
      %r = sparse.gather %x[%{"all" if everywhere else "active"}] "{layout}" : {type_text(full.shape)}, {domain}
        -> {type_text(kept, "?x")}
      func.return %r : {type_text(kept, "?x")}
    }}"""
    assert same_bits(execute(text, [full, mask])[0], expected)


@SETTINGS
@given(st.data())
def test_a_scatter_places_each_number_bit_for_bit_and_fills_the_rest(execute, data):
    layout, sizes, space = data.draw(layouts(complete=True))
    mask = torch.rand(space) < data.draw(st.sampled_from([0.0, 0.4, 1.0]))
    everywhere, filled = data.draw(st.booleans()), data.draw(st.booleans())
    active = active_positions(torch.ones(space) if everywhere else mask)
    kept = [math.prod(sizes[n] for n in factors) for factors in layout.kept if factors is not None]
    compact, fill = strange(len(active), *kept), strange(1, *kept)
    expected = torch.zeros(shape_of(layout, sizes))
    every = list(itertools.product(*map(range, space)))
    for (_, *rest), where in fields(layout, sizes, every) if filled else ():
        expected[where] = fill[(0, *rest)]
    for source, where in fields(layout, sizes, active):
        expected[where] = compact[source]
    domain = f"!sparse.domain<{', '.join(map(str, space))}>"
    mask_type, row = f"tensor<{''.join(f'{s}x' for s in space)}i1>", type_text(kept, "?x")
    fill_text = f"fill %f : {type_text(fill.shape)}" if filled else ""
    full = type_text(expected.shape)
    text = f"""
    func.func @forward(%c: {row}, %mask: {mask_type}, %f: {type_text(fill.shape)}) -> {full} {{
      %active = sparse.domain %mask : {mask_type} -> {domain}
      %all = sparse.everywhere %active : {domain}
      %r = sparse.scatter %c[%{"all" if everywhere else "active"}] "{layout}" {fill_text} : {row}, {domain} -> {full}
      func.return %r : {full}
    }}"""
    assert same_bits(execute(text, [compact, mask, fill])[0], expected)


@pytest.mark.parametrize("layout", ["i j a", "i a j b", "j i a", "a i j", "j (i a) b", "1 j a"])
@pytest.mark.parametrize("view", ["contiguous", "transposed", "sliced", "expanded"])
def test_a_gather_reads_any_strides(layout, view):
    layout = Layout.parse(layout)
    sizes = {"i": 3, "j": 4, "a": 2, "b": 5}
    shape = shape_of(layout, sizes)
    full = {
        "contiguous": lambda: torch.randn(shape),
        "transposed": lambda: torch.randn(shape[::-1]).permute(*reversed(range(len(shape)))),
        "sliced": lambda: torch.randn([s + 1 for s in shape])[tuple(slice(1, None) for _ in shape)],
        "expanded": lambda: torch.randn([*shape[:-1], 1]).expand(shape),
    }[view]()
    mask = torch.rand(3, 4) < 0.5
    found = gather_rows(full, Domain.of(mask), layout)
    for compact, where in fields(layout, sizes, active_positions(mask)):
        assert found[compact] == full[where]


class Calls(TorchDispatchMode):
    """The names of all torch ops that run."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("layout", ["i j a b", "i a j b", "a i j b"])
def test_a_plain_tensor_seen_through_a_transpose_is_gathered_by_rows_without_a_copy(layout):
    layout, plain, domain = Layout.parse(layout), torch.randn(3, 4, 2, 5), Domain.of(torch.rand(3, 4) < 0.5)
    full = plain.permute(["ijab".index(name) for name in layout.names])
    with Calls() as calls:
        found = gather_rows(full, domain, layout)
    assert torch.equal(found, plain.view(12, 2, 5)[domain.rows])
    assert "aten::index_select" in calls.names
    assert not {"aten::clone", "aten::copy_", "aten::index.Tensor"} & set(calls.names)


def test_a_transposed_tensor_that_lacks_an_axis_of_the_domain_is_gathered():
    plain, mask = torch.randn(3, 4, 5), torch.rand(3, 4, 2) < 0.5
    found = gather_rows(plain.permute(2, 0, 1), Domain.of(mask), Layout.parse("a i j"))
    i, j, _ = mask.nonzero(as_tuple=True)
    assert torch.equal(found, plain[i, j])


def test_moves_over_everywhere_are_views():
    domain = Domain.all((3, 4))
    full = torch.randn(3, 4, 5)
    compact = gather_rows(full, domain, Layout.parse("i j a"))
    assert compact.data_ptr() == full.data_ptr()
    assert compact.shape == (12, 5)
    assert scatter_rows(compact, domain, Layout.parse("i j a")).data_ptr() == full.data_ptr()
    heads = scatter_rows(compact, domain, Layout.parse("a i j"))
    assert heads.data_ptr() == full.data_ptr()
    assert torch.equal(heads, full.permute(2, 0, 1))


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float64, torch.complex64]
)
def test_every_dtype_moves(dtype):
    full = torch.randint(0, 2, (3, 4, 5)).to(dtype)
    domain = Domain.of(torch.rand(3, 4) < 0.5)
    compact = gather_rows(full, domain, Layout.parse("i j a"))
    assert torch.equal(compact, full.view(12, 5)[domain.rows])
    back = scatter_rows(compact, domain, Layout.parse("i j a"), full[:1, 0])
    assert back.dtype is dtype
    assert torch.equal(back.view(12, 5)[domain.rows], compact)


def test_a_scatter_leaves_its_fill_alone():
    fill, domain = torch.zeros(1, 3), Domain.of(torch.tensor([1]))
    scatter_rows(torch.ones(1, 3), domain, Layout.parse("i a"), fill)
    assert not fill.any()


@pytest.mark.parametrize("layout", ["i j a", "i a j", "j (i a)"])
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("everywhere", [False, True])
def test_gradients_flow_through_moves_and_fills(layout, filled, everywhere):
    layout, space = Layout.parse(layout), (2, 3)
    mask = torch.tensor([[1, 0, 1], [0, 0, 1]])
    domain = Domain.all(space) if everywhere else Domain.of(mask)
    full = torch.randn(shape_of(layout, {"i": 2, "j": 3, "a": 2}), dtype=torch.float64, requires_grad=True)
    fill = torch.randn(1, 2, dtype=torch.float64, requires_grad=True) if filled else None

    def move(full, fill=None):
        return scatter_rows(gather_rows(full, domain, layout).sin(), domain, layout, fill)

    assert torch.autograd.gradcheck(move, (full,) if fill is None else (full, fill))


def test_no_gradient_reaches_what_is_inactive():
    full = torch.randn(4, 2, requires_grad=True)
    domain = Domain.of(torch.tensor([0, 1, 0, 1]))
    scatter_rows(gather_rows(full, domain, Layout.parse("i a")), domain, Layout.parse("i a")).sum().backward()
    assert full.grad is not None
    assert full.grad.tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_moves_work_without_gradients(mode):
    with mode():
        full = torch.randn(4, 2)
        domain = Domain.of(torch.tensor([0, 1, 0, 1]))
        compact = gather_rows(full, domain, Layout.parse("i a"))
        back = scatter_rows(compact, domain, Layout.parse("i a"), full[:1])
    assert torch.equal(back[[1, 3]], full[[1, 3]])
    assert torch.equal(back[[0, 2]], full[[0, 0]])


def test_rows_of_a_layout_are_found_once_per_domain():
    domain, layout = Domain.of(torch.rand(3, 4) < 0.5), Layout.parse("i a j b")
    gather_rows(torch.randn(3, 2, 4, 5), domain, layout)
    kept = dict(domain.memo)
    gather_rows(torch.randn(3, 2, 4, 5), domain, layout)
    assert kept.keys() == domain.memo.keys()
    assert all(domain.memo[key] is value for key, value in kept.items())


def test_sizes_that_do_not_fit_are_refused():
    domain = Domain.of(torch.ones(3, 4))
    with pytest.raises(ValueError, match="cannot have size 5"):
        gather_rows(torch.randn(3, 5, 2), domain, Layout.parse("i j a"))
