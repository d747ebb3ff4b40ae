"""What only a machine with a GPU can tell about minrnn: results, waits, memory and speed there.

    scripts/gpu_check                           all steps, a table and gpu_check.json
    scripts/gpu_check --only updates sampling   some of them
    scripts/gpu_check --dry-run                 without a GPU, on the stand-in of the tests: shows that the script runs

Every step is reported, and none stops the others. Run it a second time with CUPY_TF32=1 in the environment. PyTorch is
compared with where --torch-python has it with CUDA. Exit code: 1 if a step failed.
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from gpulib import checks, costs, graphs
from gpulib.checks import Found, Subject
from minrnn import backend, cublas

STEPS = {
    "environment": checks.environment,
    "parity": checks.parity,
    "gradients": checks.gradients,
    "repeats": checks.repeats,
    "one_kernel_a_body": checks.one_kernel_a_body,
    "waits": checks.waits,
    "memory": checks.memory,
    "memory_checker": checks.memory_checker,
    "graphs": graphs.graphs,
    "calls": costs.calls,
    "updates": costs.updates,
    "sampling": costs.sampling,
}
STAND_IN = Path(__file__).parent.parent.parent / "tests" / "device"


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cupy", help="cupy or cupy:N (default: cupy)")
    p.add_argument("--dry-run", action="store_true", help="on the stand-in for CuPy; nothing is claimed")
    p.add_argument("--small", action="store_true", help="small sizes: fast, and times that say little")
    p.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="some steps")
    p.add_argument("--json", metavar="FILE", type=Path, default=Path("gpu_check.json"), help="(default: %(default)s)")
    p.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="an interpreter that has PyTorch")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the steps; 1 if one failed, 5 without a device."""
    args = parser().parse_args(argv)
    device = args.device
    if args.dry_run:
        sys.path.insert(0, str(STAND_IN))
        backend.register("fakecupy", lambda: importlib.import_module("fakecupy"))
        cublas.libraries["fakecupy"] = importlib.import_module("fakecupy").cublas.Library
        device = "fakecupy:1"
        print("dry run on the stand-in for CuPy: no GPU was used, and no time below means anything")
    try:
        subject = Subject(backend.get(device), args.dry_run, args.small or args.dry_run, args.torch_python)
    except backend.BackendError as error:
        print(error, file=sys.stderr)
        return 5
    results: dict[str, Found] = {}
    for name in args.only:
        begin = time.perf_counter()
        try:
            found = STEPS[name](subject)
        except Exception as error:  # whatever it is: the other steps still tell something
            found = {"ok": False, "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        results[name] = found | {"seconds": round(time.perf_counter() - begin, 2)}
        print(layout(name, results[name]), flush=True)
        args.json.write_text(json.dumps({"dry_run": args.dry_run, "steps": results}, indent=2) + "\n")
    failed = [name for name, found in results.items() if not found["ok"]]
    print(f"failed: {', '.join(failed)}" if failed else f"{len(results)} steps passed", f"({args.json})")
    return 1 if failed else 0


def layout(name: str, found: Found) -> str:
    """A step and what it found, one line each."""
    lines = [f"{name}: {'ok' if found['ok'] else 'FAILED'}, {found['seconds']} s"]
    for key, value in found.items():
        if key not in ("ok", "seconds", "trace"):
            lines.append(f"  {key:<40} {value:.4g}" if isinstance(value, float) else f"  {key:<40} {value}")
    return "\n".join(lines)
