"""Grades a submission by a profile: every function on its own, each group in a fresh child, into one `Grade`.

It reads no files and knows no course; how a group is graded is in groups.py.
"""

import contextlib
import hashlib
import hmac
import os
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from minrnn.grading.courses.profile import Function, Profile
from minrnn.grading.judging.groups import Grader
from minrnn.grading.loading.submission import Submission
from minrnn.grading.outcome.result import DEFAULT_POLICIES, FunctionResult, Grade
from minrnn.grading.sandbox import Child, Limits

SEEDS = 3
NO_SECRET = b"minrnn"


def seeds_for(sha256: str, secret: bytes = NO_SECRET, count: int = SEEDS) -> list[int]:
    """Seeds that a student cannot foresee without the secret, and that a second grading of the same file repeats."""
    digest = hmac.new(secret, sha256.encode(), hashlib.sha256).digest()
    return [int.from_bytes(digest[4 * k : 4 * k + 4], "big") for k in range(count)]


def grade(
    submission: Submission,
    profile: Profile,
    *,
    policies: Mapping[str, str] | None = None,
    seeds: Sequence[int] | None = None,
    limits: Limits | None = None,
    sandbox: str | Collection[str] = "auto",
) -> Grade:
    """Grade one submission.

    policies: those that differ from result.DEFAULT_POLICIES. seeds: of the inputs, at least two; by default they follow
    from the submission. limits: of each child. Raises SandboxError where no child can be started.
    """
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    rules = {**DEFAULT_POLICIES, **(policies or {})}
    inputs = list(seeds or seeds_for(submission.sha256))
    reports: list[dict[str, Any]] = []

    def open_child() -> Child:
        child = Child(limits, sandbox)
        reports.append(child.report())
        return child

    grader = Grader(submission, profile, inputs, rules, open_child)
    # What a submission returns may be as large as it likes.
    with contextlib.closing(grader), np.errstate(all="ignore"):
        for functions in profile.groups().values():
            grader.group(functions)
    results = [grader.results[function.name] for function in profile.functions]
    for function, result in zip(profile.functions, results, strict=True):
        result.score = result.points(rules)
        _place(submission, function, result)
    repairs = [{"code": note.code, "message": note.message} for note in (*submission.repairs, *grader.repairs)]
    return Grade(
        course={"profile": profile.name, "profile_source": "given", "candidates": [], "profile_sha256": profile.sha256},
        submission={
            "path": submission.name,
            "sha256": submission.sha256,
            "kind": submission.kind,
            "functions_found": [f.name for f in profile.functions if grader.results[f.name].status != "not-found"],
            "repairs": repairs,
            "cells_skipped": submission.cells_skipped,
            "notes": [{"code": note.code, "message": note.message} for note in submission.notes],
            "forbidden": list(submission.forbidden),
        },
        run={
            "seeds": inputs,
            "sizes": dict(profile.sizes),
            "started": started,
            "seconds": round(time.monotonic() - began, 3),
            "policies": rules,
        },
        functions=results,
        environment=environment(),
        sandbox=reports[0] if reports else {},
    )


def _place(submission: Submission, function: Function, result: FunctionResult) -> None:
    """Say where in the submission what is wrong is computed, and what was raised."""
    values = function.returns.content if function.returns.kind == "tuple" else (function.returns,)
    positions = {tensor.name: k for k, item in enumerate(values) if item.kind == "tensor" for tensor in item.tensors()}
    for output in result.outputs:
        if output.status != "correct":
            output.place = submission.computed_at(function.name, output.name, positions.get(output.name))
    raised = result.exception
    if raised and raised.line:
        result.exception = replace(raised, place=submission.place(raised.line))


def environment() -> dict[str, Any]:
    """Where the grading takes place."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.system(),
        "machine": platform.machine(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS"),
    }
