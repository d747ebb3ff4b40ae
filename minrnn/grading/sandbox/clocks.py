"""The clocks of a child, watched by the parent: how much it computes, how long it sleeps, how late it is.

On a busy machine everybody is late, so a child that computes is measured by its CPU seconds. One that sleeps uses none:
it is ended when it has done nothing for as long as it may compute. The wall clock is for what escapes both, and the
only one of them where the system does not tell the CPU time of another process.
"""

import math
import sys
import time

START_S = 60.0  # for the interpreter and NumPy, before a submission is there
BUSY_S = 0.01  # CPU seconds; whoever uses less in all the time that it has is asleep


class Clocks:
    """The clocks of one process. `deadline` is a time of time.monotonic; CPU and sleep count after `allow` only."""

    def __init__(self, pid: int) -> None:
        self.deadline = time.monotonic() + START_S
        self._pid = pid
        self._allowed = self._most = math.inf
        self.wake()

    def allow(self, cpu_s: float) -> None:
        """From now on the process may use that many CPU seconds, and may sleep as long at a stretch."""
        self._allowed, self._most = cpu_s, cpu_seconds(self._pid) + cpu_s

    def wake(self) -> None:
        """The process has something to do from now on."""
        self._awake, self._used = time.monotonic(), cpu_seconds(self._pid)

    def late(self, silent: bool) -> bool:
        """Whether its time is over. `silent`: nothing came from it; one that waits to be heard does not sleep."""
        now, used = time.monotonic(), cpu_seconds(self._pid)
        if not used - self._used < BUSY_S:  # also where nothing is known
            self._awake, self._used = now, used
        asleep = silent and now - self._awake > self._allowed
        return asleep or now > self.deadline or used > self._most

    def spent(self) -> bool:
        """Whether it has used the CPU seconds that it was allowed; also where nothing is known."""
        return not cpu_seconds(self._pid) < self._most


def cpu_seconds(pid: int) -> float:
    """CPU seconds of all threads of a process that has not been waited for; NaN where the system does not tell."""
    if sys.platform != "linux":
        return math.nan
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it
    except OSError:
        return math.nan
