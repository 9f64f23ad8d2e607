"""Draws the figures of one run of the benchmark: plot.py RESULTS-DIRECTORY."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {
    "alertd": "#c0392b", "alertd-fsync": "#e67e22", "floor-write": "#95a5a6", "floor-ring": "#2c3e50",
    "floor-ring-none": "#34495e", "floor-ring-fsync": "#7f8c8d", "nchan": "#27ae60", "pushpin": "#8e44ad",
    "fastapi": "#2980b9", "store-fsync": "#bdc3c7",
}


def load(directory):
    """Medians by row, server and figure."""
    collected = defaultdict(list)
    for line in (directory / "raw.jsonl").read_text().splitlines():
        run = json.loads(line)
        for name, value in run["report"].items():
            if isinstance(value, (int, float)):
                collected[run["row"], run["server"], name].append(value)
    return {key: statistics.median(values) for key, values in collected.items()}


def growth(medians, prefix, figures, across, path):
    """One chart for each figure: its growth with the number at the end of the rows' names."""
    lines = defaultdict(list)
    for (row, server, name), value in medians.items():
        if row.startswith(prefix):
            lines[name, server].append((int(row[len(prefix):]), value))
    if not lines:
        return
    figure, charts = plt.subplots(1, len(figures), figsize=(5.5 * len(figures), 4.2), squeeze=False)
    for chart, (name, title) in zip(charts[0], figures):
        for (other, server), points in sorted(lines.items()):
            if other == name:
                points.sort()
                chart.plot(*zip(*points), marker="o", markersize=4, label=server, color=COLOURS.get(server))
        chart.set(xscale="log", yscale="log", xlabel=across, title=title)
        chart.grid(alpha=0.3)
        chart.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def bars(medians, rows, figure_name, title, path):
    """One group of bars for each row."""
    servers = sorted({s for (row, s, name) in medians if row in rows and name == figure_name})
    present = [row for row in rows if any((row, s, figure_name) in medians for s in servers)]
    if not present:
        return
    figure, chart = plt.subplots(figsize=(1.5 + 3.2 * len(present), 4.2))
    width = 0.8 / len(servers)
    for index, server in enumerate(servers):
        points = [(at, medians[row, server, figure_name]) for at, row in enumerate(present)
                  if (row, server, figure_name) in medians]
        chart.bar([at + (index - len(servers) / 2 + 0.5) * width for at, _ in points], [v for _, v in points], width,
                  label=server, color=COLOURS.get(server))
    chart.set(yscale="log", title=title)
    chart.set_xticks(range(len(present)), present)
    chart.grid(axis="y", alpha=0.3)
    chart.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main():
    directory = Path(sys.argv[1])
    medians = load(directory)
    growth(medians, "growth-fast-", [
        ("deliveries_per_s", "deliveries/s, publisher as fast as answered"),
        ("cpu_us_per_delivery", "server CPU, us per delivery"), ("pss_mib", "server memory, MiB (PSS)"),
    ], "subscribers", directory / "growth-fast.svg")
    growth(medians, "growth-paced-", [
        ("latency_p50_ms", "p50, ms, 4 alerts/s"), ("latency_p99_ms", "p99, ms"),
        ("cpu_us_per_delivery", "server CPU, us per delivery"),
    ], "subscribers", directory / "growth-paced.svg")
    growth(medians, "publishers-", [
        ("publishes_per_s", "publishes/s"), ("answer_p99_ms", "answer p99, ms"),
    ], "keep-alive connections", directory / "publishers.svg")
    bars(medians, ["w1-1k", "w1-10k"], "deliveries_per_s", "deliveries/s, one publisher as fast as answered",
         directory / "w1.svg")
    bars(medians, ["w2-10", "w2-50"], "all_p50_ms", "ms until the last of 10,000 subscribers has it (median)",
         directory / "w2.svg")
    bars(medians, ["w5"], "publishes_per_s", "publishes/s, 32 connections", directory / "w5.svg")
    bars(medians, ["w4", "w4-h2"], "pss_bytes_per_subscriber", "bytes per idle subscriber", directory / "w4.svg")


if __name__ == "__main__":
    main()
