"""What `distill.py` does once its command line is read. Kept apart so that `--help` imports none of it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

import yaml
from rich.console import Console
from rich.table import Table

from densedistill import backbones
from densedistill.distill import wording
from densedistill.distill.configuration.config import RunConfig, parse_setting
from densedistill.distill.dry_run import Trial, TrialChain
from densedistill.distill.errors import InterruptedRunError
from densedistill.distill.machine.guard import naming_failures
from densedistill.distill.machine.runtime import is_first_process
from densedistill.distill.plugins import load_plugin
from densedistill.distill.progress import RichLog
from densedistill.distill.report.terminal import arms_table, references_table
from densedistill.tasks import get, names
from densedistill.tasks.parts import load_parts
from densedistill.tasks.request import RunRequest
from densedistill.tasks.run import execute


def run(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Distil, and print the table of arms."""
    try:
        result = execute(request(options), command=command)
    except InterruptedRunError as error:
        # The folder is named even where the command left it to us: by then another run may be the latest.
        named = [] if options.out or error.folder is None else ["--out", str(error.folder)]
        again = shlex.join([*command, *named, *([] if options.resume else ["--resume"])])
        raise InterruptedRunError(f"{error} Go on with: {again}", error.exit_status) from error
    if not is_first_process():
        return 0
    summary = dict(result.summary)
    console = Console()
    console.print(arms_table(summary))
    if summary["references"]:
        console.print(references_table(summary))
    console.print(f"report: {result.path / 'report.html'}", soft_wrap=True)
    return 0


def print_config(options: argparse.Namespace) -> int:
    """Print the resolved configuration as YAML on stdout."""
    plain = request(options).resolve().config.plain()
    yaml.safe_dump(plain, sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


def try_arms(options: argparse.Namespace) -> tuple[RunConfig, str, list[Trial]]:
    """Build every arm and take two steps: the configuration, the precision they were computed in, and their figures."""
    resolved = request(options).resolve()
    with naming_failures(None), RichLog() as log:
        chain = TrialChain(load_parts(resolved, log=log))
        return resolved.config, chain.runtime.precision, [chain.try_arm(plan) for plan in chain.plans]


def dry_run(options: argparse.Namespace) -> int:
    """Try every arm, and print shapes, sizes, memory and estimated time."""
    config, precision, trials = try_arms(options)
    console = Console()
    for table in _trial_tables(trials, f"{config.task}, preset {config.preset}, {precision}"):
        console.print(table)
    total = wording.duration(sum(trial.seconds for trial in trials))
    console.print(f"estimated training time in all: {total} (evaluation not counted)")
    return 0


def _trial_tables(trials: Sequence[Trial], title: str) -> tuple[Table, Table]:
    what = Table("arm", "network", "init", "parameters", "input", "output", "losses", title=title)
    costs = Table("arm", "epochs", "steps", "s/step", "training", "memory", "free")
    for trial in trials:
        what.add_row(
            trial.arm,
            trial.network,
            trial.init,
            f"{trial.params:,}",
            "x".join(map(str, trial.input)),
            "x".join(map(str, trial.output)),
            ", ".join(f"{name} {value:.3g}" for name, value in trial.losses.items()),
        )
        costs.add_row(
            trial.arm,
            str(trial.epochs),
            str(trial.steps),
            f"{trial.seconds_per_step:.3f}",
            wording.duration(trial.seconds),
            wording.gibibytes(trial.memory_bytes, digits=2),
            wording.gibibytes(trial.free_bytes),
        )
    return what, costs


def show_list(what: str, plugins: Sequence[str]) -> int:
    """Print what there is of one kind, or of every kind."""
    for plugin in plugins:
        load_plugin(plugin)
    shown = {
        "tasks": _list_tasks,
        "presets": _list_presets,
        "networks": _list_networks,
        "methods": _list_methods,
        "datasets": _list_datasets,
    }
    console = Console()
    for kind, table in shown.items():
        if what in (kind, "all"):
            console.print(table())
    return 0


def _list_tasks() -> Table:
    table = Table("task", "what", title="tasks")
    for name in names():
        table.add_row(name, get(name).summary)
    return table


def _list_presets() -> Table:
    table = Table("task", title="presets")
    table.add_column("preset", overflow="fold")
    table.add_column("what")
    table.add_column("epochs")
    for name in names():
        for key, preset in get(name).presets.items():
            table.add_row(name, key, preset.summary, str(preset.recipe.epochs))
    return table


def _list_networks() -> Table:
    table = Table("network", "what", "arguments", title="networks")
    for info in backbones.describe_networks():
        table.add_row(info.name, info.summary, ", ".join(f"{key}={value}" for key, value in info.arguments.items()))
    return table


def _list_methods() -> Table:
    table = Table(title="methods", show_lines=True)
    table.add_column("task, method", overflow="fold")
    table.add_column("what, and its paper")
    table.add_column("needs")
    table.add_column("parameters", overflow="fold")
    for name in names():
        for method in get(name).methods.values():
            parameters = method.parameters.model_dump(mode="json")
            table.add_row(
                f"{name}\n{method.name}",
                f"{method.summary}\n{method.paper}",
                method.needs.words(),
                "\n".join(f"{key}={value}" for key, value in parameters.items()),
            )
    return table


def _list_datasets() -> Table:
    table = Table("task", "data sets", "of preset", title="data sets")
    for name in names():
        spec = get(name)
        chosen = ", ".join(f"{key}: {getattr(preset.data, 'name', '')}" for key, preset in spec.presets.items())
        table.add_row(name, ", ".join(spec.datasets), chosen)
    return table


def request(options: argparse.Namespace) -> RunRequest:
    """What the flags of `distill.add_request` ask for."""
    return RunRequest(
        task=options.task,
        preset=options.preset,
        generations=options.generations,
        method=options.method,
        data=options.data,
        data_root=options.data_root,
        teacher=options.teacher,
        student=options.student,
        students=_names(options.students) or (),
        teacher_weights=options.teacher_weights,
        student_weights=options.student_weights,
        pretrained=options.pretrained,
        teacher_size=options.teacher_size,
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        teacher_cache=options.teacher_cache,
        exact=options.exact,
        controls=_names(options.controls),
        track=_names(options.track),
        doctor="never" if getattr(options, "no_doctor", False) else None,
        settings=[parse_setting(text) for text in options.set],
        plugins=options.plugin,
        config=options.config,
        out=options.out,
        resume=options.resume,
    )


def _names(text: str | None) -> list[str] | None:
    """A comma-separated list; `none` is an empty one."""
    if text is None:
        return None
    return [] if text == "none" else [name.strip() for name in text.split(",")]
