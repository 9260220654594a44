"""What the README tells people to type works: commands parse, the code of its network runs, links lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch

from densedistill.backbones import create
from densedistill.distill.plugins import load_plugin
from densedistill.tasks import get, names

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def marked(name: str) -> str:
    """The code block after `<!-- name -->`."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", TEXT, flags=re.DOTALL)
    assert found is not None
    return found.group(1)


def commands() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [line[line.index("python tools/") :] for line in lines if "python tools/" in line]


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    _python, script, *arguments = shlex.split(command)
    module = importlib.import_module(f"densedistill.tools.{Path(script).stem}")
    options = module.parser().parse_args(arguments)
    if getattr(options, "task", None) in names() and getattr(options, "preset", None):
        assert options.preset in get(options.task).presets


def test_there_are_two_commands_to_set_up_with() -> None:
    installing = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("pip install")]
    assert len(installing) == 2
    assert marked("test-command").strip() == installing[1]


def test_the_network_of_the_readme_builds(tmp_path: Path) -> None:
    plugin = tmp_path / "readme_network.py"
    plugin.write_text(marked("network-plugin"))
    load_plugin(str(plugin))
    assert create("tiny", num_classes=5)(torch.rand(2, 3, 16, 16)).shape == (2, 5)


def test_the_table_names_every_preset() -> None:
    rows = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in TEXT.splitlines() if line.startswith("|")]
    listed, task = set(), ""
    for first, second in rows:
        task = first or task
        listed |= {(task, name.strip(" `")) for name in second.split(",")}
    assert {(name, preset) for name in ("cls", "sr", "edges", "seg") for preset in get(name).presets} <= listed


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    assert [target for target in targets if not (ROOT / target).is_file()] == []
