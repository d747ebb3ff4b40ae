"""Where submissions run: a child process with a jail, a protocol of plain bytes, and the parent's side of both.

It judges nothing and knows no mathematics.
"""

from minrnn.grading.sandbox.child import LAYERS, Child, Limits, SandboxError, probe
from minrnn.grading.sandbox.protocol import Handle, Malformed, Tree
from minrnn.grading.sandbox.reply import Reply

__all__ = ["LAYERS", "Child", "Handle", "Limits", "Malformed", "Reply", "SandboxError", "Tree", "probe"]
