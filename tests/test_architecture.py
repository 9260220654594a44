"""The architecture's rules: who may import whom, and how large a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container, Mapping
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
ENGINE = "the engine"
"""The modules that lie in distill/ itself, and the folders that they and each other use."""
PARTS_OF_THE_ENGINE = {"cache", "configuration", "lessons", "prediction"}
MAY_IMPORT_IN_DISTILL = {
    "machine": set(),
    "statistics": set(),
    "report": {"statistics"},
    "features": {ENGINE},
    "metrics": {ENGINE},
    "losses": {ENGINE, "features", "machine"},
    "fast": {ENGINE, "features", "machine"},
    "boundaries": {ENGINE, "machine", "metrics"},
    ENGINE: {"fast", "features", "losses", "machine", "metrics"},
    "doctor": {ENGINE, "features", "machine"},
    "study": {ENGINE},
}
FOUNDATIONS = {
    f"densedistill.distill.{name}"
    for name in ("arm_names", "configuration.immaterial", "errors", "files", "gains", "wording", "yaml_text")
}
"""What every part of distill/ may import; none of it needs torch."""
LONGEST_FILE = 400
LONGEST_FUNCTION = 55
"""Without its docstring. The aim is 40; a table of presets and an argument parser are lists, and may be longer."""
LONGER = {("tasks/run.py", "run")}
"""Named exceptions: a signature that has every flag."""


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


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("densedistill", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def import_graph() -> dict[str, set[str]]:
    """The modules of the suite that each of them imports, in functions too; for type checkers alone does not count."""
    paths = {module_name(path): path for path in sources()}
    return {
        module: run_time_imports(ast.parse(path.read_text(encoding="utf-8")), paths) for module, path in paths.items()
    }


def run_time_imports(node: ast.AST, modules: Container[str]) -> set[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return set()
    found: set[str] = set()
    if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        # `from package import module` needs the module, and of the package only that it exists.
        within = (f"{base}.{alias.name}" for alias in node.names)
        found = {name if name in modules else base for name in within}
    below = (run_time_imports(child, modules) for child in ast.iter_child_nodes(node))
    return {name for name in found if name in modules}.union(*below)


def circles(graph: Mapping[str, set[str]]) -> set[str]:
    """The members of a graph that lie on a circle, or between two."""
    left = {name: set(others) for name, others in graph.items()}
    for _ in range(2):
        # Strip what nothing follows from, then, with every edge turned round, what follows from nothing.
        while ends := {name for name, others in left.items() if not others}:
            left = {name: others - ends for name, others in left.items() if name not in ends}
        left = {name: {other for other, others in left.items() if name in others} for name in left}
    return set(left)


def part_of_distill(module: str) -> str | None:
    """`report` for a module of distill/report/, `ENGINE` for the engine's; None: not of distill."""
    _, package, *below = module.split(".")
    if package != "distill" or not below:
        return None
    return below[0] if below[0] in MAY_IMPORT_IN_DISTILL else ENGINE


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    told = function.body[0] if ast.get_docstring(function) is not None else None
    return _lines(function) - (0 if told is None else _lines(told))


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", sources(), ids=named)
def test_imports_point_downwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    siblings = {name.split(".")[1] for name in imported_modules(path) if name.startswith("densedistill.")}
    assert siblings - {package} <= MAY_IMPORT[package]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles(import_graph()) == set()


def test_the_parts_of_distill_are_listed() -> None:
    parts = {path.parent.name for path in (ROOT / "distill").glob("*/__init__.py")}
    assert parts == (set(MAY_IMPORT_IN_DISTILL) | PARTS_OF_THE_ENGINE) - {ENGINE}


def test_imports_within_distill_point_downwards() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, others in import_graph().items()
        for other in others - FOUNDATIONS
        if (part := part_of_distill(module)) and (below := part_of_distill(other))
        if below not in {part, *MAY_IMPORT_IN_DISTILL[part]}
    ]
    assert upwards == []


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
        if (named(path), function.name) not in LONGER:
            lines = code_lines(function)
            assert lines <= LONGEST_FUNCTION, f"{function.name} has {lines} lines"


def test_helpers_find_what_they_look_for(tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text(
        "import densedistill.tasks.run\nfrom densedistill import backbones\n\n\ndef f():\n    from datasets import x\n"
    )
    assert imported_modules(source) == ["densedistill.tasks.run", "densedistill.backbones", "datasets"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()
    assert circles({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}) == {"b", "c"}
    tree = ast.parse("from p import q, x\nif TYPE_CHECKING:\n    import r\ndef f():\n    import s\nimport os\n")
    assert run_time_imports(tree, {"p", "p.q", "r", "s"}) == {"p", "p.q", "s"}


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
