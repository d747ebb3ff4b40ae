"""What training shows on stderr: one line that is rewritten on a terminal, plain lines now and then elsewhere."""

import math
import sys
import time
from typing import Any

from minrnn.cli.ranks import launched
from minrnn.fit import Event, Fit

PLAIN_INTERVAL = 5.0  # seconds between plain lines
DELAY = 1.0  # seconds that reading a text may take without a word about it


def header(fit: Fit) -> str:
    """The text, the network and the loss from which it should start."""
    config, data, model = fit.config, fit.data, fit.trainer.model
    V, parameters = len(data.vocabulary), model.params.flat.size
    train = data.split.train_ids.size
    held_out = "nothing held out" if data.split.val is None else f"{data.split.val_ids.size:,} held out"
    if data.val and data.split.val and data.val.y.size < data.split.val.y.size:
        held_out += f", {data.val.y.size:,} of them evaluated (eval_chars)"
    source = ", ".join(map(str, config.files)) or "the Python standard library"
    shrunk = (
        f" (smaller than the {config.batch} asked for: the text is short)" if data.batch_size < config.batch else ""
    )
    cell = f"{config.nonlinearity} rnn" if config.cell == "rnn" else config.cell
    _, ranks = launched()
    where = config.device if ranks == 1 else f"{config.device}, {ranks} ranks"
    steps = "until the time limit" if fit.total_steps is None else f"{fit.total_steps:,} steps"
    going_on = f"resumed at step {fit.trainer.step:,} · " if fit.trainer.step else ""
    return "\n".join(
        (
            f"text    {source}: {data.characters:,} characters, {V} distinct",
            f"split   {data.split.name}: {train:,} to learn, {held_out}",
            f"batch   {data.batch_size} × {config.seq} {config.batches}{shrunk}, "
            f"{data.batches.num_batches(0):,} batches an epoch",
            f"model   {config.layers} × {config.hidden} {cell}, {parameters:,} parameters "
            f"({train / parameters:.1f} characters each), seed {config.seed}, {config.dtype} on {where}",
            f"run     {fit.folder} · {going_on}{steps} · untrained: ln {V} = {math.log(V):.3f} nats",
        )
    )


class TextProgress:
    """How far the text is read and encoded: one line on a terminal, plain lines elsewhere, nothing if it is short."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet, self.what, self.shown = quiet, "", time.monotonic()
        self.bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show it; what load_data wants to call."""
        if self.quiet:
            return
        if sys.stderr.isatty():
            self._draw(what, done, total)
        elif time.monotonic() - self.shown >= PLAIN_INTERVAL:
            self.shown = time.monotonic()
            share = f", {100 * done // total}%" if total else ""
            print(f"{what} the text: {done / 1e6:,.0f} MB{share}", file=sys.stderr, flush=True)

    def _draw(self, what: str, done: int, total: int) -> None:
        from tqdm import tqdm  # noqa: PLC0415 (not needed by --quiet and logs)

        if what != self.what:
            self.close()
            self.what = what
            self.bar = tqdm(
                desc=f"{what} the text",
                total=total or None,
                unit="B",
                unit_scale=True,
                delay=DELAY,
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
            )
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """Take the line away."""
        if self.bar is not None:
            self.bar.close()

    def __enter__(self) -> "TextProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clock(seconds: float) -> str:
    """Seconds as 45s, 6m12s or 2h05m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


class Line:
    """The words of one progress line, from the latest events."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.log: dict[str, Any] = {}
        self.val = ""
        self.begin = time.monotonic()
        self.first_step = fit.trainer.step

    def take(self, event: Event) -> None:
        """Remember what the event says."""
        if event.kind == "log":
            self.log = event.data
        elif event.kind == "eval":
            self.val = "nan" if event.data["val_loss"] is None else f"{event.data['val_loss']:.3f}"
            self.val += "*" if event.data["best"] else ""

    def words(self) -> str:
        """Such as `step 300/1200 (25%) epoch 1.0 | loss 1.482 bpc 2.138 | val 1.557* | …`; `*` marks the best."""
        fit, log = self.fit, self.log
        step, total = fit.trainer.step, fit.total_steps
        of = f"/{total} ({100 * step // max(total, 1)}%)" if total else ""
        parts = [f"step {step}{of} epoch {fit.trainer.epochs_done:.2f}"]
        if log:
            parts.append(f"loss {log['loss']:.3f} bpc {log['bpc']:.3f}")
        if self.val:
            parts.append(f"val {self.val}")
        parts.append(f"eta {clock(self._remaining())}")  # what matters most comes first: a narrow terminal cuts the end
        if log:
            parts.append(f"{log['chars_per_s'] / 1000:.1f}k char/s")
            parts.append(f"gnorm {log['grad_norm']:.2g} clip {100 * log['clipped']:.0f}%")
            parts.append(f"lr {log['lr']:.1e}")
        return " | ".join(parts)

    def _remaining(self) -> float:
        fit = self.fit
        done, left = fit.trainer.step - self.first_step, math.inf
        if fit.total_steps and done:
            left = (time.monotonic() - self.begin) / done * (fit.total_steps - fit.trainer.step)
        if fit.config.time_limit:
            left = min(left, fit.config.time_limit - fit.elapsed())
        return max(left, 0.0) if math.isfinite(left) else 0.0


def report(event: Event) -> str:
    """The lasting line of an evaluation, or of what has become of CUDA graphs."""
    if event.kind == "engine":
        return f"step {event.data['step']} {event.data['note']}"
    best = "  best so far" if event.data["best"] else ""
    loss = event.data["val_loss"]
    shown = "not finite" if loss is None else f"{loss:.4f} nats/char ({event.data['bpc']:.4f} bits)"
    return f"step {event.data['step']} epoch {event.data['epoch']:.2f}  validation {shown}{best}"


class PlainProgress:
    """Lines for a log file: one every few seconds, and one for each evaluation and sample."""

    def __init__(self, fit: Fit) -> None:
        self.line = Line(fit)
        self.shown = 0.0

    def __call__(self, event: Event) -> None:
        """Show what the event is worth."""
        self.line.take(event)
        if event.kind == "log" and time.monotonic() - self.shown >= PLAIN_INTERVAL:
            self.shown = time.monotonic()
            print(self.line.words(), file=sys.stderr, flush=True)
        elif event.kind in ("eval", "engine"):
            print(report(event), file=sys.stderr, flush=True)
        elif event.kind == "sample":
            print(event.data["text"], flush=True)

    def close(self) -> None:
        """Nothing is left open."""


class TerminalProgress:
    """One line that is rewritten, by tqdm; evaluations and samples scroll away above it."""

    def __init__(self, fit: Fit) -> None:
        from tqdm import tqdm  # noqa: PLC0415 (not needed by --quiet and logs)

        self.line = Line(fit)
        self.bar = tqdm(
            total=fit.total_steps,
            initial=fit.trainer.step,
            bar_format="{desc}",
            dynamic_ncols=True,
            mininterval=0.2,
            file=sys.stderr,
        )

    def __call__(self, event: Event) -> None:
        """Show what the event is worth."""
        self.line.take(event)
        if event.kind == "step":
            self.bar.set_description_str(self.line.words(), refresh=False)
            self.bar.update()
        elif event.kind in ("eval", "engine"):
            self.bar.write(report(event), file=sys.stderr)
        elif event.kind == "sample":
            self.bar.write(event.data["text"], file=sys.stdout)

    def close(self) -> None:
        """Leave the last state of the line standing."""
        self.bar.set_description_str(self.line.words(), refresh=True)
        self.bar.close()
