"""Grades the wrong edits of *.fresh, *.second, *.third or *.fourth, and counts as measure.py does.

    python tests/grading/corpus/measure_fresh.py [--set NAME] [--only TEXT] [--every N] [--skip K] [--log FILE]

They were written by somebody who had not seen how causes are found, with all the names that a knowing reader would
accept, and graded once before anything was changed for them. So their figures say more than those of *.bugs, which the
causes were written beside. The update rules have a template of their own here.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import corpus
import independent
import measure
import numpy as np

STATES = {"sgd": "", "sgd_momentum": "velocity", "rmsprop": "cache", "adam": "m v t"}


class Truth(measure.Truth):
    """The corpus's truth, and that of the update rules: two updates, the state handed on."""

    def answers(self, program: corpus.Submission, source: str) -> independent.Answers:
        """See measure.Truth."""
        if program.template.name != "optim":
            return super().answers(program, source)
        functions, found = independent.load(source), {}
        for name, states in STATES.items():
            w, dw, dw2, m, v = np.random.default_rng(1).normal(size=(5, 4, 3))
            config = {"learning_rate": 0.1, "momentum": 0.8, "decay_rate": 0.9, "beta1": 0.9, "beta2": 0.99}
            config |= {"epsilon": 1e-8, "velocity": m.copy(), "cache": v**2, "m": m.copy(), "v": v**2, "t": 2}
            values = {}
            for k, gradient in enumerate((dw, dw2)):
                w, config = functions[name](w.copy(), gradient.copy(), config)
                values |= {f"w{k}": np.array(w)} | {f"{s}{k}": np.array(config[s], float) for s in states.split()}
            found[name] = values
        return found


def fresh(name: str) -> Iterator[corpus.Submission]:
    """Every edit of a set for every template, as a plain file."""
    optim = (corpus.FOLDER / "cs231n-a3" / "optim.template").read_text(encoding="utf-8")
    for template in [*corpus.templates(), corpus.Template("cs231n-a3", "optim", optim, ())]:
        path = corpus.FOLDER / template.profile / f"{template.name}.{name}"
        edits = corpus.read_edits(path.read_text(encoding="utf-8")) if path.exists() else ()
        for edit in edits:
            yield corpus.Submission(dataclasses.replace(template, edits=edits), "plain", edit)


def main() -> None:
    """Grade, print each miss and the counts."""
    parser = argparse.ArgumentParser(description="Grade the fresh edits.")
    parser.add_argument("--set", default="fresh", help="fresh, second, third or fourth (default: fresh)")
    parser.add_argument("--only", default="", help="those whose name has this text")
    parser.add_argument("--every", type=int, default=1, help="grade each N-th edit only")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many at the begin")
    parser.add_argument("--log", type=Path, help="append the outcomes to this file, one JSON object a line")
    options = parser.parse_args()
    measure.Truth = Truth
    programs = [program for program in fresh(options.set) if options.only in program.name][
        options.skip :: options.every
    ]
    print(measure.summary(measure.measure(programs, show=True, log=options.log)))


if __name__ == "__main__":
    main()
