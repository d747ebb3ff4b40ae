"""From results to text. A result is what `--json` writes:

    {"kind": "training" or "sampling", "threads", "rounds", "engines": [names], "machine": {...}, "versions": {...},
     "load": load average before it, "rows": [...]}

and a row {"name", "characters" of a step, "flops" or "weight_bytes" and "bandwidth",
           "engines": {name: {"variant", "rounds": [{"ms", "peak_mb", ...}]}}}

Round k of one engine was measured right after round k of the other: ratios are taken round by round, and their median
and range are shown.
"""

import statistics
from collections.abc import Sequence
from typing import Any

Result = dict[str, Any]
Row = dict[str, Any]
BASE = "minrnn"


def column(row: Row, engine: str, key: str) -> list[float]:
    """One number of every round, none where the engine did not run."""
    return [found[key] for found in row["engines"].get(engine, {"rounds": []})["rounds"]]


def ratios(row: Row, engine: str) -> list[float]:
    """How many times as long as minrnn the engine took, round by round."""
    pairs = zip(column(row, engine, "ms"), column(row, BASE, "ms"), strict=False)  # either may be empty
    return [theirs / ours for theirs, ours in pairs]


def roofline_shares(row: Row) -> list[float]:
    """(FLOPs of the products / SGEMM rate measured in the same process) / time of the step, round by round."""
    pairs = zip(column(row, BASE, "gflops"), column(row, BASE, "ms"), strict=True)
    return [row["flops"] / (gflops * 1e6) / ms for gflops, ms in pairs]


def training_table(result: Result) -> str:
    """Times, ratios, characters per second, peak memory and roofline share of every configuration."""
    names, others = result["engines"], [name for name in result["engines"] if name != BASE]
    header = ["training step", *(f"{n} ms" for n in names), *(f"{n}/{BASE}" for n in others)]
    lines = [[*header, "characters/s", f"peak MB: {', '.join(names)}", "roofline share"]]
    for row in result["rows"]:
        ms = column(row, BASE, "ms")
        lines.append(
            [
                row["name"],
                *(_time(row, name) for name in names),
                *(_spread(ratios(row, name)) for name in others),
                f"{1e3 * row['characters'] / statistics.median(ms):,.0f}" if ms else "",
                ", ".join(_median(column(row, name, "peak_mb"), ".0f") or "–" for name in names),
                _median(roofline_shares(row), ".2f"),
            ]
        )
    return layout(lines)


def sampling_table(result: Result) -> str:
    """µs per character, ratios, and the time that reading the weights once takes, from memory and from cache."""
    names, others = result["engines"], [name for name in result["engines"] if name != BASE]
    header = ["sampling", *(f"{n} µs" for n in names), *(f"{n}/{BASE}" for n in others)]
    lines = [[*header, "weights MB", "limit µs: memory", "limit µs: cache"]]
    for row in result["rows"]:
        limits = [row["weight_bytes"] / row["bandwidth"][key] / 1e3 for key in ("memory_gbs", "cached_gbs")]
        lines.append(
            [
                row["name"],
                *(_time(row, name, 1e3 / row["characters"]) for name in names),
                *(_spread(ratios(row, name)) for name in others),
                f"{row['weight_bytes'] / 1e6:.2f}",
                *(f"{limit / row['characters']:.2f}" for limit in limits),
            ]
        )
    return layout(lines)


def footer(result: Result) -> str:
    """Where, with what and how often the numbers were measured."""
    machine = result["machine"]
    parts = [f"{machine['cpu']}, {machine['cpus']} CPUs, threads: {result['threads']}, rounds: {result['rounds']}"]
    rates = [g for row in result["rows"] for g in (column(row, BASE, "gflops") if "flops" in row else [])]
    if rates:
        parts.append(f"SGEMM 1024³ {statistics.median(rates):.0f} GFLOP/s ({min(rates):.0f}–{max(rates):.0f})")
    bandwidths = [row["bandwidth"]["memory_gbs"] for row in result["rows"] if "bandwidth" in row]
    if bandwidths:
        parts.append(f"memory {statistics.median(bandwidths):.1f} GB/s")
    parts.append(f"load average at the start {result['load']:.1f}")
    parts.append(", ".join(f"{name} {version}" for name, version in result["versions"].items()))
    return "\n".join(parts)


def _time(row: Row, engine: str, scale: float = 1.0) -> str:
    times = [scale * ms for ms in column(row, engine, "ms")]
    if not times:
        return ""
    variant = row["engines"][engine]["variant"]
    return f"{statistics.median(times):.4g}" + (f" {variant}" if variant else "")


def _median(values: Sequence[float], form: str) -> str:
    return format(statistics.median(values), form) if values else ""


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})" if values else ""


def layout(lines: list[list[str]]) -> str:
    """A Markdown table whose columns are aligned: the first to the left, numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]

    def text(cells: list[str]) -> str:
        first, *rest = (
            f"{c:<{w}}" if k == 0 else f"{c:>{w}}" for k, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([text(lines[0]), text(rule), *map(text, lines[1:])])
