"""A compiled model as a folder: it comes back as it was, or with an error that says what is wrong."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import gossamer
import pytest
import torch
from gossamer.compiler.compiled import CompiledModel
from gossamer.dialects.diagnostics import UserError
from torch import nn
from torch.export import Dim
from transformers import BertConfig, BertModel

FILES = ["import.mlir", "manifest.json", "model.mlir", "weights.safetensors"]


class Running(nn.Module):
    """Tied weights, a buffer that it writes, a constant, and a structure."""

    total: torch.Tensor
    unsaved: torch.Tensor

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decode.weight = self.encode.weight
        self.encode.bias.requires_grad_(False)
        self.register_buffer("total", torch.zeros(4))
        self.register_buffer("unsaved", torch.ones(4), persistent=False)

    def forward(self, x, mask=None, *, scale=2.0):
        h = torch.relu(self.encode(x)) + torch.tensor([0.5, -0.0, 1.0, 2.0])
        self.total.add_(h.sum(0) * self.unsaved)
        return {"y": self.decode(h) * scale, "parts": (h, None, x.shape[0])}


def compiled() -> tuple[Running, CompiledModel]:
    model = Running().eval()
    return model, gossamer.compile(model, torch.randn(3, 4), dynamic_shapes={"x": {0: Dim.DYNAMIC}})


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved model, for all tests."""
    folder = tmp_path_factory.mktemp("saved") / "out"
    compiled()[1].save(folder)
    return folder


