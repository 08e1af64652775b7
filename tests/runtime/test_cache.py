"""What is kept is what was written, or nothing."""

import multiprocessing
import os

import pytest
from gossamer.runtime.cache import cache_folder, keep, kept


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gossamer"


def test_what_was_kept_is_found():
    assert kept("kernels/a") is None
    keep("kernels/a", b"content")
    assert kept("kernels/a") == b"content"
    keep("kernels/a", b"")
    assert kept("kernels/a") == b""


def test_the_folder_is_the_user_s(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "gossamer"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "gossamer"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:10], lambda b: b"", lambda b: b[:-1] + b"?"])
def test_a_file_that_was_cut_or_altered_counts_as_missing(folder, damage):
    keep("a", b"content")
    file = folder / "a"
    file.write_bytes(damage(file.read_bytes()))
    assert kept("a") is None
    keep("a", b"content")
    assert kept("a") == b"content"


def test_a_folder_that_cannot_be_made_is_no_error(folder):
    folder.write_text("a file stands where the folder would be")
    keep("kernels/a", b"content")
    assert kept("kernels/a") is None


def test_a_folder_that_cannot_be_written_is_no_error(folder, monkeypatch):
    keep("a", b"old")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    keep("a", b"new")
    assert kept("a") == b"old"
    assert [file.name for file in folder.iterdir()] == ["a"]


def write_many(number: int) -> None:
    for _ in range(50):
        keep("shared", bytes([number]) * 100_000)


def test_two_processes_that_write_at_once_leave_one_whole_file(folder):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(number,)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content = kept("shared")
        assert content is None or len(set(content)) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert kept("shared") in (b"\1" * 100_000, b"\2" * 100_000)
    assert [file.name for file in folder.iterdir()] == ["shared"]


def test_a_process_that_dies_while_it_writes_leaves_nothing_that_is_read(folder):
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=write_many, args=(1,))
    writer.start()
    while kept("shared") is None and writer.is_alive():
        pass
    writer.kill()
    writer.join()
    assert kept("shared") == b"\1" * 100_000
    keep("shared", b"after")
    assert kept("shared") == b"after"
