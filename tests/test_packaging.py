"""The house: what is packaged, what imports what, and what nobody pays for at the start."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from gossamer.passes import PASSES

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("compiler", "dialects", "passes", "runtime")
MAY_IMPORT = {
    "compiler": {"compiler", "passes", "runtime", "dialects"},
    "passes": {"passes", "dialects"},
    "runtime": {"runtime", "dialects"},
    "dialects": {"dialects"},
}
LEARNING = {"torch", "transformers", "safetensors"}
HEAVY = {*LEARNING, "numpy", "scipy"}
TEXT = str(ROOT / "tests/ir/opt/passes.mlir")
OWN = {name: place for name, place in PASSES.items() if place.startswith("gossamer.")}


def files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, by their names in the tree."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (".".join([*parts, name]) for name in names)


def package(folder: Path) -> str:
    return ".".join(["gossamer", *folder.relative_to(ROOT).parts])


def test_every_folder_of_the_library_is_packaged():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in files()}
    assert sorted(listed) == sorted(
        ["gossamer", *(".".join(["gossamer", *f.relative_to(ROOT).parts]) for f in folders)]
    )
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_tests_and_samples_are_no_packages():
    assert not [path for room in ("tests", "samples") for path in (ROOT / room).rglob("__init__.py")]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        target = module.split(".")[0]
        assert target != "gossamer", f"{path}: the library imports itself by relative names"
        assert target not in ROOMS or target in MAY_IMPORT[room], f"{room} imports {module}"


@pytest.mark.parametrize(
    "path", [p for p in files() if p.relative_to(ROOT).parts[0] in ("dialects", "passes")], ids=str
)
def test_dialects_and_passes_need_no_torch(path):
    absent = HEAVY if path.relative_to(ROOT).parts[0] == "dialects" else LEARNING
    assert not {module.split(".")[0] for module in imports(path)} & absent


def modules_after(code: str) -> set[str]:
    """Top-level modules that are there when a fresh Python has run `code`."""
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import gossamer", {*HEAVY, "xdsl", "rich"}),
        ("from gossamer.compiler.cli import main; main(['--help'])", {*HEAVY, "xdsl", "rich"}),
        ("from gossamer.compiler.cli import main; main(['--version'])", {*HEAVY, "xdsl", "rich"}),
        ("from gossamer.compiler.cli import main; main(['opt', '--help'])", {*HEAVY, "rich"}),
        ("from gossamer.compiler.cli import main; main(['compile', '--help'])", {*HEAVY, "rich"}),
        ("from gossamer.compiler.cli import main; main(['run', '--help'])", {*HEAVY, "rich"}),
        ("from gossamer.compiler.cli import main; main(['compile', '--nonsense'])", {*HEAVY, "rich"}),
        (
            "from gossamer.compiler.cli import main; main(['opt', 'tests/ir/opt/passes.mlir', '-p', 'cse'])",
            {*HEAVY, "rich"},
        ),
        ("from gossamer.compiler.cli import main; main(['list', 'passes'])", LEARNING),
        ("from gossamer.compiler.universe import UNIVERSE", HEAVY),
        (f"from gossamer.passes import load_pass; [load_pass(p) for p in {list(OWN)}]", LEARNING),
    ],
)
def test_nobody_waits_for_what_he_does_not_use(code, absent):
    assert not modules_after(code) & absent


def test_no_module_is_imported_a_second_time_under_another_name():
    code = "import gossamer.compiler.cli, gossamer.compiler.pipeline, gossamer.compiler.api"
    assert not modules_after(code) & set(ROOMS)


@pytest.mark.parametrize("name", OWN)
def test_a_pass_its_file_and_its_test_have_one_name(name):
    stem = name.replace("-", "_")
    assert OWN[name].startswith(f"gossamer.passes.{stem}:")
    assert (ROOT / f"passes/{stem}.py").exists()
    assert (ROOT / f"tests/passes/test_{stem}.py").exists()
