"""A compiled model is a drop-in for its model."""

import copy
import pickle
from collections import namedtuple
from dataclasses import dataclass

import gossamer
import pytest
import torch
from gossamer.compiler.compiled import CompiledModel
from gossamer.compiler.context import parse_text
from gossamer.dialects.aten import CallOp
from gossamer.dialects.diagnostics import UserError
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel
from transformers.cache_utils import DynamicCache
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

Pair = namedtuple("Pair", "first second")
X = torch.ones(3, 4)


@dataclass
class Scored:
    score: torch.Tensor
    note: torch.Tensor | None = None


torch.export.register_dataclass(Scored)


class Structured(nn.Module):
    """Every kind of result, every kind of argument."""

    def forward(self, x, parts=None, *, scale=2.0, flag=True):
        y = x * scale if flag else x
        for part in parts or []:
            y = y + part
        return {"pair": Pair(y, 3), "scored": [Scored(y.sum())], "rows": (x.shape[0], None), "best": y.max(0)}


class Counting(nn.Module):
    """Writes a buffer and an argument."""

    calls: torch.Tensor

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, log):
        self.calls.add_(1)
        log.mul_(2).add_(x.sum())
        return self.linear(x) * self.calls


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        with torch.no_grad():
            gate = torch.sigmoid(self.encode(x))
        return self.decode(torch.relu(self.encode(x))) * gate


def tiny_bert() -> BertModel:
    return BertModel(
        BertConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            vocab_size=50,
            max_position_embeddings=32,
        )
    ).eval()


def assert_same(found: object, expected: object) -> None:
    """The same structure with the same bits."""
    leaves, spec = pytree.tree_flatten(found)
    wanted, wanted_spec = pytree.tree_flatten(expected)
    assert spec == wanted_spec
    assert type(found) is type(expected)
    for a, b in zip(leaves, wanted, strict=True):
        if isinstance(b, torch.Tensor):
            assert a.dtype is b.dtype
            assert a.device == b.device
            assert torch.equal(a, b)
        else:
            assert type(a) is type(b)
            assert a == b


@pytest.fixture(scope="module")
def bert() -> tuple[BertModel, CompiledModel]:
    model = tiny_bert()
    axes = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    ids, mask = torch.randint(0, 50, (2, 8)), torch.ones(2, 8, dtype=torch.int64)
    mask[1, 3:] = 0
    shapes = {"input_ids": axes, "attention_mask": axes}
    dont_care = {"last_hidden_state": "attention_mask"}
    inputs = {"input_ids": ids, "attention_mask": mask}
    return model, gossamer.compile(model, kwargs=inputs, dynamic_shapes=shapes, dont_care=dont_care, pipeline="")


@pytest.fixture(scope="module")
def linear() -> CompiledModel:
    return gossamer.compile(nn.Linear(4, 2).eval(), torch.ones(3, 4))


@pytest.mark.parametrize("shape", [(2, 8), (1, 8), (5, 1), (3, 32)])
def test_a_model_output_comes_back_as_one_at_any_size(bert, shape):
    model, fast = bert
    ids, mask = torch.randint(0, 50, shape), torch.ones(shape, dtype=torch.int64)
    with torch.no_grad():
        assert_same(fast(ids, mask), model(ids, mask))
        assert_same(fast(attention_mask=mask, input_ids=ids, token_type_ids=None), model(ids, mask))


def test_a_plain_call_takes_no_trees_apart(bert, monkeypatch):
    _, fast = bert
    ids = torch.randint(0, 50, (2, 8))
    fast(ids, torch.ones_like(ids))
    for name in ("tree_flatten", "tree_unflatten", "tree_map"):
        monkeypatch.setattr(pytree, name, lambda *_: pytest.fail("a tree was taken apart"))
    fast(ids, torch.ones_like(ids))


def test_a_dont_care_mask_stands_in_the_module_with_its_density(bert):
    text = bert[1].ir("import")
    assert '{aten.name = "last_hidden_state", sparse.dont_care = "attention_mask"}' in text
    assert '{aten.name = "attention_mask", sparse.density = 6.875000e-01' in text


def test_calibration_adds_to_the_density():
    class Masked(nn.Module):
        def forward(self, x, mask):
            return x * mask[:, None]

    x, half, none = torch.ones(4, 2), torch.tensor([1, 1, 0, 0]), torch.zeros(4, dtype=torch.int64)
    fast = gossamer.compile(Masked(), (x, half), dont_care={"output": "mask"}, calibrate=[((x,), {"mask": none})])
    assert "sparse.density = 2.500000e-01" in fast.ir("import")
    with pytest.raises(UserError, match="argument 'mask' has shape"):
        gossamer.compile(Masked(), (x, half), dont_care={"output": "mask"}, calibrate=[((x, half[:2]), {})])


