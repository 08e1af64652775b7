"""Pictures as files, each whole or not at all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..dialects.diagnostics import UserError
from .context import whole_file


def draw(folder: Path, paints: Mapping[str, Callable[[Any], Any]]) -> list[Path]:
    """Write `name.png` into `folder` of each figure that is painted with matplotlib's pyplot."""
    plt = pyplot()
    files = []
    for name, paint in paints.items():
        figure = paint(plt)
        files.append(folder / f"{name}.png")
        with whole_file(files[-1]) as draft:
            figure.savefig(draft, dpi=120, bbox_inches="tight", format="png")
        plt.close(figure)
    return files


def pyplot() -> Any:
    """matplotlib without a screen. Raises UserError where it is missing."""
    try:
        import matplotlib
    except ImportError:
        raise UserError("pictures need matplotlib", hint="pip install 'gossamer[plots]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt
