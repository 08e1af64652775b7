"""NIR files: HDF5, a group for each node. Read to nested dictionaries, and written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...dialects.diagnostics import UserError
from ..context import whole_file

MISSING = "NIR files need the package 'nir'"
INSTALL = "pip install 'gossamer[nir]'"


def read_tree(source: Any) -> tuple[str, Mapping[str, Any]]:
    """A name for errors, and the graph in a file or in an `nir.NIRGraph`, as nested dictionaries.

    Raises UserError where there is no such file or it holds no NIR graph.
    """
    if not isinstance(source, str | Path):
        if not hasattr(source, "to_dict"):
            raise UserError(f"a NIR graph is a file or an nir.NIRGraph, got {type(source).__name__}")
        return "<graph>", source.to_dict()
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: {'this is a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        import h5py
    except ModuleNotFoundError:
        raise UserError(f"{path}: {MISSING}", hint=INSTALL) from None
    try:
        with h5py.File(path, "r") as file:
            content = plain(file, h5py.Group)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: this is no NIR file: {str(error).splitlines()[0]}",
                        hint="NIR files are HDF5, as nir.write writes them") from None  # fmt: skip
    if not isinstance(content.get("node"), Mapping):
        raise UserError(f"{path}: this is no NIR file: it is HDF5, but has no group 'node'",
                        hint="NIR files are written by nir.write")  # fmt: skip
    return str(path), content["node"]


def plain(group: Any, kind: type) -> dict[str, Any]:
    """A group of HDF5 as dictionaries of arrays and texts."""
    found: dict[str, Any] = {}
    for key, item in group.items():
        value = plain(item, kind) if isinstance(item, kind) else item[()]
        found[key] = value.decode("utf8", "replace") if isinstance(value, bytes) else value
    return found


def edges_of(file: str, graph: str, content: Any) -> list[tuple[str, str]]:
    """The edges of a graph as pairs of texts. Raises UserError where they are none."""
    rows = content.tolist() if isinstance(content, np.ndarray) else list(content)
    edges = []
    for row in rows:
        ends = [end.decode("utf8", "replace") if isinstance(end, bytes) else end for end in np.atleast_1d(row).tolist()]
        if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
            raise UserError(f"{file}: {graph} has an edge that is no pair of names: {row!r}")
        edges.append((ends[0], ends[1]))
    return edges


def write_graph(graph: Any, path: Path) -> None:
    """Write an `nir.NIRGraph`. Raises UserError where the file cannot be written; then nothing changes."""
    import nir

    with whole_file(path) as draft:
        nir.write(draft, graph)
