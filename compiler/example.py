"""A model with example inputs, from a function in a user's file: `model.py:build`.

    def build():
        model = BertModel(config).eval()
        ids = torch.randint(0, 1000, (4, 128))
        return model, (ids,), {"attention_mask": mask}, {"dont_care": {"last_hidden_state": "attention_mask"}}

The function takes nothing and returns `(model, args)`, `(model, args, kwargs)`, or with a dictionary of options as the
fourth: `dont_care`, `dynamic_shapes`, `calibrate`, `exact`, `approximate`, `strict_nan` and `adapters`, as
`gossamer.compile` has them. What the command line says counts before them.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ..dialects.diagnostics import Place, UsageError, UserError, did_you_mean
from .context import read_text

OPTIONS = ("dont_care", "dynamic_shapes", "calibrate", "exact", "approximate", "strict_nan", "adapters")
STEP = "a training step takes a budget: --memory-budget 100% keeps all"
EXPECTED = "return (model, args), (model, args, kwargs) or (model, args, kwargs, options)"


@dataclass(frozen=True)
class Example:
    """What the user's function returned."""

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def load_example(name: str) -> Example:
    """Call the function that `FILE.py:FUNCTION` names. Raises UserError at the user's line that is at fault."""
    return understand(*call(name))


def call(name: str) -> tuple[object, Place, str]:
    """What the function that `FILE.py:FUNCTION` names returns, where it stands and what it is called."""
    file, _, function = name.rpartition(":")
    path = Path(file or name)
    module = run_file(path)
    own = [n for n, f in vars(module).items() if callable(f) and getattr(f, "__module__", "") == module.__name__]
    if not file:
        raise UsageError(f"{path}: which function?", hint=did_you_mean("", (f"{path}:{known}" for known in own)))
    build = getattr(module, function, None)
    if not callable(build):
        raise UserError(f"{path}: no function '{function}'", hint=did_you_mean(function, own))
    with users_errors(path, f"{function}()"):
        result = build()
    return result, place_of_function(build, path), function


def run_file(path: Path) -> ModuleType:
    """Import a Python file, with its own folder to import from."""
    read_text(path)
    name = f"gossamer model {path.stem}"
    specification = importlib.util.spec_from_file_location(name, path.resolve())
    if specification is None or specification.loader is None:
        raise UsageError(f"{path}: this is no Python file", hint="models are FILE.py:FUNCTION, folders or .mlir files")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    with users_errors(path, "this file"):
        specification.loader.exec_module(module)
    return module


@contextmanager
def users_errors(path: Path, what: str) -> Iterator[None]:
    """Turn what the code in `path` raises into a UserError at its innermost line in that file."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        file = path if error.filename == str(path.resolve()) else error.filename
        place = Place(str(file), error.lineno or 1, error.offset or 0)
        raise UserError(f"{error.msg}", place=place) from error
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path.resolve()]
        place = place_of_frame(frames[-1], path) if frames else None
        raise UserError(f"{what} raised {type(error).__name__}: {error}", place=place) from error


def place_of_frame(frame: traceback.FrameSummary, path: Path) -> Place:
    """Where a frame of the file stands."""
    return Place(str(path), frame.lineno or 1, 0 if frame.colno is None else frame.colno + 1)


def place_of_function(function: Callable[..., Any], path: Path) -> Place:
    """The line on which `function` is defined."""
    code = getattr(function, "__code__", None)
    return Place(str(path), code.co_firstlineno if code else 1)


def understand(result: object, place: Place, function: str) -> Example:
    """The parts of what the function returned. Raises UserError when it is something else."""
    match result:
        case (model, tuple() | list() as args):
            example = Example(model, tuple(args))
        case (model, tuple() | list() as args, dict() as kwargs):
            example = Example(model, tuple(args), kwargs)
        case (model, tuple() | list() as args, dict() | None as kwargs, dict() as options):
            example = Example(model, tuple(args), kwargs or {}, options)
        case tuple():
            kinds = ", ".join(type(part).__name__ for part in result)
            trains = len(result) > 1 and callable(result[1])
            raise UserError(f"{function}() returned ({kinds})", place=place, hint=STEP if trains else EXPECTED)
        case _:
            raise UserError(f"{function}() returned {type(result).__name__}", place=place, hint=EXPECTED)
    if not callable(example.model):
        raise UserError(f"{function}() returned a model that cannot be called: {type(example.model).__name__}",
                        place=place, hint=EXPECTED)  # fmt: skip
    for option in example.options:
        if option not in OPTIONS:
            raise UserError(f"{function}() returned an option '{option}'", place=place,
                            hint=did_you_mean(option, OPTIONS))  # fmt: skip
    return example
