"""Caches of transformers go in and come out whole, and no tensor of one is copied on its way out."""

from typing import Any

import gossamer
import pytest
import torch
from gossamer.compiler.frontends.transformers import unflatten
from torch.utils import _pytree as pytree
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel
from transformers.integrations.executorch import register_dynamic_cache_export_support

SHAPE = (1, 2, 5, 4)


@pytest.fixture(autouse=True, scope="module")
def registered():
    register_dynamic_cache_export_support()


def layers(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values."""
    return [(torch.randn(SHAPE), torch.randn(SHAPE)) for _ in range(count)]


def rebuilt(cache: Any) -> Any:
    """Taken apart by torch and put together by us."""
    values, context = pytree.SUPPORTED_NODES[DynamicCache].flatten_fn(cache)
    return unflatten(DynamicCache)(values, context)


def test_a_cache_holds_the_tensors_that_it_is_given():
    cache: Any = DynamicCache(layers(3))
    new = rebuilt(cache)
    assert type(new).__name__ == "DynamicCache"
    for own, other in zip(new.layers, cache.layers, strict=True):
        assert own.keys is other.keys
        assert own.values is other.values
    assert new.get_seq_length() == 5


def test_a_cache_that_was_put_together_grows_as_any_other():
    cache: Any = DynamicCache(layers(2))
    key, value = torch.randn(1, 2, 1, 4), torch.randn(1, 2, 1, 4)
    new = rebuilt(cache)
    for one in (cache, new):
        one.update(key, value, 1)
    assert [layer.keys.shape[-2] for layer in new.layers] == [5, 6]
    assert torch.equal(new.layers[1].keys, cache.layers[1].keys)
    assert torch.equal(new.layers[1].values, cache.layers[1].values)


def test_a_cache_with_a_window_or_an_empty_layer_is_made_by_the_library():
    window: Any = DynamicCache([(*pair, torch.tensor([4])) for pair in layers(2)])
    new = rebuilt(window)
    assert [type(layer) for layer in new.layers] == [type(layer) for layer in window.layers]
    assert all(torch.equal(own.keys, other.keys) for own, other in zip(new.layers, window.layers, strict=True))
    empty = rebuilt(DynamicCache())
    assert len(empty.layers) == 0


def test_other_containers_are_torchs():
    assert unflatten(list) is pytree.SUPPORTED_NODES[list].unflatten_fn


def test_steps_of_decoding_through_the_compiled_cache_equal_eagers():
    torch.manual_seed(0)
    model: Any = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=50)).eval()
    ids = torch.randint(50, (1, 6))
    past = model(ids[:, :4], use_cache=True).past_key_values
    inputs = {"input_ids": ids[:, 4:5], "past_key_values": past, "use_cache": True}
    fast = gossamer.compile(model, kwargs=inputs)
    with torch.no_grad():
        found = fast(**inputs)
        expected = model(ids[:, 4:5], past_key_values=past, use_cache=True)
    assert torch.equal(found.logits, expected.logits)
    for own, other in zip(found.past_key_values.layers, expected.past_key_values.layers, strict=True):
        assert torch.equal(own.keys, other.keys)
        assert torch.equal(own.values, other.values)
