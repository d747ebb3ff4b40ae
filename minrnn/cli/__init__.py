"""The command line: one small file a command, and `main`, which finds it. Nothing here computes."""
