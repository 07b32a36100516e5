"""Printing tables, keeping figures in one results.json, and drawing them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot

RESULTS = "results.json"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, columns aligned."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in [header, rule, *rows]
    )


def write(directory: Path, section: str, figures: Mapping[str, Any]) -> None:
    """Put one benchmark's figures into results.json, leaving the others'."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / RESULTS
    results = json.loads(path.read_text()) if path.exists() else {}
    results[section] = figures
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(f"figures in {path}")


def bars(path: Path, title: str, figures: Mapping[str, float]) -> None:
    """A horizontal bar a figure."""
    figure, axes = pyplot.subplots(figsize=(8, 0.6 * len(figures) + 1.2), layout="constrained")
    drawn = axes.barh(list(figures), list(figures.values()), color="#4c78a8")
    axes.bar_label(drawn, fmt="%.1f", padding=4)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def lines(path: Path, title: str, x: tuple[str, Sequence[float]], series: Mapping[str, Sequence[float]]) -> None:
    """Panels below each other over a common, logarithmic x axis, one a series."""
    label, values = x
    figure, panels = pyplot.subplots(
        len(series), 1, sharex=True, squeeze=False, figsize=(7, 2.2 * len(series)), layout="constrained"
    )
    for axes, (name, points) in zip(panels[:, 0], series.items(), strict=True):
        axes.plot(values, points, marker="o", color="#4c78a8")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    panels[-1, 0].set_xscale("log", base=2)
    panels[-1, 0].set_xticks(list(values), [str(value) for value in values])
    panels[-1, 0].set_xlabel(label)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def spectrograms(path: Path, clips: Sequence[tuple[str, np.ndarray]], sample_rate: int) -> None:
    """Spectrograms up to 8 kHz below each other, one a (title, samples)."""
    figure, panels = pyplot.subplots(
        len(clips), 1, sharex=True, squeeze=False, figsize=(8, 2.4 * len(clips)), layout="constrained"
    )
    for axes, (title, samples) in zip(panels[:, 0], clips, strict=True):
        axes.specgram(samples + 1e-7, NFFT=512, Fs=sample_rate, noverlap=384, vmin=-140, vmax=-40, cmap="magma")
        axes.set_ylim(0, 8000)
        axes.set_ylabel("Hz")
        axes.set_title(title, fontsize=10)
    panels[-1, 0].set_xlabel("seconds")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
