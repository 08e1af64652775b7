"""Every model of the zoo: it imports, its text is the module, and it runs as eager does; or it fails as it must."""

import re
import warnings

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.zoo import RUNS, ZOO, Entry, differences
from torch.utils import _pytree as pytree


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def named(expected_to_run: bool) -> list:
    return [pytest.param(e, id=e.name) for e in ZOO.values() if (e.expected == RUNS) == expected_to_run]


def state(model: torch.nn.Module) -> list[object]:
    """All that a model is: its tensors, whether they are trained, its modes and its attributes."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    modules = [(name, module.training, sorted(vars(module))) for name, module in model.named_modules()]
    return [*((name, id(t), t.requires_grad, type(t)) for name, t in tensors), *modules]


def bits(tree: object) -> list[tuple[torch.Tensor, ...]]:
    """Copies of all tensors."""
    return [(leaf.detach().clone(),) for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def assert_same_bits(before: list, after: list) -> None:
    for (a,), (b,) in zip(before, after, strict=True):
        assert torch.equal(a.to_dense(), b.to_dense()) or (a != a).any()


@pytest.mark.parametrize("entry", named(expected_to_run=True))
def test_a_model_runs_as_eager_does(entry: Entry):
    sample, twin = entry.build(), entry.build().model
    before = state(sample.model)
    contents = bits([sample.args, dict(sample.kwargs), dict(twin.named_parameters()), dict(twin.named_buffers())])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imported = import_model(*sample)

    assert state(sample.model) == before, "import must not change the model"
    now = [
        sample.args,
        dict(sample.kwargs),
        *map(dict, (sample.model.named_parameters(), sample.model.named_buffers())),
    ]
    assert_same_bits(contents, bits(now))

    for generic in (False, True):
        text = print_module(imported.module, generic=generic)
        parsed = parse_text(text)
        assert parsed.is_structurally_equivalent(imported.module)
        assert print_module(parsed, generic=generic) == text
    assert max(differences(sample, twin, imported)) <= entry.tolerance


@pytest.mark.parametrize("entry", named(expected_to_run=False))
def test_a_model_that_cannot_be_exported_says_why_and_what_to_do(entry: Entry):
    sample = entry.build()
    before = state(sample.model)
    with pytest.raises(UserError) as caught:
        import_model(*sample)
    assert re.search(entry.expected, str(caught.value))
    assert caught.value.hint
    assert state(sample.model) == before


def test_every_tolerance_has_a_reason():
    assert all(bool(entry.tolerance) == bool(entry.reason) for entry in ZOO.values())
