"""Every program is run twice: by the executor and by the reference."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.runtime import reference
from gossamer.runtime.executor import Program

Execute = Callable[..., list]


def run_both(text: str, args: Sequence[object], weights: Mapping[str, torch.Tensor] | None = None) -> list:
    """Results of the program, which must be those of the reference up to rounding, NaN equal to NaN."""
    module = parse_text(text)
    expected = reference.run(module, weights or {}, args)
    results = Program.build(module, weights or {})(args)
    assert len(results) == len(expected)
    for result, other in zip(results, expected, strict=True):
        assert type(result) is type(other)
        if isinstance(result, torch.Tensor):
            torch.testing.assert_close(result, other, equal_nan=True)
        else:
            assert result == other
    return results


@pytest.fixture
def execute() -> Execute:
    return run_both


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Tensors here are tiny: threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
