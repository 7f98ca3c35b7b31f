#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
# Mounts a file system with files of 16 MiB, "disk", "disk2" and "disk3", and
# prints where.  From SIGUSR1 to SIGUSR2 it answers nothing that concerns their
# bytes, as a network file system whose server hangs.  It goes with this
# program, which SIGTERM ends.
import ctypes
import os
import select
import signal
import struct
import sys
import tempfile

LOOKUP, GETATTR, OPEN, READ, WRITE, STATFS, INIT = 1, 3, 14, 15, 16, 17, 26
FORGET, INTERRUPT = 2, 36
FSYNC, FALLOCATE = 20, 43
HANGS = (READ, WRITE, FSYNC, FALLOCATE)
QUIET = (18, FSYNC, 25)  # release, fsync, flush: done at once
ENOENT, ENOSYS = 2, 38
MS_NOSUID_NODEV = 6
MNT_DETACH = 2
ROOT = 1
libc = ctypes.CDLL(None, use_errno=True)
SIZE = 16 << 20
NODES = {b"disk": 2, b"disk2": 3, b"disk3": 4}
disks = {node: bytearray(SIZE) for node in NODES.values()}


def mount(where):
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd
    if libc.mount(b"hanging", where.encode(), b"fuse", MS_NOSUID_NODEV,
                  options):
        raise OSError(ctypes.get_errno(), "mount")
    return fd


def attributes(node):
    mode, size = (0o40755, 0) if node == ROOT else (0o100600, SIZE)
    return struct.pack("=6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0,
                       mode, 1, 0, 0, 0, 4096, 0)


def answer(fd, unique, error, body=b""):
    try:
        os.write(fd, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)
    except FileNotFoundError:  # who asked is gone
        pass


def serve(fd, request):
    _, opcode, unique, node = struct.unpack_from("=IIQQ", request)
    body = request[40:]
    if opcode == INIT:
        answer(fd, unique, 0, struct.pack("=IIIIHHII36x", 7, 31, 0, 0, 12, 10,
                                          131072, 1))
    elif opcode == LOOKUP:
        found = NODES.get(body.rstrip(b"\0"))
        if found:
            answer(fd, unique, 0, struct.pack("=4Q2I", found, 0, 0, 0, 0, 0) +
                   attributes(found))
        else:
            answer(fd, unique, ENOENT)
    elif opcode == GETATTR:
        answer(fd, unique, 0, bytes(16) + attributes(node))
    elif opcode == OPEN:
        answer(fd, unique, 0, bytes(16))
    elif opcode == STATFS:
        answer(fd, unique, 0, bytes(80))
    elif opcode == READ:
        offset, size = struct.unpack_from("=8xQI", body)
        answer(fd, unique, 0, bytes(disks[node][offset:offset + size]))
    elif opcode == WRITE:
        offset, size = struct.unpack_from("=8xQI", body)
        disks[node][offset:offset + size] = body[40:40 + size]
        answer(fd, unique, 0, struct.pack("=II", size, 0))
    elif opcode == FALLOCATE:
        offset, size = struct.unpack_from("=8xQQ", body)
        end = min(offset + size, SIZE)
        disks[node][offset:end] = bytes(max(end - offset, 0))
        answer(fd, unique, 0)
    elif opcode not in (FORGET, INTERRUPT):
        answer(fd, unique, 0 if opcode in QUIET else ENOSYS)


def run(fd):
    hangs, held = False, []
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        due = signal.sigtimedwait(SIGNALS, 0)
        if due and due.si_signo == signal.SIGTERM:
            return
        if due:
            hangs = due.si_signo == signal.SIGUSR1
        while not hangs and held:
            serve(fd, held.pop(0))
        if poll.poll(20):
            request = os.read(fd, 1 << 18)
            if hangs and request[4] in HANGS:
                held.append(request)
            else:
                serve(fd, request)


SIGNALS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
folder = tempfile.mkdtemp(prefix="hanging.")
try:
    device = mount(folder)
    print(folder, flush=True)
    run(device)
except OSError as e:
    sys.exit("cannot mount: " + str(e))
finally:
    libc.umount2(folder.encode(), MNT_DETACH)
    os.rmdir(folder)
