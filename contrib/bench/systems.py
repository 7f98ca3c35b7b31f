# SPDX-License-Identifier: BSD-2-Clause
"""What contrib/bench/run measures: systems, and the storage they serve.

A system is started anew for each measurement, on the target's CPU, so that
none waits, polls or holds a file while another is measured.
"""
import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time

MIB = 1 << 20
NULL_SIZE = 1 << 40
MEM_SIZE = 64 * MIB
ZRAM_SIZE_MAX = 256 * MIB
START_S = 20
STOP_S = 20


class Trouble(Exception):
    """Something cannot be measured, and why."""


def output(*command):
    """What a command prints, in one line."""
    try:
        done = subprocess.run(command, check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as e:
        raise Trouble(f"{command[0]}: {e.strerror}") from e
    except subprocess.CalledProcessError as e:
        lines = e.stdout.strip().splitlines() or [f"status {e.returncode}"]
        raise Trouble(f"{command[0]}: {lines[-1]}") from e
    return (done.stdout.strip().splitlines() or [""])[0]


def version_of(*command):
    return output(*command, "--version")


class Process:
    """A program of ours on one CPU, which ends with us however we end."""

    def __init__(self, command, cpu, log, stdout=None):
        self.log = log
        with open(log, "wb") as err:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(cpu),
                 *command], stdin=subprocess.DEVNULL, stderr=err,
                stdout=stdout or err)
        self.pid = self.popen.pid

    def ended(self):
        return self.popen.poll() is not None

    def why(self):
        with open(self.log, errors="replace") as f:
            return (f.read().strip().splitlines() or ["no reason given"])[-1]

    def stop(self):
        if not self.ended():
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def spinner(cpu, folder):
    """Takes all that it gets of a CPU, until it is stopped."""
    return Process(["sh", "-c", "while :; do :; done"], cpu,
                   os.path.join(folder, "spinner.log"))


def listening():
    """The paths of all sockets that accept connections."""
    with open("/proc/net/unix") as f:
        rows = [line.split() for line in f]
    return {r[7] for r in rows if len(r) > 7 and r[3] == "00010000"}


