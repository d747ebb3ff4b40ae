"""A strict stand-in for cupyx.distributed: NCCL between the stand-in's GPUs of several processes, carried by MPI.

As there, a process has one GPU, the current one, and no two processes on a machine have the same.
"""

from fakecupy import cuda, graphs
from fakecupy.array import ndarray
from fakecupy.ledger import Violation, counts, hit
from mpi4py import MPI

available = True


def init_process_group(n_devices, rank, *, backend="nccl", host=None, port=None, use_mpi=False):
    if not available:
        raise RuntimeError("NCCL is not available")
    if not use_mpi:
        raise Violation("a TCP server, where MPI could be asked")
    return NCCLBackend(n_devices, rank)


class NCCLBackend:
    """What minrnn calls of it."""

    def __init__(self, n_devices, rank):
        self._comm, self._device = MPI.COMM_WORLD.Dup(), cuda.current
        assert (n_devices, rank) == (self._comm.size, self._comm.rank)
        devices = self._comm.allgather(self._device)
        if len(set(devices)) < len(devices):
            raise RuntimeError("NCCL_ERROR_INVALID_USAGE: Duplicate GPU detected")

    def broadcast(self, in_out_array, root=0, stream=None):
        self._comm.Bcast(self._memory(in_out_array), root)

    def reduce(self, in_array, out_array, root=0, op="sum", stream=None):
        assert op == "sum"
        source, target = self._memory(in_array), self._memory(out_array)
        if self._comm.rank != root:
            self._comm.Reduce(source, None, root=root)
        elif in_array is out_array:
            self._comm.Reduce(MPI.IN_PLACE, target, root=root)
        else:
            self._comm.Reduce(source, target, root=root)

    def _memory(self, array):
        if not isinstance(array, ndarray):
            raise TypeError(f"NCCL takes arrays of a GPU, got {type(array).__name__}")
        if not array.flags.forc:
            raise RuntimeError("NCCL requires arrays to be either c- or f-contiguous")
        if not array._device == cuda.current == self._device:
            raise Violation(f"NCCL: array on {array._device}, communicator on {self._device}, current {cuda.current}")
        hit("launches")
        counts["nccl"] += 1
        graphs.work_on(graphs.get_current_stream())
        return array._host
