"""Many networks in one process, each compiled for itself."""

from __future__ import annotations

NETWORKS = 64
"""How many may share the code that asks them, before Dynamo leaves further ones as they are."""


def allow_networks() -> None:
    """Let `torch.compile` compile more than its eight variants of one function.

    All students share the code that runs them, and all teachers: from the ninth network of a study on they would be
    called compiled, and run eagerly.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, NETWORKS)