def fill(path, size):
    """With random data, which no layer can make smaller or leave out."""
    with open(path, "wb") as f:
        for _ in range(size // MIB):
            f.write(os.urandom(MIB))
        f.flush()
        os.fsync(f.fileno())
    return path


# --- storage ---------------------------------------------------------------

class Storage:
    """Files and devices, made when the first cell needs them."""

    def __init__(self, folder, size):
        self.folder = folder
        self.size = size
        self.paths = {}
        self.undo = []

    def path(self, kind):
        """Of "file", "loop" or "zram"; for "mem", of a file in tmpfs."""
        if kind not in self.paths:
            try:
                self.paths[kind] = getattr(self, "_make_" + kind)()
            except (OSError, Trouble) as e:
                self.paths[kind] = Trouble(f"{kind}: {e}")
        if isinstance(self.paths[kind], Trouble):
            raise self.paths[kind]
        return self.paths[kind]

    def remove(self):
        while self.undo:
            try:
                self.undo.pop()()
            except (OSError, Trouble) as e:
                print(f"not removed: {e}", flush=True)

    def _make_file(self, name="file"):
        path = os.path.join(self.folder, name)
        self.undo.append(lambda: os.unlink(path))
        return fill(path, self.size)

    def _make_mem(self):
        path = f"/dev/shm/vringd-bench.{os.getpid()}"
        self.undo.append(lambda: os.unlink(path))
        return fill(path, MEM_SIZE)

    def _make_loop(self):
        if os.geteuid():
            raise Trouble("only root can make one")
        path = output("losetup", "--find", "--show", "--direct-io=on",
                      self._make_file("loop"))
        self.undo.append(lambda: output("losetup", "--detach", path))
        return path

    def _make_zram(self):
        control = "/sys/class/zram-control"
        if os.geteuid():
            raise Trouble("only root can make one")
        if not os.path.isdir(control):
            subprocess.run(["modprobe", "-q", "zram"], check=False)
        if not os.path.isdir(control):
            raise Trouble("not in this kernel")
        with open(f"{control}/hot_add") as f:
            number = int(f.read())
        self.undo.append(lambda: self._write(f"{control}/hot_remove", number))
        size = min(self.size, ZRAM_SIZE_MAX)
        self._write(f"/sys/block/zram{number}/disksize", size)
        return fill(f"/dev/zram{number}", size)

    @staticmethod
    def _write(path, value):
        with open(path, "w") as f:
            f.write(str(value))


# --- systems ---------------------------------------------------------------

class System:
    """A target's program.  @why_not tells why a cell is left out, or ""."""

    name = ""

    def __init__(self, bench):
        self.bench = bench
        self.serial = itertools.count()
        self.version = self.find()

    def find(self):
        """Its version; raises Trouble when it is not installed."""
        raise NotImplementedError

    def why_not(self, cell):
        return ""

    def command(self, cell, sock):
        raise NotImplementedError

    def prepare(self, cell, sock):
        """What is left to do when the program runs."""

    def start(self, cell):
        """Returns the process and the socket, which is ready."""
        sock = os.path.join(self.bench.folder,
                            f"{self.name}{next(self.serial)}.sock")
        process = Process(self.command(cell, sock), self.bench.target_cpu,
                          os.path.join(self.bench.folder, self.name + ".log"))
        try:
            self.prepare(cell, sock)
            end = time.monotonic() + START_S
            while sock not in listening():
                if process.ended() or time.monotonic() > end:
                    raise Trouble(f"{self.name}: {process.why()}")
                time.sleep(0.01)
        except BaseException:
            process.stop()
            raise
        return process, sock


class Vringd(System):
    """Ours, with a key more of the target and of the whole configuration."""

    def __init__(self, bench, name, path, key="", root_key=""):
        self.name = name
        self.path = path
        self.key = key
        self.root_key = root_key
        super().__init__(bench)

    def find(self):
        return version_of(self.path)

    def backend(self, cell):
        if cell.storage == "null":
            return f"{{kind: null, size: {NULL_SIZE}}}"
        if cell.storage == "mem":
            return f"{{kind: mem, size: {MEM_SIZE}}}"
        return json.dumps({"path": self.bench.storage.path(cell.storage),
                           "direct": "on"})

    def command(self, cell, sock):
        config = os.path.join(self.bench.folder, self.name + ".yaml")
        with open(config, "w") as f:
            f.write(f"""\
control: {{path: {sock}.control}}
cpus: [{self.bench.target_cpu}]
{self.root_key}
targets:
  - name: disk
    socket: {sock}
    queues: {cell.queues}
    packed: {"on" if cell.ring == "packed" else "off"}
    backend: {self.backend(cell)}
    {self.key}
""")
        return [self.path, "-c", config]


class QemuStorageDaemon(System):
    """The one that comes with QEMU, in its main loop or an iothread."""

    program = "qemu-storage-daemon"

    def __init__(self, bench, iothread):
        self.name = "qsd-iothread" if iothread else "qsd"
        self.iothread = iothread
        super().__init__(bench)

    def find(self):
        return version_of(self.program)

    def why_not(self, cell):
        return "" if cell.ring == "split" else "no packed rings"

    def blockdev(self, cell):
        if cell.storage == "null":
            return f"driver=null-co,read-zeroes=off,size={NULL_SIZE}"
        path = self.bench.storage.path(cell.storage)
        if cell.storage == "mem":
            return f"driver=file,aio=io_uring,filename={path}"
        driver = "file" if cell.storage == "file" else "host_device"
        return (f"driver={driver},aio=io_uring,cache.direct=on,"
                f"filename={path}")

    def command(self, cell, sock):
        export = ("type=vhost-user-blk,id=disk,node-name=disk,writable=on,"
                  f"num-queues={cell.queues},"
                  f"addr.type=unix,addr.path={sock}")
        objects = []
        if self.iothread:
            objects = ["--object", "iothread,id=io0"]
            export += ",iothread=io0"
        return [self.program, *objects, "--blockdev",
                "node-name=disk," + self.blockdev(cell), "--export", export]


class Spdk(System):
    """SPDK's vhost target.  @command_line may have arguments (--no-huge)."""

    name = "spdk"

    def __init__(self, bench, command_line):
        self.line = shlex.split(command_line)
        super().__init__(bench)

    def find(self):
        return version_of(self.line[0])

    def command(self, cell, sock):
        return [*self.line, "-m", f"[{self.bench.target_cpu}]",
                "-S", os.path.dirname(sock), "-r", sock + ".rpc"]

    def ask(self, rpc, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method,
                   "params": params}
        rpc.sendall(json.dumps(request).encode())
        reply = b""
        while True:
            got = rpc.recv(65536)
            if not got:
                raise Trouble(f"spdk: no answer to {method}")
            reply += got
            try:
                answer = json.loads(reply)
            except ValueError:
                continue
            if "error" in answer:
                raise Trouble(f"spdk: {method}: {answer['error']['message']}")
            return

    def prepare(self, cell, sock):
        end = time.monotonic() + START_S
        while sock + ".rpc" not in listening():
            if time.monotonic() > end:
                raise Trouble("spdk: does not listen")
            time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as rpc:
            rpc.connect(sock + ".rpc")
            if cell.storage == "null":
                self.ask(rpc, "bdev_null_create", name="disk", block_size=512,
                         num_blocks=NULL_SIZE // 512)
            elif cell.storage == "mem":
                self.ask(rpc, "bdev_malloc_create", name="disk",
                         block_size=512, num_blocks=MEM_SIZE // 512)
            else:
                path = self.bench.storage.path(cell.storage)
                self.ask(rpc, "bdev_uring_create", name="disk", filename=path,
                         block_size=512)
            self.ask(rpc, "vhost_create_blk_controller",
                     ctrlr=os.path.basename(sock), dev_name="disk",
                     packed_ring=cell.ring == "packed")


class Stub(System):
    """Answers at once: the front-end's own ceiling."""

    name = "stub"

    def find(self):
        if not os.access(self.bench.stub, os.X_OK):
            raise Trouble(f"no {self.bench.stub} was built")
        return "bench-stub"

    def why_not(self, cell):
        if cell.storage != "null" or cell.rw == "idle":
            return "needs no storage, so cells over null show it"
        return ""

    def command(self, cell, sock):
        return [self.bench.stub, sock]


class Fio(System):
    """io_uring on the same storage without a guest: the target's ceiling.

    It has no socket.  Where a front-end polls, something spins on that one's
    CPU, so that what its heat, clock and sibling cost is the same for both.
    """

    name = "fio"

    def find(self):
        return version_of("fio")

    def why_not(self, cell):
        if cell.storage in ("null", "mem") or cell.rw == "idle":
            return "needs a file and a load"
        return "" if cell.ring == "split" else "has no rings"

    def command(self, cell, seconds):
        # A ring as ours: with a registered file, and fio does the rest.
        return ["fio", "--name=cell", "--ioengine=io_uring", "--direct=1",
                "--registerfiles=1",
                "--filename=" + self.bench.storage.path(cell.storage),
                f"--rw={cell.rw}", f"--bs={cell.bs}", f"--iodepth={cell.depth}",
                f"--numjobs={cell.queues}", "--group_reporting",
                "--unified_rw_reporting=1", "--time_based", "--ramp_time=200ms",
                f"--runtime={int(seconds * 1000)}ms", "--norandommap",
                "--randrepeat=0", "--percentile_list=50:99:99.9",
                "--output-format=json"]

    def run(self, cell, seconds):
        """Measures, and returns what vringbench --json would."""
        spin = None
        folder = self.bench.folder
        if cell.mode == "poll":
            spin = spinner(self.bench.front_cpu, folder)
        try:
            with open(os.path.join(folder, "fio.json"), "w+") as out:
                fio = Process(self.command(cell, seconds),
                              self.bench.target_cpu,
                              os.path.join(folder, "fio.log"), stdout=out)
                try:
                    status = fio.popen.wait(seconds + START_S)
                finally:
                    fio.stop()
                if status:
                    raise Trouble(f"fio: {fio.why()}")
                out.seek(0)
                text = out.read()
        finally:
            if spin:
                spin.stop()
        # It puts notes before the object.
        job = json.loads(text[text.index("{"):])["jobs"][0]
        return self.translate(job)

    @staticmethod
    def translate(job):
        mixed = job["mixed"]
        at = mixed["clat_ns"]["percentile"]
        busy = (job["usr_cpu"] + job["sys_cpu"]) / 100
        return {
            "requests": mixed["total_ios"],
            "iops": mixed["iops"],
            "errors": job["error"],
            "target_cpu_s": busy * job["job_runtime"] / 1000,
            "lat_us": {"mean": mixed["clat_ns"]["mean"] / 1000,
                       "p50": at["50.000000"] / 1000,
                       "p99": at["99.000000"] / 1000,
                       "p999": at["99.900000"] / 1000},
        }


def all_systems(bench, wanted):
    """Those that are @wanted, which must be there; or if none is, all that are
    installed, and says which not."""
    makers = {
        "vringd": lambda: Vringd(bench, "vringd", bench.vringd),
        "other": lambda: Vringd(bench, "other", bench.other, bench.other_key,
                                bench.other_root_key),
        "qsd": lambda: QemuStorageDaemon(bench, False),
        "qsd-iothread": lambda: QemuStorageDaemon(bench, True),
        "spdk": lambda: Spdk(bench, bench.spdk),
        "stub": lambda: Stub(bench),
        "fio": lambda: Fio(bench),
    }
    given = [name for name in ("other", "spdk") if getattr(bench, name)]
    for name in {"other", "spdk"}.difference(given):
        del makers[name]
    for name in wanted:
        if name not in makers:
            raise SystemExit(f"run: no system {name} here; there are: " +
                             ", ".join(makers))
    found = []
    for name, make in makers.items():
        if wanted and name not in wanted:
            continue
        try:
            found.append(make())
        except Trouble as e:
            if name in (*wanted, *given):
                raise SystemExit(f"run: {name}: {e}") from e
            print(f"skipped: {name}: {e}", flush=True)
    return found


def tools_missing():
    """Programs without which nothing can be started."""
    return [t for t in ("setpriv", "taskset") if not shutil.which(t)]
