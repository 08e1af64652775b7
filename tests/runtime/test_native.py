"""Text becomes code, once."""

import ctypes
import subprocess
import sys

import pytest
from gossamer.runtime import native

pytest.importorskip("llvmlite")

TEXT = "define i64 @twice(i64 %x) {{\n  %y = mul i64 %x, {}\n  ret i64 %y\n}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.load.cache_clear()
    return tmp_path / "gossamer" / "kernels"


def run(text: str) -> int:
    code = native.load(text)
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(code["twice"])(21)


def test_text_runs(folder):
    assert run(TEXT.format(2)) == 42
    assert run(TEXT.format(3)) == 63
    assert len(list(folder.iterdir())) == 2


def test_it_is_compiled_once(monkeypatch):
    run(TEXT.format(2))
    native.load.cache_clear()
    monkeypatch.setattr(native, "optimised", lambda _: pytest.fail("compiled again"))
    assert run(TEXT.format(2)) == 42


def test_another_processor_or_llvm_has_its_own_object(folder, monkeypatch):
    run(TEXT.format(2))
    native.load.cache_clear()
    monkeypatch.setattr(native, "identity", lambda: "another")
    run(TEXT.format(2))
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:40], lambda b: b"", lambda b: b + b"x"])
def test_a_damaged_object_is_made_anew(folder, damage):
    run(TEXT.format(2))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    native.load.cache_clear()
    assert run(TEXT.format(2)) == 42
    assert len(file.read_bytes()) == len(whole)


def test_without_a_folder_it_is_compiled_each_time(folder):
    folder.parent.write_text("a file where the folder would be")
    assert run(TEXT.format(2)) == 42


SCRIPT = """
from gossamer.runtime import native
from gossamer.tests.runtime.test_native import TEXT, run
print([run(TEXT.format(factor)) for factor in range(2, 30)] == [21 * factor for factor in range(2, 30)])
"""


def start() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)


def test_two_processes_compile_the_same_at_once():
    both = [start(), start()]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == ["True", "True"]


def test_after_a_process_was_killed_while_compiling_all_is_right(folder):
    process = start()
    while process.poll() is None and not (folder.is_dir() and list(folder.iterdir())):
        pass
    process.kill()
    process.wait()
    assert start().communicate(timeout=120)[0].strip() == "True"


def test_assembly_is_this_processor_s():
    assert "twice" in native.assembly(TEXT.format(2))
