"""Adapters: who is adapted, for how long, and what is left of it in a program."""

import subprocess
import sys

import gossamer
import pytest
import torch
from gossamer.compiler.frontends.adapters.registry import ADAPTERS, adapted, reads, register
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.models.experts import mixture
from gossamer.tests.models.language import text
from gossamer.tests.zoo import difference
from torch import nn


class Halves(nn.Module):
    """A branch that torch.export cannot follow."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) if x.sum() > 0 else self.two(x)


class Inherits(Halves):
    pass


class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.halves = Halves()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.halves(x) + 1


def choose(module):
    def where(x):
        return torch.where(x.sum() > 0, module.one(x), module.two(x))

    return where


@pytest.fixture
def registered():
    before = dict(ADAPTERS)
    yield register
    ADAPTERS.clear()
    ADAPTERS.update(before)


X = torch.randn(3, 4)
NAME = f"{Halves.__module__}.Halves"


@pytest.mark.parametrize("which", [Halves, NAME, "*Halves"])
@pytest.mark.parametrize("cls", [Halves, Inherits, Inside])
def test_a_registered_class_compiles(registered, which, cls):
    registered(which)(choose)
    model = cls().eval()
    fast = gossamer.compile(model, X, pipeline="")
    for x in (X, -X):
        assert torch.equal(fast(x), model(x))
    assert f"adapted: {'Inherits' if cls is Inherits else 'Halves'} as where" in fast.explain()
    assert "forward" not in vars(model)


def test_without_adapters_the_error_is_as_ever(registered):
    registered(Halves)(choose)
    with pytest.raises(UserError, match=r"depends on values"):
        gossamer.compile(Halves(), X, adapters=False)


def test_the_latest_adapter_is_asked_first_and_may_decline(registered):
    asked = []
    registered(Halves)(choose)
    registered("*Halves")(lambda module: asked.append(module))
    model = Halves()
    with adapted(model) as notes:
        assert notes == {"self": "Halves as where"}
    assert asked == [model]


def test_a_model_is_itself_again_after_an_error(registered):
    def broken(module):
        raise ZeroDivisionError

    registered(Halves)(choose)
    model = nn.Sequential(Halves(), nn.ReLU())
    registered(nn.ReLU)(broken)
    with pytest.raises(ZeroDivisionError), adapted(model):
        pass
    assert "forward" not in vars(model[0])


def test_a_forward_that_someone_put_on_a_module_stays(registered):
    registered(Halves)(choose)
    model = Halves()
    vars(model)["forward"] = torch.relu
    with adapted(model) as notes:
        assert notes == {}
        assert model.forward is torch.relu


def test_only_classes_of_modules_and_patterns_are_registered():
    for wrong in (int, Halves(), 3):
        with pytest.raises(TypeError, match="classes of modules or patterns"):
            register(wrong)  # pyright: ignore[reportArgumentType]


def test_a_digest_is_of_what_a_function_does():
    def one(x):
        """Adds."""
        return x + 1

    def commented(x):
        # adds
        return x + 1

    digests = [reads(function) for function in (one, commented, len)]
    assert digests[2] == ""
    assert digests[0] != digests[1], "names differ"
    assert reads(one) == reads(one)


def test_a_digest_is_the_same_on_every_python():
    def told(x, many):
        if x:
            raise ValueError(
                f"{x!r:>{8}} of {{{many:,}}}"
                + f"""of
            {many + 1} lines"""
            )

    assert reads(told) == "dae5292ab55b"


def test_public_names():
    assert gossamer.adapters.register is register
    assert gossamer.adapters.adapted is adapted


def test_torch_compile_takes_a_model_in_its_other_form():
    torch.manual_seed(0)
    sample = text(mixture("Mixtral", "eager"))
    with adapted(sample.model), torch.no_grad():
        compiled = torch.compile(sample.model, backend="gossamer", fullgraph=True)
        given = compiled(**sample.kwargs).logits
    torch._dynamo.reset()
    with torch.no_grad():
        assert difference(given, sample.model(**sample.kwargs).logits) < 1e-6


ALONE = """
import sys
sys.modules["transformers"] = None
import gossamer, torch
torch.manual_seed(1)
ids = torch.randint(0, 90, (3, 9))
fast = gossamer.load(sys.argv[1])
result = fast(ids)
torch.save((ids, result), sys.argv[1] + "/../result.pt")
assert "adapted: MixtralExperts as moe_experts" in fast.explain()
"""


class Logits(nn.Module):
    """A language model that gives a tensor."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids, attention_mask=torch.ones_like(input_ids)).logits


def test_a_saved_program_runs_without_the_library_of_its_model(tmp_path):
    torch.manual_seed(0)
    model, ids = Logits(mixture("Mixtral", "eager")), torch.randint(0, 90, (2, 8))
    fast = gossamer.compile(model, ids, dynamic_shapes="auto", pipeline="simplify")
    fast.save(tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ids, result = torch.load(tmp_path / "result.pt")
    assert torch.equal(result, model(ids))


def test_torch_compile_trains_a_model_in_its_other_form():
    torch.manual_seed(0)
    model = mixture("Mixtral", "eager").model.layers[0].mlp  # pyright: ignore
    x, weights = torch.randn(2, 7, 64), list(model.parameters())
    with adapted(model):
        compiled = torch.compile(model, backend="gossamer", fullgraph=True)
        given = torch.autograd.grad(compiled(x).square().sum(), weights)
    torch._dynamo.reset()
    assert difference(given, torch.autograd.grad(model(x).square().sum(), weights)) < 1e-6
