"""Pages from templates: their style sheet inside them, and everything else escaped."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_HERE = Path(__file__).parent


def filled(template: str, **values: object) -> str:
    """The page that `template` makes of `values`; jinja2.UndefinedError where it asks for one that is not given."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((_HERE / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **values)


def unbroken(sentences: str) -> str:
    """Figures kept on one line with their units."""
    return re.sub(r"(?<=\d) (?=(?:%|dB|points|seeds|[kMG])(?![A-Za-z]))", "\N{NO-BREAK SPACE}", sentences)
