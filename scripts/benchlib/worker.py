"""The child's side: `python -m benchlib.worker TASK` calls one function and prints what it returns, as JSON.

CPUs are pinned before any library is imported, because libraries count them when they start: every engine has the same
number of threads on the same CPUs, whatever pool it makes. The numbers of BLAS threads come with the environment.
"""

import importlib
import json
import os
import sys

from benchlib.processes import MISSING


def main() -> int:
    """Run the task in the first argument."""
    task = json.loads(sys.argv[1])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["threads"]])
    try:
        module = importlib.import_module(f"benchlib.{task['module']}")
    except ImportError as e:
        print(f"{e} in {sys.executable}")
        return MISSING
    result = getattr(module, task["function"])(**task["arguments"])
    print("\n" + json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
