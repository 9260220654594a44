"""What is installed: every folder of code, its templates and type markers, and the type checkers' links."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("backbones", "datasets", "distill", "tasks", "tools")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def folders() -> set[str]:
    """Folders with code, as module names."""
    return {
        ".".join(("densedistill", *path.parent.relative_to(ROOT).parts))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }


def shipped_data() -> set[str]:
    """Files inside the packages that are not code, as paths in a wheel."""
    return {
        f"densedistill/{path.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }


def test_the_list_of_packages_equals_the_folders() -> None:
    listed = SETTINGS["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    assert set(listed) == folders()


def test_every_folder_of_code_is_a_package() -> None:
    lacking = [name for name in folders() if not (ROOT / Path(*name.split(".")[1:]) / "__init__.py").is_file()]
    assert lacking == []


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_real_folders(package: str) -> None:
    link = ROOT / ".importroot" / "densedistill" / package
    assert link.is_symlink()
    assert not Path(link.readlink()).is_absolute()
    assert link.resolve() == ROOT / package
    assert (ROOT / package / "py.typed").read_bytes() == b""


def test_there_are_templates_to_ship() -> None:
    assert {Path(name).suffix for name in shipped_data()} >= {".j2", ".css"}


def can_build() -> bool:
    """Whether setuptools is here, and new enough for what pyproject.toml asks of it."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not can_build(), reason="building without isolation needs setuptools 77 or later")
def test_a_wheel_holds_all_code_and_data(tmp_path: Path) -> None:
    # From a copy: setuptools leaves a build folder behind, which would bring deleted files back into later wheels.
    copy = tmp_path / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    wheel = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, *wheel, str(copy)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("densedistill-*.whl"))) as built:
        held = set(built.namelist())
    code = {
        f"densedistill/{path.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert code | shipped_data() <= held
    assert not {name for name in held if name.split("/")[0] in PACKAGES}, "a folder is installed without its prefix"


def test_the_command_is_installed() -> None:
    assert SETTINGS["project"]["scripts"] == {"densedistill": "densedistill.tools.distill:main"}
