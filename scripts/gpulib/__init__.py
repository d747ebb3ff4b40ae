"""What `scripts/gpu_check` is made of.

    command     options, the steps one after the other, JSON and the table
    checks      steps that are right or wrong: results, waits, memory
    graphs      the step that looks at CUDA graphs
    costs       steps that measure: calls, updates, sampling
    with_torch  PyTorch's side of the updates, in a process of its own

What this is not: a benchmark of a CPU (scripts/bench). The sizes are those of scripts/bench and larger ones.
"""
