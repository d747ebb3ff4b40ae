"""What is inside runs in a process of its own, in which CuPy has been prepared: see test_cupy_wheel.py."""

import sys

collect_ignore = [] if "hostcuda" in sys.modules else ["inside"]
