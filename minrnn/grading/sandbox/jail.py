"""The jail: what a process gives up before it runs a submission. Called once, by the child, on itself.

Layers, each of which may be refused by the machine and is then reported: resource limits (POSIX), user, network and
IPC namespaces, Landlock (files, TCP, signals), a seccomp filter of system calls (x86-64 and aarch64). All of it goes
through ctypes; no privilege is needed and none can be got back. The user is changed before; wall-clock time and printed
output are watched by the parent. The child gets this file as source, so it stands on the standard library alone.
"""

import ctypes
import math
import os
import platform
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

LAYERS = ("rlimits", "namespaces", "landlock", "seccomp")

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET, CLONE_THREAD = 0x08000000, 0x10000000, 0x40000000, 0x00010000
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every architecture
LANDLOCK_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # ABI: number of file rights it knows
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION_3 = 0x20080522

# Audit architecture, and the number from which calls belong to the x32 ABI (0: there is none).
ARCHITECTURES = {"x86_64": (0xC000003E, 0x40000000), "aarch64": (0xC00000B7, 0)}

# Denied with EPERM: name, number on x86-64, number on aarch64 (-1: absent there).
DENIED = """
socket 41 198, socketpair 53 199, connect 42 203, accept 43 202, accept4 288 242, bind 49 200, listen 50 201,
sendto 44 206, sendmsg 46 211, sendmmsg 307 269,
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440, kcmp 312 272,
execve 59 221, execveat 322 281, fork 57 -1, vfork 58 -1, setsid 112 157, setpgid 109 154,
kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240,
pidfd_send_signal 424 424, pidfd_open 434 434, pidfd_getfd 438 438,
inotify_init 253 -1, inotify_init1 294 26, inotify_add_watch 254 27, fanotify_init 300 262,
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, fsopen 430 430, open_tree 428 428, move_mount 429 429,
unshare 272 97, setns 308 268, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, memfd_create 319 279,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427,
keyctl 250 219, add_key 248 217, request_key 249 218, open_by_handle_at 304 265,
setrlimit 160 164, prlimit64 302 261, init_module 175 105, finit_module 313 273, kexec_load 246 104, reboot 169 142,
chmod 90 -1, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -1, lchown 94 -1, fchown 93 55, fchownat 260 54,
utime 132 -1, utimes 235 -1, futimesat 261 -1, utimensat 280 88, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7,
removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, truncate 76 45, ftruncate 77 46, creat 85 -1,
unlink 87 -1, unlinkat 263 35, rename 82 -1, renameat 264 38, renameat2 316 276, mkdir 83 -1, mkdirat 258 34,
rmdir 84 -1, link 86 -1, linkat 265 37, symlink 88 -1, symlinkat 266 36, mknod 133 -1, mknodat 259 33,
shmget 29 194, shmat 30 196, msgget 68 186, semget 64 190, mq_open 240 180,
setpriority 141 140, ioprio_set 251 30, sched_setaffinity 203 122, sched_setscheduler 144 119, sched_setparam 142 118,
sched_setattr 314 274, migrate_pages 256 238, move_pages 279 239
"""
# Denied for some values of an argument: name, numbers as above, the argument's place, the values. A file that is owned
# by another process sends it signals, and no kill() is asked for; and nothing is to outlive the grader.
DENIED_ARGUMENTS = (
    ("fcntl", 72, 25, 1, (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX
    ("prctl", 157, 167, 0, (PR_SET_PDEATHSIG,)),
)
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
EPERM, ENOSYS = 1, 38


class Unavailable(OSError):
    """A layer that this machine does not have or does not permit."""


def apply(wanted: list[str], limits: dict[str, int], readable: Iterable[tuple[str, int]]) -> dict:
    """Applies the wanted layers in the order that permits all of them; gives layers, landlock_abi and notes.

    limits: cpu_s and memory_mib. readable: see readable_paths; they are listed before the user is changed.
    """
    report: dict = {"layers": dict.fromkeys(LAYERS, "off"), "landlock_abi": None, "notes": []}
    steps = {
        "namespaces": enter_namespaces,
        "rlimits": lambda: set_limits(limits["cpu_s"], limits["memory_mib"]),
        "landlock": lambda: report.update(landlock_abi=restrict_files(readable)),
        "seccomp": filter_calls,
    }
    for layer, step in steps.items():
        if layer in wanted:
            try:
                step()
                report["layers"][layer] = "on"
            except OSError as error:
                report["layers"][layer] = "unavailable"
                report["notes"].append(f"{layer}: {error}")
    return report


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when the thread that started it ends; leaves at once if it already has."""
    if sys.platform == "linux":
        _checked(_libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def set_limits(cpu_s: int, memory_mib: int) -> None:
    """Resource limits: CPU seconds from now, address space, no file content, no processes (but root's), no core."""
    import resource  # noqa: PLC0415  (the grader imports this module on systems that have no `resource`)

    memory = memory_mib << 20
    cpu_end = math.ceil(time.process_time()) + cpu_s
    refused = []
    for name, soft, hard in (
        ("CPU", cpu_end, cpu_end + 1),
        ("AS", memory, memory),
        ("FSIZE", 0, 0),
        ("NOFILE", 64, 64),
        ("CORE", 0, 0),
        ("STACK", 8 << 20, 8 << 20),
        ("NPROC", 0, 0),
    ):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))
        except (ValueError, AttributeError):  # the system allows less already, or knows no such limit
            refused.append(name)
    if refused:
        raise Unavailable(f"{', '.join(refused)} cannot be limited; the other limits hold")


def enter_namespaces() -> None:
    """An empty network and IPC namespace, in a user namespace; privileges are given up, even if that is refused."""
    if sys.platform != "linux":
        raise Unavailable("namespaces exist on Linux only")
    try:
        _checked(_libc().unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC), "unshare")
    finally:
        number = CAPSET.get(platform.machine())
        if number is not None:
            header, empty = struct.pack("<Ii", CAPABILITY_VERSION_3, 0), bytes(24)
            _checked(_libc().syscall(number, header, empty), "capset")