@pytest.fixture
def saved(master: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, in a folder that holds nothing else and is left without drafts."""
    shutil.copytree(master, tmp_path / "out")
    yield tmp_path / "out"
    assert all(not path.name.startswith(".") for path in tmp_path.iterdir())


def refused(path: Path | str, **options) -> str:
    with pytest.raises(UserError) as raised:
        gossamer.load(path, **options)
    return str(raised.value)


def test_a_model_comes_back_as_it_was(tmp_path):
    model, fast = compiled()
    fast.save(tmp_path / "a" / "out")
    assert sorted(path.name for path in (tmp_path / "a" / "out").iterdir()) == FILES
    again = gossamer.load(tmp_path / "a" / "out")
    assert (again.ir(), again.ir("import")) == (fast.ir(), fast.ir("import"))
    for rows in (3, 1, 7):
        x = torch.randn(rows, 4)
        found, expected = again(x, scale=2.0), fast(x)
        assert torch.equal(found["y"], expected["y"])
        assert torch.equal(found["parts"][0], expected["parts"][0])
        assert found["parts"][1:] == (None, rows)
        assert torch.equal(again.total, model.total)
    with pytest.raises(UserError, match="argument 'mask' is float32"):
        again(torch.ones(2, 4), torch.ones(2))


def test_saving_what_was_loaded_gives_the_same_bytes(saved, tmp_path):
    gossamer.load(saved).save(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name


def test_a_loaded_model_has_the_names_of_its_model(saved):
    model, again = Running(), gossamer.load(saved)
    assert sorted(again.state_dict()) == sorted(model.state_dict())
    assert again.encode.weight is again.decode.weight
    assert "unsaved" in dict(again.named_buffers())
    assert repr(again).startswith("CompiledModel(Running")
    model.load_state_dict(again.state_dict())
    again.load_state_dict(Running().state_dict())
    assert not torch.equal(model.encode.weight, again.encode.weight)


def test_what_is_trained_is_trained_after_loading(saved):
    again = gossamer.load(saved)
    assert again.encode.weight.requires_grad
    assert not again.encode.bias.requires_grad
    again(torch.randn(2, 4))["y"].sum().backward()
    assert again.encode.weight.grad is not None


def test_weights_are_saved_as_they_are_now(tmp_path):
    model, fast = compiled()
    fast(torch.ones(2, 4))
    with torch.no_grad():
        model.encode.weight.add_(1)
    fast.save(tmp_path / "out")
    again = gossamer.load(tmp_path / "out")
    assert torch.equal(again.total, model.total)
    x = torch.randn(2, 4)
    assert torch.equal(again(x)["y"], fast(x)["y"])


def test_running_a_loaded_model_does_not_change_its_files(saved):
    before = {name: (saved / name).read_bytes() for name in FILES}
    again = gossamer.load(saved)
    again(torch.ones(2, 4))
    assert float(again.total.abs().sum()) > 0
    assert {name: (saved / name).read_bytes() for name in FILES} == before


def test_a_folder_of_ours_is_replaced_even_by_what_was_loaded_from_it(saved):
    again = gossamer.load(saved)
    again(torch.ones(2, 4))
    again.save(saved)
    assert torch.equal(gossamer.load(saved).total, again.total)


def test_a_folder_of_others_is_left_alone(tmp_path):
    _, fast = compiled()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UserError, match=r"holds 'notes\.txt', which is not part of a compiled model"):
        fast.save(tmp_path / "mine")
    (tmp_path / "file").write_text("keep")
    with pytest.raises(UserError, match="is a file, not a folder"):
        fast.save(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written"):
        fast.save(tmp_path / "file" / "out")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert (tmp_path / "file").read_text() == "keep"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot be written: permission denied"):
        compiled()[1].save(tmp_path / "closed" / "out")


def test_a_save_that_fails_changes_nothing(saved, monkeypatch):
    before = {name: (saved / name).read_bytes() for name in FILES}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    again = gossamer.load(saved)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="no space left on device"):
        again.save(saved)
    assert {name: (saved / name).read_bytes() for name in FILES} == before


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json: no such file"),
    "no text": (lambda f: (f / "model.mlir").unlink(), "model.mlir: no such file"),
    "no import": (lambda f: (f / "import.mlir").unlink(), "import.mlir: no such file"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors: no such file"),
    "half a manifest": (lambda f: cut(f / "manifest.json", 100), "manifest.json: this is no manifest"),
    "another manifest": (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json: this is no manifest"),
    "a manifest without a field": (lambda f: replace(f / "manifest.json", '"stage"', '"age"'), "KeyError('stage')"),
    "half a text": (lambda f: cut(f / "model.mlir", 500), "model.mlir: is not the file that was saved"),
    "another text": (lambda f: replace(f / "model.mlir", "relu", "tanh"), "model.mlir: is not the file that was saved"),
    "no text at all": (lambda f: (f / "model.mlir").write_bytes(b"\xff\xfe"), "model.mlir: this is no text"),
    "half the weights": (lambda f: cut(f / "weights.safetensors", 300), "weights.safetensors: not a complete"),
    "empty weights": (lambda f: cut(f / "weights.safetensors", 0), "weights.safetensors: not a complete"),
    "another weight": (lambda f: flip(f / "weights.safetensors"), "1 of 6 weights do not fit the module"),
    "a later format": (lambda f: replace(f / "manifest.json", '"format": 1', '"format": 2'), "in format 2, this reads"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused(saved, damage, message):
    damage(saved)
    assert message in refused(saved)


def test_what_is_not_there_is_named(tmp_path):
    assert "no such file" in refused(tmp_path / "nothing")
    assert "manifest.json: no such file" in refused(tmp_path)
    (tmp_path / "net.mlir").write_text("builtin.module {}")
    assert "net.mlr: no such file" in refused(tmp_path / "net.mlr")
    assert "did you mean 'net.mlir'?" in refused(tmp_path / "net.mlr")
    assert "has no function @forward" in refused(tmp_path / "net.mlir")


def test_an_unknown_target_is_refused(saved):
    assert "no target 'gpu'" in refused(saved, target="gpu")
    assert gossamer.load(saved, target="cpu").device == torch.device("cpu")


def test_a_text_with_weights_beside_it_is_a_model_too(saved, tmp_path):
    fast = gossamer.load(saved)
    shutil.copy(saved / "import.mlir", tmp_path / "net.mlir")
    shutil.copy(saved / "weights.safetensors", tmp_path / "net.safetensors")
    again, x = gossamer.load(tmp_path / "net.mlir"), torch.randn(5, 4)
    assert torch.equal(again(x)["y"], fast(x)["y"])
    assert again.ir("net") == fast.ir("import")
    edited = saved / "edited.mlir"
    edited.write_text((saved / "model.mlir").read_text().replace("aten.relu.default", "aten.tanh.default"))
    assert not torch.equal(gossamer.load(edited)(x)["y"], fast(x)["y"])
    (tmp_path / "net.safetensors").unlink()
    assert "net.safetensors: no such file" in refused(tmp_path / "net.mlir")


def test_a_text_that_is_no_model_says_what_it_lacks(tmp_path):
    text = "func.func @forward(%x: tensor<4xf32>) -> tensor<4xf32> {\n  func.return %x : tensor<4xf32>\n}\n"
    (tmp_path / "net.mlir").write_text(text)
    assert "net.mlir:1:1: error: @forward has no such attribute as 'aten.forward'" in refused(tmp_path / "net.mlir")


def in_a_new_process(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_another_process_needs_no_class_of_the_model(tmp_path):
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
    model, ids = BertModel(config).eval(), torch.randint(0, 20, (2, 4))
    fast = gossamer.compile(model, ids)
    fast.save(tmp_path / "out")
    with torch.no_grad():
        torch.save((ids, fast(ids).last_hidden_state), tmp_path / "example.pt")
    ran = in_a_new_process(f"""
        import sys, torch, gossamer
        fast = gossamer.load({str(tmp_path / "out")!r})
        ids, expected = torch.load({str(tmp_path / "example.pt")!r})
        with torch.no_grad():
            found = fast(ids)
        assert type(found).__name__ == "BaseModelOutputWithPoolingAndCrossAttentions", type(found)
        assert torch.equal(found.last_hidden_state, expected)
        assert "transformers.models.bert.modeling_bert" not in sys.modules
    """)
    assert ran.returncode == 0, ran.stderr


def test_a_result_whose_library_is_missing_is_named(saved):
    for name in ("model.mlir", "import.mlir"):
        replace(saved / name, "builtins.dict", "lost_library.outputs.Result")
        replace(saved / "manifest.json", json.loads((saved / "manifest.json").read_text())["digests"][name],
                sha256(saved / name))  # fmt: skip
    message = refused(saved)
    assert "uses 'lost_library.outputs.Result', and there is no module 'lost_library'" in message
    assert "install 'lost_library'" in message


def sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
