"""The architecture's rules: who may import whom, and how large a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("backbones", "datasets", "distill", "tasks", "tools")
MAY_IMPORT = {
    "backbones": set(),
    "datasets": set(),
    "distill": set(),
    "tasks": {"backbones", "datasets", "distill"},
    "tools": {"backbones", "datasets", "distill", "tasks"},
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 80
"""The aim is 40; a task's table of presets and an argument parser are lists, and lists may be longer."""


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_modules(path: Path) -> list[str]:
    """Absolute names of every module imported anywhere in a file, functions included."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}:{node.lineno} imports relatively: write densedistill.X.y"
            base = node.module or ""
            modules += [f"{base}.{alias.name}" for alias in node.names] if base == "densedistill" else [base]
    return modules


@pytest.mark.parametrize("path", sources(), ids=named)
def test_imports_point_downwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    siblings = {name.split(".")[1] for name in imported_modules(path) if name.startswith("densedistill.")}
    assert siblings - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", sources(), ids=named)
def test_no_import_of_the_unprefixed_folders(path: Path) -> None:
    # `datasets` unprefixed is another project's package, `distill` inside tools/ is the script itself.
    assert not {name.split(".")[0] for name in imported_modules(path)} & {*PACKAGES}


@pytest.mark.parametrize("path", sources(), ids=named)
def test_sizes_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        assert lines <= LONGEST_FUNCTION, f"{function.name} has {lines} lines"


def test_helpers_find_what_they_look_for(tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text(
        "import densedistill.tasks.run\nfrom densedistill import backbones\n\n\ndef f():\n    from datasets import x\n"
    )
    assert imported_modules(source) == ["densedistill.tasks.run", "densedistill.backbones", "datasets"]


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import densedistill.distill", ("torch",)),
        (
            "from densedistill.tools import benchmark, distill, doctor, evaluate, export, predict; doctor.parser()",
            ("torch", "numpy", "pydantic"),
        ),
        ("from densedistill.distill.report import page, study_page, summary", ("torch",)),
        ("import densedistill.backbones", ("timm", "segmentation_models_pytorch", "spandrel")),
    ],
)
def test_imports_stay_light(statement: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []
