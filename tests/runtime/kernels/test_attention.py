"""Attention over active positions against torch's own over all of them, inactive keys masked with -inf."""

import math

import pytest
import torch
from gossamer.dialects.sparse import Mask
from gossamer.runtime.domain import Domain
from gossamer.runtime.kernels import attention as kernel
from torch.nn.functional import scaled_dot_product_attention

HEADS, WIDTH = 3, 8


def padded(query, key, value, mask, kind, table=None, scale=None):
    """Attention of full tensors [*batch, L, heads, width]; inactive keys have probability 0."""
    bias = torch.zeros(*mask.shape[:-1], 1, 1, mask.shape[-1], dtype=query.dtype)
    bias = bias.masked_fill(mask[..., None, None, :] == 0, -math.inf)
    if kind is Mask.CAUSAL:
        bias = bias + torch.full((mask.shape[-1],) * 2, -math.inf, dtype=query.dtype).triu(1)
    if table is not None:
        bias = bias + (table if table.dtype is query.dtype else torch.zeros(()).masked_fill(~table, -math.inf))
    q, k, v = (t.transpose(-2, -3) for t in (query, key, value))
    return scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale).transpose(-2, -3)


def program(kind, space, table=None, operand="bias", everywhere=False, scale=None, key_heads=HEADS):
    """The text of one attention whose operands come in compact."""
    domain = f"!sparse.domain<{', '.join(map(str, space))}>"
    mask_type = f"tensor<{''.join(f'{s}x' for s in space)}i1>"
    compact, keys = f"tensor<?x{HEADS}x{WIDTH}xf32>", f"tensor<?x{key_heads}x{WIDTH}xf32>"
    element = "i1" if table is not None and table.dtype is torch.bool else "f32"
    table_type = "f32" if table is None else f"tensor<{''.join(f'{s}x' for s in table.shape)}{element}>"
    given = "" if table is None else f"{operand} %t : {table_type}"
    return f"""
    func.func @forward(%q: {compact}, %k: {keys}, %v: {keys}, %m: {mask_type}, %t: {table_type}) -> {compact} {{
      %active = sparse.domain %m : {mask_type} -> {domain}
      %all = sparse.everywhere %active : {domain}
      %o = sparse.attention %q, %k, %v[%{"all" if everywhere else "active"}] {kind} {given}
        {"" if scale is None else f"scale {scale} : f64"} : {compact}, {keys}, {keys}, {domain} -> {compact}
      func.return %o : {compact}
    }}"""


def tensors(space, count=3):
    return [torch.randn(*space, HEADS, WIDTH) for _ in range(count)]


