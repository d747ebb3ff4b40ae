"""From wrong tensors to their cause: matching against named wrong variants, forensics of what is left, words."""
