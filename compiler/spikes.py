"""What the inputs of a spiking network fire: from a file, or at random.

| file   | holds                                                          |
|--------|----------------------------------------------------------------|
| `.npy` | [steps, *shape], 0 or 1, for a network with one input          |
| `.npz` | such an array for each input, by its name                      |
"""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..dialects.diagnostics import UserError, did_you_mean
from ..runtime.spiking.network import Network


def random_spikes(network: Network, steps: int, rate: float, seed: int) -> dict[str, np.ndarray]:
    """Every neuron of every input fires in each step with probability `rate`, on its own; bool [steps, *shape]."""
    generator = np.random.default_rng(seed)
    inputs = [network.populations[i] for i in network.inputs]
    return {p.name: generator.random((steps, *p.shape)) < rate for p in inputs}


def load_spikes(path: Path, network: Network, steps: int | None = None) -> dict[str, np.ndarray]:
    """The spikes in a file, the first `steps` of them. Raises UserError where the file is none, or does not fit."""
    names = [network.populations[i].name for i in network.inputs]
    try:
        content = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: holds no arrays: {error}", hint="numpy.savez(FILE, name=array) writes one") from None
    arrays = dict(content) if isinstance(content, np.lib.npyio.NpzFile) else {names[0]: content} if names else {}
    for name in arrays:
        if name not in names:
            raise UserError(f"{path}: no input '{name}'", hint=did_you_mean(name, names))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UserError(f"{path}: nothing for the input '{missing[0]}'", hint=f"the inputs are: {', '.join(names)}")
    return {name: checked(path, name, array, steps) for name, array in arrays.items()}


def checked(path: Path, name: str, array: np.ndarray, steps: int | None) -> np.ndarray:
    """The first steps of an array that holds spikes. Raises UserError where it does not."""
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise UserError(f"{path}: input '{name}': expected numbers [steps, *shape], "
                        f"got {array.dtype} {list(array.shape)}")  # fmt: skip
    odd = np.argwhere(~np.isin(array, (0, 1)))
    if len(odd):
        where = ", ".join(map(str, odd[0]))
        raise UserError(f"{path}: input '{name}': expected 0 or 1, got {array[tuple(odd[0])]} at [{where}]")
    if steps is not None and len(array) < steps:
        raise UserError(f"{path}: input '{name}' has {len(array)} steps, {steps} are asked for",
                        hint=f"--steps {len(array)}")  # fmt: skip
    return array[:steps] != 0
