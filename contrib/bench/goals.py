# SPDX-License-Identifier: BSD-2-Clause
"""Did vringd reach what contrib/bench/goals has?"""
import collections
import fnmatch
import os
from statistics import median

import report

Goal = collections.namedtuple("Goal", "cell measure system at value")


def read():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "goals")
    goals = []
    with open(path) as f:
        for number, line in enumerate(f, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if len(words) != len(Goal._fields) or \
                    words[3] not in ("least", "most"):
                raise SystemExit(f"{path}:{number}: not a goal")
            goals.append(Goal(*words[:4], float(words[4])))
    return goals


def value_of(measure):
    if measure == "iops_per_cpu":
        return report.per_cpu_s
    return lambda m: m.get(measure)


def figure(ours, theirs, measure):
    """The median, the least and the most, or None."""
    value = value_of(measure)
    if theirs is not None:
        return report.ratios(ours, theirs, value)
    values = [value(m) for m in ours if value(m) is not None]
    if not values:
        return None
    return {"median": median(values), "min": min(values), "max": max(values)}


def judge(goals, measurements, baseline):
    """Of each goal that was measured, with each of its systems."""
    runs_of = report.by_cell_and_system(measurements)
    judged = []
    for goal in goals:
        for (cell, system), runs in runs_of.items():
            if not fnmatch.fnmatch(cell, goal.cell):
                continue
            if goal.system == "-":
                found = system == baseline and figure(runs, None, goal.measure)
            else:
                found = fnmatch.fnmatch(system, goal.system) and \
                    figure(runs_of.get((cell, baseline), []), runs,
                           goal.measure)
            if not found:
                continue
            kept = found["median"] >= goal.value if goal.at == "least" \
                else found["median"] <= goal.value
            judged.append({**goal._asdict(), "cell": cell, "found": found,
                           "system": "" if goal.system == "-" else system,
                           "is_kept": kept})
    return judged


def table(judged):
    """Text."""
    lines = []
    for j in judged:
        what = j["measure"] + (f" / {j['system']}" if j["system"] else "")
        lines.append(f"{'kept  ' if j['is_kept'] else 'MISSED'} "
                     f"{j['cell']:20} {what:27} "
                     f"{report.spread(j['found']):22} "
                     f"at {j['at']} {j['value']:g}")
    return "\n".join(lines)
