# SPDX-License-Identifier: BSD-2-Clause
"""Shared code of the guest harness: cpio archives, library lookup, and the
part of a run that QEMU and user-mode Linux have in common (what goes into the
guest, the control channel, the exit status).

Nothing here is a program; see guest-build, guest-run, uml-run.
"""
import base64
import ctypes
import io
import json
import os
import re
import selectors
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("VGUEST_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
    "vringd-guest")

# Exit statuses of guest-run and uml-run besides the script's own.
RC_TIMEOUT = 124      # the time given with --timeout ran out
RC_HARNESS = 125      # the client could not be started, or a wrong argument
RC_CRASH = 126        # the guest ended without reporting a status (panic...)


def log(msg):
    print("vguest: " + msg, file=sys.stderr, flush=True)


# --- cpio ("newc") -------------------------------------------------------

class Cpio:
    """Writes an initramfs archive; makes parent directories as needed."""

    def __init__(self):
        self.out = io.BytesIO()
        self.ino = 0
        self.seen = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        name_b = name.encode() + b"\0"
        head = b"070701" + b"".join(b"%08X" % v for v in (
            self.ino, mode, 0, 0, 1, 0, len(data), 0, 0,
            rdev[0], rdev[1], len(name_b), 0))
        self.out.write(head + name_b)
        self._pad()
        self.out.write(data)
        self._pad()

    def _pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def dir(self, path):
        path = path.strip("/")
        if not path or path in self.seen:
            return
        self.dir(os.path.dirname(path))
        self.seen.add(path)
        self._entry(path, stat.S_IFDIR | 0o755)

    def data(self, path, data, mode=0o644):
        path = path.strip("/")
        if path in self.seen:
            return
        self.dir(os.path.dirname(path))
        self.seen.add(path)
        if isinstance(data, str):
            data = data.encode()
        self._entry(path, stat.S_IFREG | mode, data)

    def file(self, path, source):
        with open(source, "rb") as f:
            self.data(path, f.read(), stat.S_IMODE(os.stat(source).st_mode))

    def tree(self, path, source):
        if not os.path.isdir(source):
            self.file(path, source)
            return
        self.dir(path)
        for base, _, files in os.walk(source):
            rel = os.path.relpath(base, source)
            for name in files:
                self.file(os.path.normpath(os.path.join(path, rel, name)),
                          os.path.join(base, name))

    def link(self, path, target):
        path = path.strip("/")
        if path in self.seen:
            return
        self.dir(os.path.dirname(path))
        self.seen.add(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def node(self, path, kind, major, minor):
        path = path.strip("/")
        self.dir(os.path.dirname(path))
        self._entry(path, kind | 0o600, rdev=(major, minor))

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        self.out.write(b"\0" * (-self.out.tell() % 512))
        return self.out.getvalue()


def shared_libs(binary, libpath=None):
    """The shared libraries (and the loader) that a program needs, as a list
    of (path to be used in the guest, path here)."""
    env = dict(os.environ)
    if libpath:
        env["LD_LIBRARY_PATH"] = libpath
    out = subprocess.run(["ldd", binary], capture_output=True, text=True,
                         env=env).stdout
    libs = []
    for line in out.splitlines():
        m = re.match(r"\s*(?:\S+ => )?(/\S+) \(0x", line)
        if m:
            path = m.group(1)
            guest = path
            if libpath and path.startswith(tuple(libpath.split(":"))):
                guest = "/usr/lib/x86_64-linux-gnu/" + os.path.basename(path)
            libs.append((guest, path))
        elif "not found" in line:
            raise SystemExit("vguest: %s: %s" % (binary, line.strip()))
    return libs


def add_binary(cpio, guest_path, source, libpath=None):
    cpio.data(guest_path, open(os.path.realpath(source), "rb").read(), 0o755)
    for guest, path in shared_libs(source, libpath):
        cpio.data(guest, open(os.path.realpath(path), "rb").read(), 0o755)


# --- what a run puts into the guest ---------------------------------------

def common_arguments(p):
    """Arguments that guest-run and uml-run share."""
    p.add_argument("--mem", default="512M", metavar="SIZE",
                   help="guest memory (default 512M); for QEMU also "
                        "SIZE,slots=N,maxmem=SIZE")
    p.add_argument("--timeout", type=float, default=300, metavar="SECONDS",
                   help="give up after this long, exit %d (default 300)"
                        % RC_TIMEOUT)
    p.add_argument("--script", metavar="FILE",
                   help="a shell script to run, instead of commands after --")
    p.add_argument("--shell", default="/bin/sh",
                   help="what runs it in the guest: /bin/sh (dash, default) "
                        "or /bin/bash")
    p.add_argument("--put", action="append", default=[],
                   metavar="HOST:GUEST", help="copy a file or folder in")
    p.add_argument("--bin", action="append", default=[], metavar="PROGRAM",
                   help="copy a program with its shared libraries into "
                        "/usr/local/bin of the guest")
    p.add_argument("--get", action="append", default=[],
                   metavar="GUEST:HOST",
                   help="copy a guest file out when the script has ended")
    p.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                   help="set a variable for the script")
    p.add_argument("--on", action="append", default=[],
                   metavar="NAME=COMMAND",
                   help="let the script run COMMAND on this machine with "
                        "'host NAME [ARG...]': its output and exit status "
                        "come back to the guest")
    p.add_argument("--modules", default="", metavar="M1,M2",
                   help="kernel modules to load before the script")
    p.add_argument("--tools", default="", metavar="G1,G2",
                   help="groups of programs to put in besides those whose "
                        "names stand in the script: util, e2fs, dm, nvme, "
                        "sg, fio, mod-extra, all")
    p.add_argument("--console", metavar="FILE",
                   help="keep the kernel's console output there")
    p.add_argument("--append", default="", metavar="WORDS",
                   help="more words for the kernel command line")
    p.add_argument("--verbose", "-v", action="store_true",
                   help="say what is started and how long each part took")
    p.add_argument("--dry-run", action="store_true",
                   help="print the client's command line and stop")


