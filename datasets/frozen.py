"""How every part of a data configuration is read."""

from __future__ import annotations

from pydantic import ConfigDict

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
"""Unknown fields are refused, and so are infinity and not-a-number: JSON has neither, so no record could hold them."""