# Landlock


def restrict_files(readable: Iterable[tuple[str, int]]) -> int:
    """From now on only the given (path, rights) are reachable, no TCP, no signals outward. Gives the ABI."""
    if sys.platform != "linux":
        raise Unavailable("Landlock exists on Linux only")
    libc = _libc()
    abi = _checked(libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1), "Landlock")
    handled = (1 << LANDLOCK_BITS.get(abi, 16)) - 1
    network, scoped = (3 if abi >= 4 else 0), (3 if abi >= 6 else 0)
    attribute = struct.pack("<QQQ", handled, network, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    size = ctypes.c_size_t(len(attribute))
    rules = _checked(libc.syscall(LANDLOCK_CREATE_RULESET, attribute, size, 0), "landlock_create_ruleset")
    try:
        for path, rights in readable:
            _allow(libc, rules, path, rights)
        _forbid_new_privileges(libc)
        _checked(libc.syscall(LANDLOCK_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
    finally:
        os.close(rules)
    return abi


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what cannot be opened needs no permission
        return
    try:
        attribute = struct.pack("<Qi", rights, beneath)
        _checked(libc.syscall(LANDLOCK_ADD_RULE, rules, 1, attribute, 0), f"landlock_add_rule({path})")
    finally:
        os.close(beneath)


def readable_paths(packages: list[str]) -> Iterator[tuple[str, int]]:
    """(path, rights): the standard library, the folders of the loaded shared libraries, the given packages, devices.

    Installed packages among them are left out, for the grader may be one.
    """
    for folder in {os.path.dirname(os.__file__), *_library_folders()}:
        yield from _without_packages(folder)
    for path in packages:
        yield path, READ_FILE | READ_DIR
    yield "/etc/ld.so.cache", READ_FILE
    yield "/dev/urandom", READ_FILE
    yield "/dev/null", READ_FILE | WRITE_FILE


def _without_packages(folder: str) -> Iterator[tuple[str, int]]:
    """A folder as one rule; or, where it holds site-packages or a whole Python, its other entries one by one."""
    entries = list(os.scandir(folder))
    others = [e for e in entries if not e.name.endswith("-packages") and not e.name.startswith("python")]
    if len(others) == len(entries):
        yield folder, READ_FILE | READ_DIR
        return
    yield folder, READ_DIR  # the import system lists it
    for entry in others:
        yield entry.path, READ_FILE | READ_DIR if entry.is_dir() else READ_FILE


def _library_folders() -> set[str]:
    """Folders of the shared libraries that are loaded now."""
    paths = (line.split(maxsplit=5)[5:] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines())
    return {os.path.dirname(path[0]) for path in paths if path and ".so" in path[0]}


# seccomp


def filter_calls() -> None:
    """Loads the filter of `filter_program` for this process, for good."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ARCHITECTURES:
        raise Unavailable(f"there is no filter for {sys.platform} on {machine}")
    program = filter_program(machine)
    libc = _libc()
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    _forbid_new_privileges(libc)
    _checked(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0), "prctl(PR_SET_SECCOMP)")


def filter_program(machine: str) -> bytes:
    """The BPF program: foreign ABIs are killed, DENIED gets EPERM, clone is for threads only, the rest is allowed."""
    audit, x32 = ARCHITECTURES[machine]
    column = 1 + (machine == "aarch64")
    denied = sorted(n for n in (int(row.split()[column]) for row in DENIED.split(",")) if n >= 0)
    load, equal, at_least, bit, give = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF opcodes: LD|W|ABS, JEQ, JGE, JSET, RET
    nr, arch, arguments = 0, 4, 16  # offsets in struct seccomp_data; of an argument the low half counts
    kill, allow = (give, 0, 0, 0x80000000), (give, 0, 0, 0x7FFF0000)
    eperm, enosys = ((give, 0, 0, 0x00050000 | errno) for errno in (EPERM, ENOSYS))

    # Jumps (if true, if false) are counted from the next instruction.
    program = [(load, 0, 0, arch), (equal, 1, 0, audit), kill, (load, 0, 0, nr)]
    if x32:
        program += [(at_least, 0, 1, x32), kill]
    program += [(equal, 0, 1, CLONE3), enosys]
    program += [(equal, 0, 4, CLONE[machine]), (load, 0, 0, arguments), (bit, 0, 1, CLONE_THREAD), allow, eperm]
    for _, *numbers, place, values in DENIED_ARGUMENTS:
        count = len(values)
        program += [(equal, 0, count + 3, numbers[column - 1]), (load, 0, 0, arguments + 8 * place)]
        program += [(equal, count - k, 0, value) for k, value in enumerate(values)]
        program += [allow, eperm]
    program += [(equal, len(denied) - k, 0, number) for k, number in enumerate(denied)]
    program += [allow, eperm]
    return b"".join(struct.pack("=HBBI", *row) for row in program)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _forbid_new_privileges(libc: ctypes.CDLL) -> None:
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise Unavailable(number, f"{what}: {os.strerror(number)}")
    return result