def test_every_kind_of_result_keeps_its_structure():
    model, x = Structured(), torch.randn(3, 4)
    fast = gossamer.compile(model, x)
    for y in (x, torch.randn(3, 4)):
        assert_same(fast(y), model(y))
        assert_same(fast(x=y, flag=True), model(y))
    assert isinstance(fast(x)["pair"], Pair)
    assert isinstance(fast(x)["scored"][0], Scored)


def test_nested_arguments_and_fixed_ones():
    model, x = Structured(), torch.randn(3, 4)
    fast = gossamer.compile(model, (x, [x + 1, x + 2]), {"flag": False})
    assert_same(fast(x, [x, -x], flag=False), model(x, [x, -x], flag=False))
    assert_same(fast(parts=[x, x], flag=False, x=x), model(x, [x, x], flag=False))
    with pytest.raises(UserError, match="argument 'flag' is True, expected False"):
        fast(x, [x, x])
    with pytest.raises(UserError, match="argument 'parts' is nested otherwise"):
        fast(x, [x], flag=False)
    with pytest.raises(UserError, match=r"argument 'parts\.1' is None"):
        fast(x, [x, None], flag=False)


def test_arguments_that_were_one_tensor_in_the_example_may_be_two():
    x, y = torch.randn(3), torch.randn(3)
    fast = gossamer.compile(lambda a, b: a - 2 * b, (x, x))
    assert_same(fast(x, y), x - 2 * y)


def test_an_encoder_and_decoder_with_masks():
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    source, target = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    causal = nn.Transformer.generate_square_subsequent_mask(3)
    masks = {"tgt_mask": causal, "tgt_is_causal": False}
    fast = gossamer.compile(model, (source, target), masks)
    assert_same(fast(source, target, **masks), model(source, target, **masks))


def test_a_cache_of_keys_and_values_comes_back_as_one():
    config = GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=16, bos_token_id=0, eos_token_id=0)
    model, ids = GPT2LMHeadModel(config).eval(), torch.randint(0, 20, (2, 4))
    fast = gossamer.compile(model, (ids,), {"use_cache": True})
    with torch.no_grad():
        found, expected = fast(ids, use_cache=True), model(ids, use_cache=True)
    for cache in (found.past_key_values, expected.past_key_values):
        assert isinstance(cache, DynamicCache)
    assert_same(found.to_tuple(), expected.to_tuple())


def test_writes_reach_the_callers_tensor_and_the_models_buffer():
    model = Counting()
    twin = copy.deepcopy(model)
    fast = gossamer.compile(model, (torch.ones(2, 4), torch.ones(3)))
    assert float(model.calls) == 0
    log, log_of_twin = torch.ones(3), torch.ones(3)
    for _ in range(3):
        x = torch.randn(2, 4)
        assert_same(fast(x, log), twin(x, log_of_twin))
    assert torch.equal(log, log_of_twin)
    assert float(model.calls) == 3
    assert fast.calls is model.calls


def test_weights_are_the_models_own():
    model = Counting()
    fast = gossamer.compile(model, (torch.ones(2, 4), torch.ones(3)))
    for name, tensor in {**dict(model.named_parameters()), **dict(model.named_buffers())}.items():
        assert fast.weights[name] is tensor
    other, x = Counting(), torch.randn(2, 4)
    model.load_state_dict(other.state_dict())
    assert_same(fast(x, torch.ones(3)), other(x, torch.ones(3)))


@pytest.mark.parametrize("make", [Tied, lambda: nn.LSTM(4, 4), lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.0)])
def test_gradients_are_eagers(make):
    model = make().train()
    twin = copy.deepcopy(model)
    fast = gossamer.compile(model, torch.randn(3, 2, 4))
    x = torch.randn(3, 2, 4)
    x_fast, x_eager = x.clone().requires_grad_(), x.clone().requires_grad_()
    for run, argument in ((fast, x_fast), (twin, x_eager)):
        torch.stack([leaf.square().sum() for leaf in pytree.tree_leaves(run(argument))]).sum().backward()
    pairs = [(x_fast, x_eager), *zip(model.parameters(), twin.parameters(), strict=True)]
    for found, expected in pairs:
        assert found.grad is not None
        assert expected.grad is not None
        assert torch.equal(found.grad, expected.grad)


def test_training_is_eagers_step_by_step():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)).train()
    twin = copy.deepcopy(model)
    fast = gossamer.compile(model, torch.randn(6, 4))
    batches = torch.randn(4, 6, 4)
    for run in (fast, twin):
        torch.manual_seed(7)
        optimizer = torch.optim.Adam(run.parameters(), lr=0.1)
        for batch in batches:
            optimizer.zero_grad()
            run(batch).square().mean().backward()
            optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name


