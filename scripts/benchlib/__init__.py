"""What `scripts/bench` and `scripts/race` are made of.

A parent process, which needs the standard library alone, runs every measurement in a child process of its own:

    configurations      what is measured, and how many FLOPs and bytes it takes
    processes           parent: starts a child with a number of threads, and takes turns among engines
    worker              child: pins itself to the CPUs, calls one function below, prints what it returns
    timing              child: times of a step, peak memory, SGEMM rate, memory bandwidth
    with_minrnn, with_torch, with_jax, with_loops       child: the same training step, four times
    with_ranks          child: that of with_minrnn once more, shared between ranks of mpiexec (scripts/mpi_speed)
    tables, command     from results to text; the command line of scripts/bench
    gpt, race_engines, race_command                     the learning race

What this is not: part of the package. Nothing in minrnn imports it.
"""