def split_command(argv):
    """Splits at the first '--': the harness's arguments, the guest's."""
    if "--" in argv:
        i = argv.index("--")
        return argv[:i], argv[i + 1:]
    return argv, []


def guest_script(args, commands):
    if args.script:
        with open(args.script) as f:
            return f.read()
    if not commands:
        raise SystemExit("vguest: no commands: give them after -- or with "
                         "--script")
    return commands[0] if len(commands) == 1 else shlex.join(commands)


def archives(args, script, first):
    """The archives this script needs: the first ones, and those whose
    programs or modules it names."""
    with open(asset("groups.json")) as f:
        words = json.load(f)
    text = " ".join([script, args.shell, args.modules.replace(",", " ")])
    for item in args.put:
        source = item.split(":", 1)[0]
        if os.path.isfile(source) and os.path.getsize(source) < 1 << 20:
            with open(source, "rb") as f:
                text += " " + f.read().decode("latin-1")
    names = list(first)
    for word in re.findall(r"[\w.-]+", text):
        for group in words.get(word, ()):
            if group not in names:
                names.append(group)
    for group in args.tools.split(","):
        if group == "all":
            names += sorted({g for gs in words.values() for g in gs}
                            - set(names))
        elif group and group not in names:
            names.append(group)
    return [asset(n + ".cpio") for n in names]