MASKS = {
    "ranges": torch.arange(6) < torch.tensor([[2], [6], [0], [1]]),
    "left padded": torch.arange(6) >= torch.tensor([[2], [5], [0], [6]]),
    "scattered": torch.tensor([[1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]]) > 0,
    "full": torch.ones(4, 6) > 0,
    "one position": torch.eye(6)[:4] * torch.eye(4)[2][:, None] > 0,
    "nothing": torch.zeros(4, 6) > 0,
    "one sequence": torch.tensor([1, 0, 1, 1]) > 0,
    "two batch axes": torch.rand(2, 3, 5) < 0.5,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("kind", [Mask.NONE, Mask.CAUSAL, Mask.EXPLICIT])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_active_queries_get_what_padded_attention_gives_them(execute, mask, kind, scale):
    space = tuple(mask.shape)
    table = torch.randn(*space[:-1], HEADS, space[-1], space[-1]) if kind is Mask.EXPLICIT else None
    query, key, value = tensors(space)
    (found,) = execute(
        program(kind, space, table, scale=scale),
        [*(t[mask] for t in (query, key, value)), mask, table],
    )
    torch.testing.assert_close(found, padded(query, key, value, mask, kind, table, scale)[mask])


@pytest.mark.parametrize("mask", ["ranges", "scattered"])
@pytest.mark.parametrize("operand", ["bias", "mask"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("heads", [1, HEADS])
@pytest.mark.parametrize("queries", [1, 6])
def test_an_explicit_mask_may_be_shared_along_any_axis(execute, mask, operand, dtype, batch, heads, queries):
    mask = MASKS[mask]
    table = torch.randn(batch, heads, queries, 6)
    if dtype is torch.bool:
        table = table > -0.5
    query, key, value = tensors((4, 6))
    (found,) = execute(
        program(Mask.EXPLICIT, (4, 6), table, operand), [*(t[mask] for t in (query, key, value)), mask, table]
    )
    torch.testing.assert_close(found, padded(query, key, value, mask, Mask.EXPLICIT, table)[mask])


@pytest.mark.parametrize("shape", [(6, 6), (HEADS, 6, 6), (1, 1, 1, 6, 6)])
def test_a_mask_may_have_fewer_axes_or_more_of_size_one(execute, shape):
    mask, table = MASKS["scattered"], torch.randn(shape)
    query, key, value = tensors((4, 6))
    (found,) = execute(program(Mask.EXPLICIT, (4, 6), table), [*(t[mask] for t in (query, key, value)), mask, table])
    torch.testing.assert_close(
        found, padded(query, key, value, mask, Mask.EXPLICIT, table.reshape(table.shape[-4:]))[mask]
    )


def test_bias_counts_where_a_mask_is_given_too():
    mask, bias = MASKS["scattered"], torch.randn(1, HEADS, 6, 6)
    q, k, v = (t[mask] for t in tensors((4, 6)))
    run, domain = kernel.Attention(Mask.EXPLICIT, None), Domain.of(mask)
    both = run(q, k, v, domain, mask=torch.randn(4, 1, 6, 6), bias=bias)
    assert torch.equal(both, run(q, k, v, domain, bias=bias))


@pytest.mark.parametrize("kind", [Mask.NONE, Mask.CAUSAL, Mask.EXPLICIT])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("space", [(4, 6), (6,), (2, 3, 5), (0, 4)])
def test_everywhere_it_is_the_models_own_attention_bit_for_bit(execute, kind, given, space):
    table = torch.randn(*space[:-1], 1, space[-1], space[-1]) if given or kind is Mask.EXPLICIT else None
    query, key, value = tensors(space)
    flat = [t.reshape(-1, HEADS, WIDTH) for t in (query, key, value)]
    text = program(kind, space, table, "mask", everywhere=True)
    (found,) = execute(text, [*flat, torch.zeros(space) > 0, table])
    q, k, v = (t.transpose(-2, -3) for t in (query, key, value))
    causal = kind is Mask.CAUSAL and table is None
    expected = scaled_dot_product_attention(q, k, v, attn_mask=table, is_causal=causal)
    expected = expected.transpose(-2, -3).reshape(-1, HEADS, WIDTH)
    assert torch.equal(found, expected) or (len(space) != 2 and torch.allclose(found, expected, atol=1e-6))


def test_a_query_that_sees_no_key_gets_what_torch_gives_it(execute):
    mask = torch.tensor([[1, 1, 1, 0]]) > 0
    table = torch.zeros(1, 1, 4, 4)
    table[..., 1, :] = -math.inf
    query, key, value = tensors((1, 4))
    (found,) = execute(program(Mask.EXPLICIT, (1, 4), table), [*(t[mask] for t in (query, key, value)), mask, table])
    assert torch.equal(found[1], torch.zeros(HEADS, WIDTH))


def test_fewer_key_heads_serve_several_query_heads(execute):
    mask = MASKS["scattered"]
    query = torch.randn(4, 6, HEADS, WIDTH)
    key, value = torch.randn(2, 4, 6, 1, WIDTH)
    (found,) = execute(program(Mask.CAUSAL, (4, 6), key_heads=1), [*(t[mask] for t in (query, key, value)), mask, None])
    expected = padded(query, key.expand_as(query), value.expand_as(query), mask, Mask.CAUSAL)[mask]
    torch.testing.assert_close(found, expected)


def test_values_may_be_wider_than_keys():
    mask = MASKS["scattered"]
    query, key = tensors((4, 6), 2)
    value = torch.randn(4, 6, HEADS, 5)
    found = kernel.Attention(Mask.NONE, None)(query[mask], key[mask], value[mask], Domain.of(mask))
    torch.testing.assert_close(found, padded(query, key, value, mask, Mask.NONE)[mask])


def test_dead_rows_cannot_poison_live_ones(execute):
    mask = MASKS["ranges"]
    query, key, value = tensors((4, 6))
    table = torch.zeros(4, 1, 6, 6).masked_fill(~mask[:, None, None, :], float("nan"))
    (found,) = execute(program(Mask.EXPLICIT, (4, 6), table), [*(t[mask] for t in (query, key, value)), mask, table])
    torch.testing.assert_close(found, padded(query, key, value, mask, Mask.NONE)[mask])


@pytest.mark.parametrize("name", ["ranges", "scattered", "full", "nothing"])
@pytest.mark.parametrize("kind", [Mask.NONE, Mask.CAUSAL, Mask.EXPLICIT])
@pytest.mark.parametrize("everywhere", [False, True])
def test_gradients_flow_to_queries_keys_values_and_bias(name, kind, everywhere):
    mask = MASKS[name][:, :4]
    active = 16 if everywhere else int(mask.sum())
    q, k, v = (torch.randn(active, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(3))
    bias = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def run(q, k, v, bias=None):
        domain = Domain.all((4, 4)) if everywhere else Domain.of(mask)
        return kernel.Attention(kind, None)(q, k, v, domain, bias=bias)

    assert torch.autograd.gradcheck(run, (q, k, v, bias) if kind is Mask.EXPLICIT else (q, k, v))


def test_a_bias_alone_may_want_a_gradient():
    mask, bias = MASKS["scattered"], torch.randn(1, 1, 6, 6, requires_grad=True)
    q, k, v = (t[mask] for t in tensors((4, 6)))
    kernel.Attention(Mask.EXPLICIT, None)(q, k, v, Domain.of(mask), bias=bias).sin().sum().backward()
    assert bias.grad is not None
    assert bias.grad.any()


@pytest.mark.parametrize("kind", [Mask.NONE, Mask.CAUSAL, Mask.EXPLICIT])
def test_results_are_the_same_bits_with_and_without_gradients(kind):
    mask = MASKS["scattered"]
    q, k, v = (t[mask] for t in tensors((4, 6)))
    table = torch.randn(4, 1, 6, 6) if kind is Mask.EXPLICIT else None
    run, domain = kernel.Attention(kind, None), Domain.of(mask)
    with torch.no_grad():
        plain = run(q, k, v, domain, bias=table)
    tracked = run(q.requires_grad_(), k, v, domain, bias=table)
    assert tracked.requires_grad
    assert torch.equal(plain, tracked)


def test_one_call_serves_neighbouring_sequences_of_one_length(monkeypatch):
    calls = []

    def counted(*args, **options):
        calls.append(args[0].shape)
        return scaled_dot_product_attention(*args, **options)

    monkeypatch.setattr(kernel, "scaled_dot_product_attention", counted)
    mask = torch.arange(6) < torch.tensor([[4], [4], [4], [2]])
    q, k, v = tensors((4, 6))
    found = kernel.Attention(Mask.CAUSAL, None)(q[mask], k[mask], v[mask], Domain.of(mask))
    assert calls == [(3, HEADS, 4, WIDTH), (1, HEADS, 2, WIDTH)]
    torch.testing.assert_close(found, padded(q, k, v, mask, Mask.CAUSAL)[mask])


def test_layers_that_share_a_mask_share_its_slices_and_views_copy_nothing():
    table = torch.randn(4, 1, 6, 6)
    domain = Domain.of(MASKS["ranges"])
    slices = kernel.mask_slices(table, domain)
    assert kernel.mask_slices(table, domain) is slices
    assert all(s.untyped_storage().data_ptr() == table.untyped_storage().data_ptr() for s in slices)
    table += 1
    assert kernel.mask_slices(table, domain) is not slices
