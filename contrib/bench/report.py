# SPDX-License-Identifier: BSD-2-Clause
"""What contrib/bench/run found: summary, table, JSON, plots."""
import json
import os
import shutil
import subprocess
from statistics import median

# Of a row: key, heading, width, decimals.
COLUMNS = (
    ("iops", "IOPS", 9, 0),
    ("p50_us", "p50 us", 8, 1),
    ("p99_us", "p99 us", 8, 1),
    ("p999_us", "p99.9 us", 9, 1),
    ("cpu_us", "cpu us/rq", 9, 3),
    ("idle_cpu", "idle cpu%", 9, 3),
    ("wakes_s", "wakes/s", 7, 1),
    ("rss_anon_mib", "RssAnon MiB", 11, 1),
)
SHORT = 5  # per cent of the time in which somebody waited for a CPU
NEAR = 0.8  # of the front-end's ceiling


def shape(cell):
    """What the front-end's ceiling depends on; storage does not matter."""
    return cell.depth, cell.queues, cell.ring, cell.mode


def summarize(measurements, baseline, cells):
    """A row for each cell and system: medians, how many times as many requests
    @baseline served in the same round, and what the front-end can show."""
    runs_of = {}
    for m in measurements:
        runs_of.setdefault((m["cell"], m["system"]), []).append(m)
    base = {(m["cell"], m["round"]): m.get("iops") for m in measurements
            if m["system"] == baseline}
    rows = [summarize_row(runs, base, system != baseline)
            for (_, system), runs in runs_of.items()]
    ceilings = {shape(cells[r["cell"]]): r["iops"] for r in rows
                if r["system"] == "stub"}
    for r in rows:
        if r["iops"] and r["system"] not in ("stub", "fio"):
            r["ceiling"] = ceilings.get(shape(cells[r["cell"]]))
    return rows


def summarize_row(runs, base, is_compared):
    cell = runs[0]["cell"]
    row = {"cell": cell, "system": runs[0]["system"], "rounds": len(runs)}
    for key, *_ in COLUMNS:
        values = [m[key] for m in runs if m.get(key) is not None]
        row[key] = median(values) if values else None
    row["waited"] = median(m["waited"] for m in runs)
    ratios = [base[cell, m["round"]] / m["iops"] for m in runs
              if is_compared and m.get("iops") and base.get((cell, m["round"]))]
    if ratios:
        row["ratio"] = {"median": median(ratios), "min": min(ratios),
                        "max": max(ratios)}
    return row


def table(rows, baseline):
    """Text.  Rows of a cell stand together."""
    wide = max([len(r["cell"]) for r in rows] + [4])
    lines = [" ".join([f"{'cell':{wide}}", f"{'system':13}"] +
                      [f"{h:>{w}}" for _, h, w, _ in COLUMNS] +
                      [f"{baseline} / this (spread)"])]
    last = ""
    for r in rows:
        name = r["cell"] if r["cell"] != last else ""
        last = r["cell"]
        line = [f"{name:{wide}}", f"{r['system']:13}"]
        for key, _, w, decimals in COLUMNS:
            line.append(f"{'-':>{w}}" if r[key] is None
                        else f"{r[key]:{w}.{decimals}f}")
        if "ratio" in r:
            line.append("{median:.2f} ({min:.2f}-{max:.2f})"
                        .format(**r["ratio"]))
        if r.get("ceiling") and r["iops"] > NEAR * r["ceiling"]:
            line.append(f"! of {r['ceiling']:.0f} that the front-end can show")
        if r["waited"] > SHORT:
            line.append(f"! CPUs were short {r['waited']:.0f}% of the time")
        lines.append(" ".join(line).rstrip())
    return "\n".join(lines)


def group(rows, cells, key):
    """Of each storage: systems in order, and cells with their values."""
    groups = {}
    for r in rows:
        if r.get(key) is None:
            continue
        systems, values = groups.setdefault(cells[r["cell"]].storage, ([], {}))
        if r["system"] not in systems:
            systems.append(r["system"])
        values.setdefault(r["cell"], {})[r["system"]] = r[key]
    return groups


PLOT = """\
set terminal {terminal}
set output '{name}.{kind}'
set title '{title}'
set datafile missing '?'
set style data histograms
set style histogram clustered gap 2
set style fill solid 0.8 border -1
set xtics rotate by -30 noenhanced
set key outside top center horizontal noenhanced
set format y '%.0s%c'
set grid ytics
set logscale y
plot for [i=2:{last}] '{name}.dat' using i:xtic(1) title columnheader(i)
"""
TERMINALS = {"svg": "svg size 1200,600", "png": "png size 1200,600"}
PLOTS = (("iops", "IOPS"), ("p50_us", "p50 latency, us"),
         ("p99_us", "p99 latency, us"), ("cpu_us", "target CPU, us/request"))


def plot(rows, cells, folder):
    """Draws into @folder.  Returns what to say about it."""
    has_gnuplot = shutil.which("gnuplot")
    for key, title in PLOTS:
        for storage, (systems, values) in group(rows, cells, key).items():
            name = f"{key.removesuffix('_us')}-{storage}"
            with open(os.path.join(folder, name + ".dat"), "w") as f:
                print("cell", *systems, file=f)
                for cell, of in values.items():
                    print(cell, *(of.get(s, "?") for s in systems), file=f)
            for kind, terminal in TERMINALS.items() if has_gnuplot else ():
                script = PLOT.format(terminal=terminal, name=name, kind=kind,
                                     title=f"{title}, {storage}",
                                     last=len(systems) + 1)
                done = subprocess.run(["gnuplot"], input=script, text=True,
                                      cwd=folder, stderr=subprocess.PIPE)
                if done.returncode:
                    return f"no plots: {done.stderr.strip()}"
    return "" if has_gnuplot else "skipped: plots: no gnuplot here"


def write(folder, machine, cells, measurements, rows, text):
    with open(os.path.join(folder, "table.txt"), "w") as f:
        f.write(text + "\n")
    with open(os.path.join(folder, "results.json"), "w") as f:
        json.dump({"machine": machine,
                   "cells": [c._asdict() for c in cells.values()],
                   "summary": rows, "measurements": measurements}, f, indent=1)
        f.write("\n")
