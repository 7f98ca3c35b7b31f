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
    ("mean_us", "mean us", 8, 1),
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


def per_cpu_s(m):
    """Requests for each second of the target's CPU time, or None."""
    return 1e6 / m["cpu_us"] if m.get("cpu_us") else None


# Of a comparison: key in the rows, what of a measurement is compared.
RATIOS = (
    ("ratio", lambda m: m.get("iops")),
    ("cpu_ratio", per_cpu_s),
)


def ratios(ours, theirs, value):
    """Ours by theirs in each round: the median, the least and the most."""
    at = {m["round"]: value(m) for m in ours}
    found = [at[m["round"]] / value(m) for m in theirs
             if at.get(m["round"]) and value(m)]
    if not found:
        return None
    return {"median": median(found), "min": min(found), "max": max(found)}


def by_cell_and_system(measurements):
    runs_of = {}
    for m in measurements:
        runs_of.setdefault((m["cell"], m["system"]), []).append(m)
    return runs_of


def summarize(measurements, baseline, cells):
    """A row for each cell and system: medians, how many times as many requests
    @baseline served in the same round, also for each second of CPU time, and
    what the front-end can show."""
    runs_of = by_cell_and_system(measurements)
    rows = [summarize_row(runs, runs_of.get((cell, baseline), []))
            for (cell, _), runs in runs_of.items()]
    ceilings = {shape(cells[r["cell"]]): r["iops"] for r in rows
                if r["system"] == "stub"}
    for r in rows:
        if r["iops"] and r["system"] not in ("stub", "fio"):
            r["ceiling"] = ceilings.get(shape(cells[r["cell"]]))
    return rows


def summarize_row(runs, base):
    row = {"cell": runs[0]["cell"], "system": runs[0]["system"],
           "rounds": len(runs)}
    for key, *_ in COLUMNS:
        values = [m[key] for m in runs if m.get(key) is not None]
        row[key] = median(values) if values else None
    row["waited"] = median(m["waited"] for m in runs)
    for key, value in RATIOS:
        found = ratios(base, runs, value) if runs is not base else None
        if found:
            row[key] = found
    return row


def spread(ratio):
    return "{median:.2f} ({min:.2f}-{max:.2f})".format(**ratio) if ratio else ""


def table(rows, baseline):
    """Text.  Rows of a cell stand together."""
    wide = max([len(r["cell"]) for r in rows] + [4])
    lines = [" ".join([f"{'cell':{wide}}", f"{'system':13}"] +
                      [f"{h:>{w}}" for _, h, w, _ in COLUMNS] +
                      [f" {baseline} / this:      for each CPU second:"])]
    last = ""
    for r in rows:
        name = r["cell"] if r["cell"] != last else ""
        last = r["cell"]
        line = [f"{name:{wide}}", f"{r['system']:13}"]
        for key, _, w, decimals in COLUMNS:
            line.append(f"{'-':>{w}}" if r[key] is None
                        else f"{r[key]:{w}.{decimals}f}")
        line += [f" {spread(r.get('ratio')):19}",
                 f"{spread(r.get('cpu_ratio')):19}"]
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


def plot_one(folder, name, title, systems, values, kinds):
    """@values: of each cell those of some systems.  Returns what was wrong."""
    with open(os.path.join(folder, name + ".dat"), "w") as f:
        print("cell", *systems, file=f)
        for cell, of in values.items():
            print(cell, *(of.get(s, "?") for s in systems), file=f)
    for kind in kinds:
        script = PLOT.format(terminal=TERMINALS[kind], name=name, kind=kind,
                             title=title, last=len(systems) + 1)
        done = subprocess.run(["gnuplot"], input=script, text=True, cwd=folder,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode:
            return done.stderr.strip()
    return ""


def plot(rows, cells, folder):
    """Draws into @folder.  Returns what to say about it."""
    has_gnuplot = shutil.which("gnuplot")
    for key, title in PLOTS:
        for storage, (systems, values) in group(rows, cells, key).items():
            wrong = plot_one(folder, f"{key.removesuffix('_us')}-{storage}",
                             f"{title}, {storage}", systems, values,
                             TERMINALS if has_gnuplot else ())
            if wrong:
                return f"no plots: {wrong}"
    return "" if has_gnuplot else "skipped: plots: no gnuplot here"


def write(folder, machine, cells, measurements, rows, judged, text):
    with open(os.path.join(folder, "table.txt"), "w") as f:
        f.write(text + "\n")
    with open(os.path.join(folder, "results.json"), "w") as f:
        json.dump({"machine": machine,
                   "cells": [c._asdict() for c in cells.values()],
                   "summary": rows, "goals": judged,
                   "measurements": measurements}, f, indent=1)
        f.write("\n")