def test_nothing_requires_gradients_under_no_grad(linear):
    assert linear(torch.ones(3, 4)).requires_grad
    with torch.no_grad():
        assert not linear(torch.ones(3, 4)).requires_grad
    with torch.inference_mode():
        assert linear(torch.ones(3, 4)).is_inference()


def test_a_function_and_a_method_compile_too():
    fast = gossamer.compile(lambda a, b=2.0: (a * b, a), torch.ones(3))
    x = torch.randn(3)
    assert_same(fast(x, 2.0), (x * 2, x))
    model = nn.Bilinear(3, 3, 2)
    fast = gossamer.compile(model.forward, (x[None], x[None]))
    assert_same(fast(x[None], x[None]), model(x[None], x[None]))
    assert any(tensor is model.weight for tensor in fast.weights.values())


def test_what_it_has_not_itself_is_the_models(bert):
    model, fast = bert
    assert fast.config is model.config
    assert fast.get_input_embeddings() is model.get_input_embeddings()
    assert list(fast.state_dict()) == list(model.state_dict())
    assert fast.eval() is fast
    assert fast.to("cpu") is fast
    assert fast.to(torch.device("cpu")) is fast
    assert not fast.training
    with pytest.raises(AttributeError, match="no attribute 'attention_span'"):
        _ = fast.attention_span


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda fast: fast.train(), "was compiled for evaluation, not for training"),
        (lambda fast: nn.Sequential(fast).train(), "was compiled for evaluation, not for training"),
        (lambda fast: fast.half(), "keeps its dtypes: torch.float32 cannot become torch.float16"),
        (lambda fast: fast.to(torch.bfloat16), "keeps its dtypes"),
        (lambda fast: fast.to("cpu", torch.bfloat16), "keeps its dtypes"),
        (lambda fast: nn.Sequential(fast).double(), "keeps its dtypes"),
        (lambda fast: pickle.dumps(fast), "gossamer.load(folder)"),
        (lambda fast: copy.copy(fast), "gossamer.load(folder)"),
        (lambda fast: fast.ir("insert-gather"), "no stage 'insert-gather'"),
    ],
)
def test_what_a_compiled_model_cannot_do_it_says(linear, use, message):
    before, x = linear(torch.ones(3, 4)), torch.ones(3, 4)
    with pytest.raises(UserError) as raised:
        use(linear)
    assert message in str(raised.value)
    assert torch.equal(linear(x), before)


def test_a_compiled_model_is_a_part_of_others():
    encoder, head, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2), torch.randn(3, 4)
    network = nn.Sequential(encoder, head)
    names, expected = list(network.state_dict()), network(x)
    network[0] = gossamer.compile(encoder, x)
    assert list(network.state_dict()) == names
    assert torch.equal(network(x), expected)
    network.load_state_dict({name: tensor * 2 for name, tensor in network.state_dict().items()})
    assert not torch.equal(network(x), expected)
    assert torch.equal(network(x), nn.Sequential(encoder, head)(x))
    assert torch.equal(network.float().cpu()(x), network(x))


def test_hooks_run_around_a_compiled_model():
    fast, seen = gossamer.compile(nn.ReLU(), X), []
    handle = fast.register_forward_hook(lambda module, args, result: seen.append((module, args, result)))
    result = fast(X)
    assert seen[0][0] is fast
    assert seen[0][1][0] is X
    assert seen[0][2] is result
    handle.remove()
    fast(X)
    assert len(seen) == 1


def test_names_of_the_model_are_not_in_the_way():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.module, self.program = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.program(self.module(self.model(x)))

    wrapper, x = Wrapper(), torch.randn(3, 4)
    fast = gossamer.compile(wrapper, x)
    assert fast.model is wrapper.model
    assert_same(fast(x), wrapper(x))
    assert list(fast.state_dict()) == list(wrapper.state_dict())


def test_a_deep_copy_has_its_own_weights():
    model = Counting()
    fast = gossamer.compile(model, (torch.ones(2, 4), torch.ones(3)))
    twin = copy.deepcopy(fast)
    twin(torch.ones(2, 4), torch.ones(3))
    assert (float(model.calls), float(twin.calls)) == (0, 1)
    assert twin.weights["calls"] is twin.calls
    assert twin.ir() == fast.ir()


