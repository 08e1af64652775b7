import hashlib
import struct

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.dtypes import DTYPES, ELEMENT_TYPES
from gossamer.runtime.weights import check, digest, load_weights, save_weights

STORED = [dtype for dtype in ELEMENT_TYPES if dtype not in (torch.complex32, torch.complex128)]


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def any_bits(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A tensor of random bits, NaNs among them."""
    size = torch.empty((), dtype=dtype).element_size()
    high = 2 if dtype is torch.bool else 256
    return torch.randint(0, high, (*shape, size), dtype=torch.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", STORED, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3)])
def test_weights_come_back_bit_for_bit(tmp_path, dtype, shape):
    tensor = any_bits(shape, dtype)
    save_weights(tmp_path / "w.safetensors", {"a.b": tensor})
    (loaded,) = load_weights(tmp_path / "w.safetensors").values()
    assert (loaded.dtype, loaded.shape) == (dtype, tensor.shape)
    assert bits(loaded) == bits(tensor)
    assert digest(loaded) == digest(tensor)


def test_shared_and_strided_tensors_are_stored_one_by_one(tmp_path):
    whole = torch.randn(4, 6)
    views = {"whole": whole, "same": whole, "part": whole[1:3, ::2], "turned": whole.t(), "row": whole[3]}
    views["conjugate"] = torch.randn(3, dtype=torch.complex64).conj()
    save_weights(tmp_path / "w.safetensors", views)
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.keys() == views.keys()
    assert all(torch.equal(loaded[name], view) for name, view in views.items())
    loaded["whole"].zero_()
    assert torch.equal(loaded["same"], whole)


def test_writing_to_a_loaded_weight_leaves_the_file_alone(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(1000)})
    load_weights(path)["a"].zero_()
    assert load_weights(path)["a"].all()


def test_saving_over_a_mapped_file_leaves_loaded_weights_alone(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(5000)})
    loaded = load_weights(path)["a"]
    save_weights(path, {"a": torch.zeros(5000)})
    assert loaded.all()
    assert not load_weights(path)["a"].any()
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    "tensor", [torch.ones(3).to_sparse(), torch.ones(2, dtype=torch.complex128)], ids=["sparse", "double"]
)
def test_a_weight_that_has_no_stored_form_is_named_and_nothing_is_written(tmp_path, tensor):
    with pytest.raises(UserError, match=r"the weight 'odd\.one' cannot be saved"):
        save_weights(tmp_path / "w.safetensors", {"fine": torch.ones(2), "odd.one": tensor})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_the_users_fault(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        save_weights(tmp_path / "none" / "w.safetensors", {"a": torch.ones(2)})
    with pytest.raises(UserError, match="no such file"):
        load_weights(tmp_path / "none")


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.randn(100)})
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:5],
        whole[:40],
        whole[:-1],
        struct.pack("<Q", 2**60) + whole[8:],
        b"\0" * 8 + whole[8:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="not a complete safetensors file"):
            load_weights(path)


def test_a_digest_is_of_the_bytes_in_row_major_order():
    tensor = torch.randn(3, 4)
    expected = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
    assert digest(tensor) == expected
    assert digest(tensor.t().contiguous().t()) == expected
    assert digest(torch.nn.Parameter(tensor)) == expected
    assert digest(tensor.t()) != expected
    assert digest(torch.tensor(0.0)) != digest(torch.tensor(-0.0))
    assert digest(torch.zeros(0)) == hashlib.sha256().hexdigest()


def declared(**weights: torch.Tensor) -> str:
    def line(name: str, weight: torch.Tensor) -> str:
        sizes = "".join(f"{size}x" for size in weight.shape)
        return f'aten.weight parameter @{name} : tensor<{sizes}{ELEMENT_TYPES[weight.dtype]}> digest "{digest(weight)}"'

    return "\n".join(line(name, weight) for name, weight in weights.items())


def test_weights_that_fit_pass():
    weights = {"w": torch.randn(2, 3), "flag": torch.tensor(True), "half": torch.randn(2).bfloat16()}
    check(parse_text(declared(**weights)), weights)


def test_every_weight_that_does_not_fit_is_named():
    w = {name: torch.randn(2, 3) for name in ("missing", "shape", "dtype", "bytes", "fine")}
    module = parse_text(declared(**w), "net.mlir")
    given = {
        "mising": w["missing"],
        "shape": torch.randn(3, 2),
        "dtype": w["dtype"].double(),
        "bytes": torch.randn(2, 3),
        "fine": w["fine"],
    }
    with pytest.raises(UserError) as caught:
        check(module, given)
    lines = str(caught.value).splitlines()
    assert lines[0] == "net.mlir:1:1: error: 5 of 5 weights do not fit the module"
    assert lines[3:7] == [
        "  missing: missing",
        "  shape: float32 [3, 2], expected float32 [2, 3]",
        "  dtype: float64 [2, 3], expected float32 [2, 3]",
        f"  bytes: other bytes: SHA-256 is {digest(given['bytes'])[:12]}.., expected {digest(w['bytes'])[:12]}..",
    ]
    assert lines[7:] == ["  mising: not in the module", "  hint: did you mean 'mising'?"]


def test_bytes_are_read_only_when_asked_for():
    weight = torch.randn(2)
    module = parse_text(declared(w=weight))
    check(module, {"w": weight + 1}, digests=False)
    with pytest.raises(UserError, match="other bytes"):
        check(module, {"w": weight + 1})


def test_element_types_and_dtypes_are_one_to_one():
    assert len(ELEMENT_TYPES) == len(DTYPES)
    assert all(DTYPES[element] is dtype for dtype, element in ELEMENT_TYPES.items())