def overlay(args, script, settings, modules):
    """The cpio archive of this run: the script, its settings, its files."""
    c = Cpio()
    for path, source in (("init", "guest-init"),
                         ("usr/local/bin/host", "guest-host")):
        with open(os.path.join(HERE, source), "rb") as f:
            c.data(path, f.read(), 0o755)
    c.data("/run/vguest/script", script + "\n", 0o755)
    env = dict(settings)
    env["VGUEST_SHELL"] = args.shell
    for item in args.env:
        name, _, value = item.partition("=")
        env[name] = value
    c.data("/run/vguest/env", "".join(
        "export %s=%s\n" % (k, shlex.quote(v)) for k, v in env.items()))
    c.data("/run/vguest/modules", " ".join(modules) + "\n")
    c.data("/run/vguest/get", "".join(
        g.split(":", 1)[0] + "\n" for g in args.get))
    for item in args.put:
        source, _, path = item.partition(":")
        c.tree(path or "/root/" + os.path.basename(source), source)
    for program in args.bin:
        add_binary(c, "/usr/local/bin/" + os.path.basename(program), program)
    return c.bytes()


def asset(name, hint="run guest-build first"):
    path = os.path.join(CACHE, name)
    if not os.path.exists(path):
        raise SystemExit("vguest: no %s (%s)" % (path, hint))
    return path


def write_initrd(parts, last):
    """Initramfs archives are simply put one after the other. Returns the
    descriptor of a memory file."""
    fd = os.memfd_create("initrd", 0)
    for part in parts:
        with open(part, "rb") as f:
            left = os.fstat(f.fileno()).st_size
            while left:
                left -= os.sendfile(fd, f.fileno(), None, left)
    while last:
        last = last[os.write(fd, last):]
    return fd


def show_tail(path, lines=25):
    """The end of the console, for a guest that died: from the first line that
    tells of a crash, if there is one."""
    try:
        with open(path, "rb") as f:
            text = f.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return
    crash = [n for n, l in enumerate(text)
             if re.search(r"Kernel panic|BUG:|Oops|sysrq:", l)]
    start = crash[0] if crash else max(0, len(text) - lines)
    for line in text[start:start + 3 * lines]:
        print("console: " + line.rstrip(), file=sys.stderr)


# --- the control channel -------------------------------------------------

