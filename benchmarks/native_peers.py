"""The product that skips along k as numba and g++ make it: the loop of `passes/kernels/skip_k_row.py`, in their words.

Both are left out where they are not installed. g++ asks for memory ahead as our kernel does, but for
the first rows; numba cannot say that.
"""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

Peer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [k], weight [k, n], active positions) -> y [n]"""

SOURCE = """
#include <cstdint>
extern "C" void skip(const float* __restrict x, const float* __restrict w, const int64_t* __restrict active,
                     int64_t size, float* __restrict y, int64_t n) {
  for (int64_t j = 0; j < n; ++j) y[j] = 0;
  int64_t c = 0;
  for (; c + 8 <= size; c += 8) {
    const float *r[8], *next[8]; float f[8];
    for (int g = 0; g < 8; ++g) {
      int64_t later = c + 8 + g < size ? c + 8 + g : size - 1;
      r[g] = w + active[c + g] * n; f[g] = x[active[c + g]]; next[g] = w + active[later] * n;
    }
    int64_t j = 0;
    for (; j + 16 <= n; j += 16) {
      for (int g = 0; g < 8; ++g) __builtin_prefetch(next[g] + j, 0, 2);
      for (int l = j; l < j + 16; ++l) {
        float s = y[l];
        for (int g = 0; g < 8; ++g) s += r[g][l] * f[g];
        y[l] = s;
      }
    }
    for (; j < n; ++j) for (int g = 0; g < 8; ++g) y[j] += r[g][j] * f[g];
  }
  for (; c < size; ++c) for (int64_t j = 0; j < n; ++j) y[j] += w[active[c] * n + j] * x[active[c]];
}
"""


@cache
def gcc() -> Peer | None:
    """g++ -O3 -march=native."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="gossamer-peer-"))
    (folder / "skip.cpp").write_text(SOURCE)
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "skip.cpp", "-o", "skip.so"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        return None
    skip = ctypes.CDLL(str(folder / "skip.so")).skip
    skip.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]

    def run(x: Tensor, w: Tensor, active: Tensor) -> Tensor:
        y = torch.empty(w.shape[1])
        skip(x.data_ptr(), w.data_ptr(), active.data_ptr(), len(active), y.data_ptr(), len(y))
        return y

    return run


@cache
def numba() -> Peer | None:
    """numba's njit, contraction allowed."""
    if find_spec("numba") is None:
        return None
    import numba as nb  # pyright: ignore[reportMissingImports]

    @nb.njit(fastmath={"contract"})
    def skip(x, w, active, y):
        n, size = y.shape[0], active.shape[0]
        whole = size - size % 8
        for j in range(n):
            y[j] = 0
        for c in range(0, whole, 8):
            b0, b1, b2, b3 = active[c] * n, active[c + 1] * n, active[c + 2] * n, active[c + 3] * n
            b4, b5, b6, b7 = active[c + 4] * n, active[c + 5] * n, active[c + 6] * n, active[c + 7] * n
            x0, x1, x2, x3 = x[active[c]], x[active[c + 1]], x[active[c + 2]], x[active[c + 3]]
            x4, x5, x6, x7 = x[active[c + 4]], x[active[c + 5]], x[active[c + 6]], x[active[c + 7]]
            for j in range(n):
                first = y[j] + w[b0 + j] * x0 + w[b1 + j] * x1 + w[b2 + j] * x2 + w[b3 + j] * x3
                y[j] = first + w[b4 + j] * x4 + w[b5 + j] * x5 + w[b6 + j] * x6 + w[b7 + j] * x7
        for c in range(whole, size):
            b, f = active[c] * n, x[active[c]]
            for j in range(n):
                y[j] += w[b + j] * f

    def run(x: Tensor, w: Tensor, active: Tensor) -> Tensor:
        y = torch.empty(w.shape[1])
        skip(x.numpy(), w.view(-1).numpy(), active.numpy(), y.numpy())
        return y

    return run