def test_stages_are_texts_that_can_be_read_back(tmp_path):
    fast = gossamer.compile(nn.Linear(4, 2), torch.ones(3, 4), pipeline="cse,dce", dump=tmp_path / "dump")
    for stage in ("import", "cse", "dce", None):
        assert str(parse_text(fast.ir(stage))) == str(parse_text(fast.ir()))
    assert fast.ir() == fast.ir("dce")
    assert (tmp_path / "dump" / "00_import.mlir").read_text() == fast.ir("import")
    assert "gossamer opt" in (tmp_path / "dump" / "pipeline.txt").read_text()
    with pytest.raises(UserError, match="no stage 'csse'") as raised:
        fast.ir("csse")
    assert raised.value.hint == "did you mean 'cse'?"


def test_a_pass_that_changes_a_result_is_found():
    @dataclass(frozen=True)
    class Spoil(ModulePass):
        name = "spoil"

        def apply(self, ctx: Context, op: ModuleOp) -> None:
            for call in op.walk():
                if isinstance(call, CallOp):
                    call.properties["target"] = StringAttr("aten.tanh.default")

    relu, x = nn.ReLU(), torch.randn(3)
    gossamer.compile(relu, x, pipeline=[Spoil()])
    gossamer.compile(relu, x, check=True)
    with pytest.raises(UserError, match="pass 'spoil' changes the result 'output'"):
        gossamer.compile(relu, x, pipeline=[Spoil()], check=True)


def test_the_same_model_gives_the_same_text():
    model = tiny_bert()
    ids = torch.randint(0, 50, (2, 8))
    assert gossamer.compile(model, ids).ir() == gossamer.compile(model, ids).ir()


def test_exactness_is_told_to_the_passes():
    fast = gossamer.compile(nn.ReLU(), torch.ones(3), exact="bitwise")
    assert 'gossamer.exact = "bitwise"' in fast.ir("import")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exact": "bitwisee"}, "no exactness 'bitwisee'\n  hint: did you mean 'bitwise'?"),
        ({"target": "cudda"}, "no target 'cudda'\n  hint: did you mean 'cuda'?"),
        ({"target": "cuda:x"}, "no target 'cuda:x'"),
        ({"target": "cuda:99"}, "target 'cuda:99' is not on this machine: torch sees"),
        ({"dont_care": {"output": "y"}}, "there is no argument 'y'"),
        ({"dont_care": {"result": "input"}}, "there is no result 'result'"),
        ({"pipeline": "simplyfy"}, "no pass 'simplyfy'"),
        ({"args": [X]}, "the example inputs are a tuple and a dictionary, got list and dict"),
        ({"args": {"input": X}}, "the example inputs are a tuple and a dictionary, got dict and dict"),
        ({"args": (X, X)}, "too many positional arguments\n  hint: it is forward(input)"),
        ({"args": ()}, "missing a required argument: 'input'"),
        ({"args": (), "kwargs": {"imput": X}}, "did you mean 'input'?"),
        ({"model": 3}, "a model is a torch.nn.Module or a function, got a int"),
    ],
)
def test_what_cannot_be_compiled_is_refused_in_words(arguments, message):
    with pytest.raises(UserError) as raised:
        gossamer.compile(**{"model": nn.Linear(4, 2), "args": (X,), **arguments})
    assert message in str(raised.value)


def test_a_program_moves_with_its_weights():
    class Offset(nn.Module):
        bias: torch.Tensor

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.register_buffer("bias", torch.ones(4))

        def forward(self, x):
            return self.linear(x) + self.bias * torch.arange(4, device=x.device) + torch.tensor([0.5])

    model, x = Offset(), torch.randn(3, 4)
    fast = gossamer.compile(model, x)
    assert fast.to("meta") is fast
    assert fast(x.to("meta")).is_meta
    assert all(weight.is_meta for weight in fast.weights.values())
    assert fast.device == torch.device("meta")
    with pytest.raises(UserError, match="argument 'x' is on cpu, the program on meta"):
        fast(x)


def test_a_compiled_model_can_be_checkpointed():
    model, x = nn.Sequential(nn.Linear(8, 8), nn.GELU()), torch.randn(3, 8, requires_grad=True)
    found = checkpoint(gossamer.compile(model, x), x, use_reentrant=False)
    assert isinstance(found, torch.Tensor)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    (wanted,) = torch.autograd.grad(model(x).sum(), x)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_moves_between_devices():
    model, x = nn.Sequential(nn.Linear(4, 4), nn.GELU()), torch.randn(3, 4)
    fast = gossamer.compile(model, x, target="cuda")
    found = fast(x.cuda())
    assert found.is_cuda
    assert torch.equal(fast.cpu()(x).to("cuda:0"), found) or torch.allclose(fast(x).cuda(), found)
    with pytest.raises(UserError, match="argument 'input' is on cuda:0, the program on cpu"):
        fast(x.cuda())
