"""What the start of a command imports: the libraries it uses, and no more. Each takes up to two seconds to import."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "accelerate",
    "albumentations",
    "jinja2",
    "kornia",
    "matplotlib",
    "scipy",
    "segmentation_models_pytorch",
    "skimage",
    "sklearn",
    "spandrel",
    "timm",
    "torch._dynamo",
    "torch._inductor",
    "torchmetrics",
    "torchvision",
)


def told(statements: str) -> tuple[str, set[str]]:
    """What a fresh process prints, and which heavy libraries it has imported by then."""
    found = f"[name for name in {HEAVY!r} if name in sys.modules]"
    code = f"import sys\n{statements}\nprint('imported:', *{found})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    shown, _, last = done.stdout.rpartition("imported:")
    return shown, set(last.split())


def test_the_list_of_everything_imports_no_library_of_networks_or_figures() -> None:
    shown, heavy = told("from densedistill.tools.distill import main; main(['--list'])")
    # One word of each table, the families' arguments among them: nothing was left out to be so quick.
    for word in ("edges", "smp/ARCH-ENCODER", "drop_rate", "spandrel/FILE", "soft-maps", "cifar100"):
        assert word in shown
    assert heavy == set()


def test_asking_for_tasks_imports_no_library_of_networks_or_figures() -> None:
    shown, heavy = told("import densedistill.tasks as tasks; print(tasks.get('sr').summary, *tasks.names())")
    assert {"SwinIR", "cls", "sr", "edges"} <= set(shown.split())
    assert heavy == set()
