"""A compiled model as a folder, and back.

| file                  | holds                                                                              |
|-----------------------|------------------------------------------------------------------------------------|
| `model.mlir`          | the program: what runs                                                             |
| `import.mlir`         | the model before any pass: `gossamer compile out/import.mlir` compiles it again    |
| `weights.safetensors` | the tensors, under the names that both files use                                   |
| `manifest.json`       | format, versions, device, stages, what is trained, and the digests of the texts    |

A folder appears whole or not at all, and only ever replaces one of ours. Weights are written as they are now: digests
in the texts follow. A lone `net.mlir` with `net.safetensors` or `weights.safetensors` beside it can be loaded too.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn
from xdsl.dialects.builtin import ModuleOp, StringAttr

from .. import __version__
from ..dialects.aten import WeightKind, WeightOp
from ..dialects.diagnostics import UserError
from ..runtime.weights import check, digest, load_weights, save_weights
from .compiled import CompiledModel, tensors_of
from .context import parse_text, print_module, read_text
from .options import target_device
from .pipeline import IMPORT as FIRST

FORMAT = 1
MODEL, IMPORT, WEIGHTS, MANIFEST = "model.mlir", "import.mlir", "weights.safetensors", "manifest.json"
FILES = frozenset({MODEL, IMPORT, WEIGHTS, MANIFEST})


@dataclass(frozen=True)
class Manifest:
    """What the texts do not say.

    `trained` are the weights that require gradients, `transient` those that `state_dict` leaves out, and `digests` are
    the SHA-256 of the texts.
    """

    format: int
    gossamer: str
    torch: str
    model: str
    stage: str
    device: str | None
    training: bool
    trained: list[str]
    transient: list[str]
    digests: dict[str, str]

    @classmethod
    def parse(cls, text: str, path: Path) -> "Manifest":
        """The manifest in the file at `path`. Raises UserError where it is none, or of a later format."""
        try:
            content = json.loads(text)
            written = content["format"]
            if written > FORMAT:
                raise UserError(
                    f"{path}: written by gossamer {content['gossamer']} in format {written}, this reads up to {FORMAT}",
                    hint="install a newer gossamer, or save the model again with this one",
                )
            return cls(**{entry.name: content[entry.name] for entry in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: this is no manifest of a compiled model ({error!r})") from None


def save(compiled: CompiledModel, folder: str | Path) -> None:
    """Write `compiled` into `folder`. Raises UserError where it cannot be, or is not ours; then nothing changes."""
    target = Path(folder).resolve()
    refuse_foreign(target)
    names, state = list(compiled.stages), compiled.state_dict()
    digests = {name: digest(weight) for name, weight in compiled.weights.items()}
    modules = {MODEL: compiled.module, IMPORT: compiled.stages[names[0]]()}
    texts = {name: print_module(with_digests(module, digests)) for name, module in modules.items()}
    manifest = Manifest(
        format=FORMAT,
        gossamer=__version__,
        torch=torch.__version__,
        model=type(compiled.original).__name__,
        stage=names[-1],
        device=str(compiled.device) if compiled.device else None,
        training=compiled.training,
        trained=sorted(name for name, tensor in compiled.weights.items() if tensor.requires_grad),
        transient=sorted(name for name in tensors_of(compiled.original) if name not in state),
        digests={name: sha256(text) for name, text in texts.items()},
    )
    texts[MANIFEST] = json.dumps(asdict(manifest), indent=2) + "\n"
    try:
        with replacing(target) as draft:
            save_weights(draft / WEIGHTS, compiled.weights)
            for name, text in texts.items():
                (draft / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {(error.strerror or str(error)).lower()}") from None


def refuse_foreign(folder: Path) -> None:
    """Raise UserError where `folder` is a file, or holds what `save` did not write."""
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if foreign:
            raise UserError(f"{folder}: holds '{foreign[0]}', which is not part of a compiled model",
                            hint="choose a new folder")  # fmt: skip
    elif folder.exists():
        raise UserError(f"{folder}: is a file, not a folder", hint="choose a new folder")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` at the end, unless an error leaves the block."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    new, old = workshop / "new", workshop / "old"
    try:
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            old.rename(folder)
            raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def with_digests(module: ModuleOp, digests: Mapping[str, str]) -> ModuleOp:
    """A copy of `module` that knows the weights as they are now."""
    module = module.clone()
    for op in module.ops:
        if isinstance(op, WeightOp):
            op.properties["digest"] = StringAttr(digests[op.sym_name.data])
    return module


def load(path: str | Path, *, target: str | None = None) -> CompiledModel:
    """The model in a folder that `save` wrote, or in `net.mlir` with its weights beside it.

    It runs where it ran when it was saved, or on `target`. Raises UserError, at the place, for what is missing,
    damaged, of a later format, or does not fit together.
    """
    path = Path(path)
    return load_folder(path, target) if path.is_dir() else load_file(path, target)


def load_folder(folder: Path, target: str | None) -> CompiledModel:
    """The model in a folder that `save` wrote."""
    manifest = Manifest.parse(read_text(folder / MANIFEST), folder / MANIFEST)
    texts = {name: whole_text(folder / name, manifest.digests.get(name, "")) for name in (MODEL, IMPORT)}
    module = parse_text(texts[MODEL], str(folder / MODEL))
    where = target or manifest.device
    device = target_device(where) if where else None
    weights = fitting_weights(folder / WEIGHTS, module, device)
    model = shell(manifest.model, module, weights, manifest.trained, manifest.transient)
    stages = {FIRST: lambda: parse_text(texts[IMPORT], str(folder / IMPORT)), manifest.stage: module.clone}
    return CompiledModel(module, weights, model, stages, device=device, training=manifest.training)


def load_file(path: Path, target: str | None) -> CompiledModel:
    """The model in a file of text, with its weights beside it: `net.safetensors`, or those of a folder of ours."""
    module = parse_text(read_text(path), str(path))
    device = target_device(target) if target else None
    beside = [path.with_suffix(".safetensors"), path.with_name(WEIGHTS)]
    weights = fitting_weights(next((file for file in beside if file.exists()), beside[0]), module, device)
    return CompiledModel(module, weights, shell(path.stem, module, weights), {path.stem: module.clone}, device=device)


def whole_text(path: Path, expected: str) -> str:
    """The text of a file. Raises UserError where it is not as it was written."""
    text = read_text(path)
    if sha256(text) != expected:
        raise UserError(
            f"{path}: is not the file that was saved: its digest differs from that in {MANIFEST}",
            hint=f"to run an edited text, load it alone: gossamer.load('{path}')",
        )
    return text


def fitting_weights(path: Path, module: ModuleOp, device: torch.device | None) -> dict[str, torch.Tensor]:
    """The tensors that `module` declares, on `device`. Raises UserError where one is missing or another."""
    declared = {op.sym_name.data for op in module.ops if isinstance(op, WeightOp)}
    stored = load_weights(path) if declared or path.exists() else {}
    weights = {name: tensor.to(device) for name, tensor in stored.items() if name in declared}
    check(module, weights)
    return weights


def shell(
    name: str,
    module: ModuleOp,
    weights: dict[str, torch.Tensor],
    trained: Collection[str] = (),
    transient: Collection[str] = (),
) -> nn.Module:
    """A module that has the weights under all of their names, in place of the model's class called `name`.

    `weights` get the parameters that it makes.
    """
    model = type(name, (nn.Module,), {})()
    for op in module.ops:
        if isinstance(op, WeightOp) and op.kind.data is not WeightKind.CONSTANT:
            own = op.sym_name.data
            if op.kind.data is WeightKind.PARAMETER:
                weights[own] = nn.Parameter(weights[own], requires_grad=own in trained)
            for path in (own, *(alias.data for alias in op.aliases or ())):
                parents, _, leaf = path.rpartition(".")
                register(submodule(model, parents), leaf, weights[own], persistent=path not in transient)
    return model


def submodule(model: nn.Module, path: str) -> nn.Module:
    """The module at `a.b` in `model`, made where there is none."""
    for name in filter(None, path.split(".")):
        if name not in model._modules:
            setattr(model, name, nn.Module())
        model = model._modules[name] or model
    return model


def register(module: nn.Module, name: str, tensor: torch.Tensor, *, persistent: bool) -> None:
    """Give `module` the tensor as parameter or as buffer."""
    if isinstance(tensor, nn.Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor, persistent=persistent)


def sha256(text: str) -> str:
    """The digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
