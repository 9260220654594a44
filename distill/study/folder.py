"""The layout of a study on disk. Names here are public."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from densedistill.distill.configuration.config import differences
from densedistill.distill.errors import RequestError
from densedistill.distill.files import first_file_in, is_temporary, write_text
from densedistill.distill.run_dir import RunDir, read_config_file
from densedistill.distill.study.definition import StudyDefinition

_OWN = ("optuna.db", "optuna.db-journal", "logs")
"""What processes of a study may have made before the first of them wrote its definition."""

_WORDS = {"question", "claim", "contrasts", "condition_labels", "varies", "notes", "metric"}
_WORDS_OF_ARMS = {"label"}
"""Fields of a study and of its arms that change no run, only what is said of them: every figure is kept, and which of
them arms are compared by is chosen anew whenever study.json is written."""


@dataclass(frozen=True, slots=True)
class StudyDir:
    """A study's folder."""

    path: Path

    @property
    def definition_file(self) -> Path:
        """The study as it was started, with every default in place."""
        return self.path / "study.yaml"

    @property
    def result_file(self) -> Path:
        """The trials and what they reached, schema 1."""
        return self.path / "study.json"

    @property
    def logs(self) -> Path:
        """What the further processes of `--jobs` say."""
        return self.path / "logs"

    def run(self, arm: str, seed: int) -> RunDir:
        """The run of one arm with one seed."""
        return RunDir(self.path / "runs" / arm / f"seed-{seed}")

    def teacher(self, key: str) -> RunDir:
        """The run that trained a shared teacher."""
        return RunDir(self.path / "teachers" / key)

    def relative(self, run: RunDir) -> str:
        """A run's path as study.json has it: the folder may be moved."""
        return run.path.relative_to(self.path).as_posix()

    def claim(self, study: StudyDefinition) -> None:
        """Make this the folder of `study`, or see that it is; words that have changed are recorded anew.

        Raises:
            RequestError: it holds something else, or the study as it was before its runs were changed.
        """
        if self.definition_file.is_file():
            before = read_config_file(self.definition_file)
            require_same(before, study, f"'{self.path}'")
            if before == study.plain():
                return
        elif self.path.exists() and not self.path.is_dir():
            raise RequestError(f"'{self.path}' is a file: give --out a new or empty folder.")
        elif self.path.is_dir() and any(not _own(path) for path in self.path.iterdir()):
            raise RequestError(f"'{self.path}' is not empty and holds no study: give --out a new or empty folder.")
        with first_file_in(self.path):
            write_text(self.definition_file, yaml.safe_dump(study.plain(), sort_keys=False, allow_unicode=True))


def require_same(before: dict[str, object], study: StudyDefinition, where: str) -> None:
    """See that the study which `where` began as `before` is `study`, but for words that change no run.

    Raises:
        RequestError: its runs have changed; the message has every difference in them.
    """
    changed = differences(_of_runs(_with_defaults(before)), _of_runs(study.plain()))
    if changed:
        listed = "; ".join(map(str, changed))
        raise RequestError(
            f"{where} holds study '{before.get('name')}' as it was before ({listed}): take the change back "
            "to go on with it, or give --out another folder."
        )


def _with_defaults(before: dict[str, object]) -> dict[str, object]:
    """A study as it was written, with what came since at its default: fields that did not exist changed nothing."""
    try:
        return StudyDefinition.model_validate(before).plain()
    except ValidationError:
        return before


def _of_runs(plain: dict[str, object]) -> dict[str, object]:
    """What of a study, as `StudyDefinition.plain` has it, decides what its runs do.

    The rest says how they are judged, and a study may be judged anew. Where trials are pruned, what is a control does
    change runs: controls never are.
    """
    judged = _WORDS | (set() if plain.get("pruning") else {"control"})
    of_arms = _WORDS_OF_ARMS | (set() if plain.get("pruning") else {"against"})
    kept = {key: value for key, value in plain.items() if key not in judged}
    arms = kept.get("arms")
    if isinstance(arms, dict):
        kept["arms"] = {
            name: {key: value for key, value in arm.items() if key not in of_arms} if isinstance(arm, dict) else arm
            for name, arm in arms.items()
        }
    return kept


def _own(path: Path) -> bool:
    return path.name in _OWN or is_temporary(path)
