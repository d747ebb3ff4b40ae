"""One rank of `mpiexec -n N python -m benchlib.with_ranks TASK`: the step of with_minrnn, shared between ranks.

Each rank has a CPU of its own, and one thread. Rank 0 prints what it measured, as JSON.
"""

import json
import os
import sys

from benchlib.with_minrnn import train
from minrnn import mpi
from minrnn.cli.ranks import launched


def main() -> int:
    """Run the task in the first argument, a configuration."""
    rank, size = launched()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    ranks = mpi.join(size)
    if rank:
        return ranks.serve()
    result = train(json.loads(sys.argv[1]), "", sharing=mpi.sharing)
    print("\n" + json.dumps(result | {"mpi": ranks.mpi.Get_library_version().split("\n")[0].strip(" \0")}))
    ranks.end(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
