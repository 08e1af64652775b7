"""Storages that go to a file and come back."""

import gc
import os
import resource
import subprocess
import sys
import threading

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.allocations import changes
from gossamer.runtime.executor import Program
from gossamer.runtime.tier import TIERS, FolderTier, folder_tier

TENSORS = {
    "floats": torch.tensor([1.0, -0.0, float("nan"), float("-inf"), 1e-45]),
    "halves": torch.randn(3, 5).to(torch.bfloat16),
    "truth values": torch.tensor([True, False]),
    "transposed": torch.randn(4, 6).t(),
    "a part of more": torch.randn(10, 10)[2:7, 3:5],
    "a number": torch.tensor(3),
    "nothing": torch.empty(0, 3),
    "of one value": torch.randn(1).expand(7),
}


def same_bytes(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bytes(one.untyped_storage()) == bytes(other.untyped_storage())


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_as_it_lay(name, tmp_path):
    tensor = TENSORS[name]
    parcel = FolderTier(str(tmp_path)).send(tensor)
    parcel.sent()
    back, arriving = parcel.fetch()
    arriving.wait()
    assert same_bytes(back, tensor)
    assert back.data_ptr() != tensor.data_ptr() or not tensor.numel()
    assert (back.dtype, back.shape, back.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
    assert back.storage_offset() == tensor.storage_offset()


def test_places_serve_again_and_nothing_is_torn(tmp_path):
    tier, draw = FolderTier(str(tmp_path)), torch.Generator().manual_seed(0)
    waiting = []
    for number in range(200):
        tensor = torch.full((int(torch.randint(1, 4, (), generator=draw)) * 1000,), number)
        waiting.append((tensor.clone(), tier.send(tensor)))
        if len(waiting) > 3:
            expected, parcel = waiting.pop(0)
            parcel.sent()
            back, arriving = parcel.fetch()
            del parcel
            arriving.wait()
            assert torch.equal(back, expected)
    assert tier.end <= 15 * 3 * 8000


def test_memory_is_taken_by_a_fetch_and_given_back_when_it_is_sent(tmp_path):
    tier = FolderTier(str(tmp_path))

    def run() -> None:
        tensor = torch.ones(1000)
        parcel = tier.send(tensor)
        parcel.sent()
        del tensor
        back, arriving = parcel.fetch()
        arriving.wait()
        assert back[999] == 1

    found = [size for size in changes(run) if abs(size) >= 4000]
    assert found == [4000, -4000, 4000, -4000]


def test_a_folder_has_one_tier_that_goes_with_its_last_user(tmp_path):
    def threads() -> int:
        return sum(thread.name == "gossamer-offload" for thread in threading.enumerate())

    gc.collect()
    before = threads()
    tier = folder_tier(str(tmp_path))
    assert folder_tier(str(tmp_path)) is tier
    assert threads() == before + 1
    assert os.listdir(tmp_path) == []
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "gossamer-offload" and thread.is_alive())
    del tier
    gc.collect()
    assert str(tmp_path) not in TIERS
    thread.join(5)
    assert threads() == before


def test_a_process_that_is_killed_leaves_no_file(tmp_path):
    code = (
        "import os, torch; from gossamer.runtime.tier import FolderTier\n"
        f"p = FolderTier({str(tmp_path)!r}).send(torch.ones(1000)); p.sent(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"no file can be made in '{tmp_path}/none': No such file"):
        FolderTier(f"{tmp_path}/none")


@pytest.fixture
def small_files():
    """No file grows beyond 64 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_where_there_is_no_room_the_tensor_is_still_there(tmp_path):
    tier, tensor = FolderTier(str(tmp_path)), torch.randn(100_000)
    before, parcel = tensor.clone(), tier.send(tensor)
    with pytest.raises(UserError, match=f"400,000 bytes could not be moved to or from '{tmp_path}': File too large"):
        parcel.sent()
    assert torch.equal(tensor, before)
    small = tier.send(torch.ones(3))
    with pytest.raises(UserError):  # Its place is beyond the end.
        small.sent()


STEP = """
func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "FOLDER" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  %b = aten.call "aten.sin.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %a1 = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  %c = aten.call "aten.mul.Tensor"(%a1, %b) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %c : tensor<4xf32>
}
"""


def test_a_program_moves_what_its_text_says(tmp_path):
    program = Program.build(parse_text(STEP.replace("FOLDER", str(tmp_path))), {}, "step")
    x = torch.randn(4)
    with torch.no_grad():
        for _ in range(3):
            (found,) = program([x])
            assert torch.equal(found, x.exp() * x.exp().sin())
