# SPDX-License-Identifier: BSD-2-Clause
"""What the programs here know of the machine and of its processes."""
import datetime
import os
import platform
import sys


def read(path):
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return ""


def siblings(cpu):
    """All CPUs of the same core."""
    text = read(f"/sys/devices/system/cpu/cpu{cpu}/topology/"
                "thread_siblings_list")
    found = set()
    for part in text.split(",") if text else [str(cpu)]:
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def choose_cpus(given):
    """For target and front-end: two cores, if there are two."""
    if given:
        return given
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("needs two CPUs")
    for cpu in allowed[1:]:
        if cpu not in siblings(allowed[0]):
            return [allowed[0], cpu]
    return allowed[:2]


def waited_us():
    """For how long somebody waited for a CPU, since boot."""
    for line in read("/proc/pressure/cpu").splitlines():
        if line.startswith("some"):
            return int(line.rpartition("=")[2])
    return 0


def pressure_now():
    """The share of the last ten seconds, per cent, or None."""
    for line in read("/proc/pressure/cpu").splitlines():
        if line.startswith("some"):
            return float(line.split("avg10=")[1].split()[0])
    return None


def describe(target_cpu, front_cpu):
    info = [line.partition(":") for line in
            read("/proc/cpuinfo").splitlines()]
    keys = {k.strip(): v.strip() for k, _, v in info}
    governor = read(f"/sys/devices/system/cpu/cpu{target_cpu}/cpufreq/"
                    "scaling_governor")
    pressure = pressure_now()
    load = os.getloadavg()[0]
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "kernel": platform.release(),
        "cpu": keys.get("model name", platform.machine()),
        "virtual": "hypervisor" in keys.get("flags", "").split(),
        "cpus": os.cpu_count(),
        "governor": governor or "unknown",
        "target_cpu": target_cpu,
        "front_end_cpu": front_cpu,
        "one_core": front_cpu in siblings(target_cpu),
        "load": load,
        "pressure": pressure,
        "quiet": load < 0.5 and (pressure or 0) < 1,
    }


def print_description(m):
    print(f"{m['date']}: {m['command']}")
    print(f"{m['cpu']}, {m['cpus']} CPUs"
          f"{', virtual' if m['virtual'] else ''}, governor {m['governor']}, "
          f"kernel {m['kernel']}")
    print(f"target on CPU {m['target_cpu']}, front-end on CPU "
          f"{m['front_end_cpu']}{', of one core!' if m['one_core'] else ''}")
    pressure = "unknown" if m["pressure"] is None else f"{m['pressure']}%"
    print(f"the machine is {'quiet' if m['quiet'] else 'NOT QUIET'}: "
          f"load {m['load']:.2f}, CPU pressure {pressure}", flush=True)


def cpu_ns(pid):
    """What all threads of a process have run, with their kernel part."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        words = read(f"/proc/{pid}/task/{task}/schedstat").split()
        total += int(words[0]) if words else 0
    return total


def status_of(path, key):
    """A number of a process or thread, or None."""
    for line in read(path + "/status").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return None


def sleeps(pid):
    """How often a thread of a process went to sleep, of its own will."""
    return sum(status_of(f"/proc/{pid}/task/{task}",
                         "voluntary_ctxt_switches") or 0
               for task in os.listdir(f"/proc/{pid}/task"))


def rss_anon_mib(pid):
    kib = status_of(f"/proc/{pid}", "RssAnon")
    return None if kib is None else kib / 1024