class Session:
    """Talks to /init in the guest over one stream and runs until the guest's
    process ends.

    Lines from the guest:  START | EXIT rc | GET path, base64 lines, GETEND |
    HOST name args.  Lines to the guest: 'OUT text' ..., 'RC n'.
    """

    def __init__(self, args, proc, control, output):
        self.args = args
        self.proc = proc
        self.control = control          # socket
        self.output = output            # socket: script's stdout and stderr
        self.qmp = None
        self.t0 = time.monotonic()
        self.t_start = None
        self.t_exit = None
        self.rc = None
        self.buf = b""
        self.getting = None
        self.get_data = []
        self.sink = sys.stdout.buffer
        self.hosts = {}
        for item in args.on:
            name, sep, command = item.partition("=")
            if not sep:
                raise SystemExit("vguest: --on wants NAME=COMMAND")
            self.hosts[name] = command

    def attach(self, proc, control, output):
        """Watches this process and these streams from now on."""
        self.proc, self.control, self.output = proc, control, output
        for s, kind in ((control, "control"), (output, "output")):
            s.setblocking(False)
            self.sel.register(s, selectors.EVENT_READ, kind)

    def run(self):
        """Returns the exit status for the harness."""
        sel = self.sel = selectors.DefaultSelector()
        self.attach(self.proc, self.control, self.output)
        while True:
            left = self.t0 + self.args.timeout - time.monotonic()
            if left <= 0:
                log("timeout after %g s" % self.args.timeout)
                self.stop()
                return RC_TIMEOUT
            if not sel.get_map():
                break
            events = sel.select(min(left, 0.5))
            for key, _ in events:
                try:
                    data = key.fileobj.recv(65536)
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    data = b""
                except OSError:         # closed by a migration
                    continue
                if not data:
                    sel.unregister(key.fileobj)
                elif key.data == "output":
                    self.sink.write(data)
                    self.sink.flush()
                else:
                    self.feed(data)
            if not events and self.proc.poll() is not None:
                break
        try:
            self.proc.wait(self.left())
        except subprocess.TimeoutExpired:
            log("the client did not end")
            self.stop()
            return RC_TIMEOUT
        if self.rc is None:
            return RC_CRASH if self.t_start else RC_HARNESS
        return self.rc

    def left(self):
        return max(1, self.t0 + self.args.timeout - time.monotonic())

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()

    def feed(self, data):
        self.buf += data
        while b"\n" in self.buf:
            line, self.buf = self.buf.split(b"\n", 1)
            self.line(line.decode("utf-8", "replace").rstrip("\r"))

    def line(self, line):
        if self.getting is not None:
            if line == "GETEND":
                self.save(self.getting, "".join(self.get_data))
                self.getting = None
            else:
                self.get_data.append(line)
            return
        word, _, rest = line.partition(" ")
        if word == "START":
            self.t_start = time.monotonic()
        elif word == "EXIT":
            self.t_exit = time.monotonic()
            self.rc = int(rest)
        elif word == "GET":
            self.getting, self.get_data = rest, []
        elif word == "HOST":
            self.host(rest)

    def save(self, path, text):
        for item in self.args.get:
            guest, _, host = item.partition(":")
            if guest == path:
                with open(host or os.path.basename(path), "wb") as f:
                    f.write(base64.b64decode(text))

    def host(self, request):
        try:
            words = shlex.split(request)
        except ValueError:
            words = ["?"]
        name, rest = words[0], words[1:]
        if name == "qmp" and self.qmp:
            try:
                out = json.dumps(self.qmp.raw(" ".join(rest)))
                rc = 0
            except (OSError, ValueError, QmpError) as e:
                out, rc = str(e), 1
        elif name in self.hosts:
            # A file, not a pipe: what the command leaves in the background
            # must not hold up the answer.
            with tempfile.TemporaryFile() as f:
                try:
                    rc = subprocess.run(
                        ["bash", "-c", self.hosts[name], name] + rest,
                        stdin=subprocess.DEVNULL, stdout=f,
                        stderr=subprocess.STDOUT,
                        timeout=self.left()).returncode
                except subprocess.TimeoutExpired:
                    rc = RC_TIMEOUT
                f.seek(0)
                out = f.read().decode("utf-8", "replace")
        else:
            out, rc = "no --on %s= given" % name, 127
        reply = "".join("OUT %s\n" % l for l in out.splitlines())
        self.control.setblocking(True)
        self.control.sendall((reply + "RC %d\n" % rc).encode())
        self.control.setblocking(False)

    def report(self):
        if not self.args.verbose:
            return
        end = time.monotonic()
        if self.t_start:
            log("boot to script %.2f s" % (self.t_start - self.t0))
            log("script %.2f s, end %.2f s" % (
                (self.t_exit or end) - self.t_start,
                end - (self.t_exit or end)))


class QmpError(Exception):
    pass


class Qmp:
    """A minimal QMP client (QEMU and qemu-storage-daemon)."""

    def __init__(self, path, wait=10):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(wait)      # for every answer, too
        end = time.monotonic() + wait
        while True:
            try:
                self.sock.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.file = self.sock.makefile("rw")
        self.events = []
        self._read()
        self.cmd("qmp_capabilities")

    def _read(self):
        line = self.file.readline()
        if not line:
            raise QmpError("connection closed")
        return json.loads(line)

    def raw(self, text):
        """Sends one command given as JSON text or as a bare name."""
        text = text.strip()
        msg = json.loads(text) if text.startswith("{") else {"execute": text}
        self.file.write(json.dumps(msg) + "\n")
        self.file.flush()
        while True:
            reply = self._read()
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise QmpError(reply["error"].get("desc", str(reply)))
            elif "return" in reply:
                return reply["return"]

    def cmd(self, name, **arguments):
        msg = {"execute": name}
        if arguments:
            msg["arguments"] = arguments
        return self.raw(json.dumps(msg))


def end_cleanly():
    """Makes SIGTERM run the 'finally' parts."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def die_with_parent():
    """For preexec_fn: the client must not outlive the harness."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)     # PR_SET_PDEATHSIG
