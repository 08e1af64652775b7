"""What tests of kernels share."""

import pytest
import torch
from gossamer.runtime.kernels import launch


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """One thread or two, however little there is to do."""
    monkeypatch.setattr(launch, "GRAIN", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
