"""The registry, and tasks from outside: by file, by module and by entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from densedistill.backbones import registry as networks
from densedistill.distill import plugins
from densedistill.distill.errors import RequestError
from densedistill.distill.registry import Registry
from densedistill.tasks import get, names, register
from densedistill.tasks import registry as tasks
from densedistill.tools.distill import main

PLUGIN = """
import dataclasses
from densedistill.tasks import get, register

@register("{name}")
def outside():
    return dataclasses.replace(get("edges"), name="{name}", summary="from outside")
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers or imports is gone after it."""
    tasks.load_built_in()
    monkeypatch.setattr(tasks._TASKS, "_factories", dict(tasks._TASKS._factories))
    monkeypatch.setattr(networks, "_NETWORKS", dict(networks._NETWORKS))
    monkeypatch.setattr(sys, "path", list(sys.path))
    loaded = set(sys.modules)
    yield
    for module in set(sys.modules) - loaded:
        if module.startswith("outside_"):
            del sys.modules[module]


def _write(folder: Path, module: str, content: str) -> Path:
    path = folder / f"{module}.py"
    path.write_text(content)
    return path


def test_registry_keeps_what_it_had_on_a_duplicate() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("one", lambda: 1)
    with pytest.raises(RequestError, match=r"number 'one' is already registered by .*choose another name"):
        registry.add("one", lambda: 2)
    assert registry.get("one") == 1
    assert list(registry) == ["one"]
    assert "one" in registry
    assert "two" not in registry


def test_registry_lists_the_choices() -> None:
    registry: Registry[int] = Registry("number")
    for value, name in enumerate(("seven", "eight", "nine")):
        registry.add(name, lambda value=value: value)
    with pytest.raises(RequestError, match=r"unknown number 'sevn'. Did you mean 'seven'\? .*eight, nine, seven"):
        registry.get("sevn")
    with pytest.raises(RequestError) as caught:
        registry.get("xxxx")
    assert "Did you mean" not in str(caught.value)


def test_built_in_tasks() -> None:
    assert {"cls", "sr", "edges"} <= set(names())
    assert [get(name).name for name in ("cls", "sr", "edges")] == ["cls", "sr", "edges"]


def test_a_built_in_name_is_taken() -> None:
    before = get("edges").summary

    def edges() -> None: ...

    with pytest.raises(RequestError, match="task 'edges' is already registered"):
        register("edges")(edges)  # type: ignore[arg-type]
    assert get("edges").summary == before


def test_plugin_by_file(tmp_path: Path) -> None:
    path = _write(tmp_path, "outside_file", PLUGIN.format(name="outside_a"))
    plugins.load_plugin(str(path))
    plugins.load_plugin(str(path))
    assert get("outside_a").summary == "from outside"


def test_plugin_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "outside_module", PLUGIN.format(name="outside_b"))
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load_plugin("outside_module")
    assert get("outside_b").summary == "from outside"


def test_plugin_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "outside_entry", PLUGIN.format(name="outside_c"))
    monkeypatch.syspath_prepend(tmp_path)
    asked: list[str] = []

    def installed(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(name="outside", value="outside_entry", group=group)]

    monkeypatch.setattr(plugins, "entry_points", installed)
    plugins.load_entry_points()
    assert asked == ["densedistill.tasks"]
    assert get("outside_c").summary == "from outside"


@pytest.mark.parametrize("load", [lambda path: plugins.load_plugin(str(path)), lambda path: _by_module(path)])
def test_an_import_error_inside_a_plugin_is_shown_as_it_is(tmp_path: Path, load: Callable[[Path], None]) -> None:
    path = _write(tmp_path, "outside_broken", "import no_such_library_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_library_at_all'") as caught:
        load(path)
    assert Path(str(caught.traceback[-1].path)) == path
    assert "outside_broken" not in sys.modules


def _by_module(path: Path) -> None:
    sys.path.insert(0, str(path.parent))
    plugins.load_plugin(path.stem)


def test_a_plugin_that_takes_a_built_in_name_changes_nothing(tmp_path: Path) -> None:
    path = _write(tmp_path, "outside_thief", PLUGIN.format(name="edges"))
    with pytest.raises(RequestError, match=r"task 'edges' is already registered by densedistill\.tasks\.edges"):
        plugins.load_plugin(str(path))
    assert "Dice" in get("edges").summary


def test_a_file_named_like_a_module_in_use(tmp_path: Path) -> None:
    path = _write(tmp_path, "json", "")
    with pytest.raises(RequestError, match="rename the file"):
        plugins.load_plugin(str(path))


def test_a_missing_plugin(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"missing\.py"):
        plugins.load_plugin(str(tmp_path / "missing.py"))
    with pytest.raises(RequestError, match=r"neither a \.py file nor an importable module"):
        plugins.load_plugin("outside_missing")
    with pytest.raises(RequestError, match=r"neither a \.py file nor an importable module"):
        plugins.load_plugin("json.outside_missing")


def test_the_command_line_loads_a_plugin_and_records_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, "outside_recorded", PLUGIN.format(name="outside_d"))
    assert main(["--plugin", str(path), "--task", "outside_d", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert f"- {path}" in printed
    assert main(["--list", "tasks", "--plugin", str(path)]) == 0
    assert "outside_d" in capsys.readouterr().out
