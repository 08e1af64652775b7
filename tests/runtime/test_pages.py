"""Memory in huge pages holds what any memory holds, and a system without them is no error."""

import mmap
import sys

import pytest
import torch
from gossamer.runtime import pages
from gossamer.runtime.kernels.layouts import k_major
from gossamer.runtime.pages import HUGE, prefer_huge_pages


@pytest.fixture
def asked(monkeypatch):
    calls: list[tuple[int, int, int]] = []
    monkeypatch.setattr(pages, "adviser", lambda: lambda *call: calls.append(call))
    return calls


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="the system has no huge pages")
def test_whole_pages_within_the_tensor_are_asked_for(asked):
    tensor = torch.empty(2 * HUGE, dtype=torch.uint8)
    assert prefer_huge_pages(tensor) is tensor
    ((begin, size, advice),) = asked
    assert begin % mmap.PAGESIZE == 0
    assert tensor.data_ptr() <= begin < tensor.data_ptr() + mmap.PAGESIZE
    assert begin + size == tensor.data_ptr() + 2 * HUGE
    assert advice == mmap.MADV_HUGEPAGE


def test_memory_under_a_huge_page_is_left_alone(asked):
    prefer_huge_pages(torch.empty(HUGE - 1, dtype=torch.uint8))
    assert not asked


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's")
def test_the_system_takes_the_wish():
    tensor = torch.empty(2 * HUGE, dtype=torch.uint8)
    advise = pages.adviser()
    assert advise is not None
    first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    assert advise(first, mmap.PAGESIZE, mmap.MADV_HUGEPAGE) == 0


def test_without_huge_pages_nothing_happens(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    pages.adviser.cache_clear()
    try:
        assert pages.adviser() is None
        tensor = torch.zeros(HUGE, dtype=torch.uint8)
        assert prefer_huge_pages(tensor) is tensor
    finally:
        pages.adviser.cache_clear()


def test_a_large_k_major_copy_is_the_transpose():
    weight = torch.randn(1024, 768)
    copy = k_major(weight)
    assert copy is not None
    assert copy.is_contiguous()
    assert torch.equal(copy, weight.t())
