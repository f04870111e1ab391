# SPDX-License-Identifier: BSD-2-Clause
"""Machines: processes with their own network, mount, host name and process namespaces.

A machine has the paths of the real one, but a private /etc, /var, /run and /sys/fs/bpf, so that
several can run the same daemons. It has no name outside: when its first process dies, all its
processes, its interfaces and its mounts are gone. That process dies with whoever made the machine,
even by SIGKILL.
"""
import concurrent.futures
import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000

# The first process of a machine: makes what is private (@folders), then becomes another.
INIT = r"""
set -e
hostname "$1"
mount -t tmpfs -o mode=755 tmpfs /run
for dir in $2; do
    mkdir -p /run/.over/$dir/upper /run/.over/$dir/work
    mount -t overlay overlay -o lowerdir=/$dir,upperdir=/run/.over/$dir/upper,workdir=/run/.over/$dir/work /$dir
done
mkdir -p /run/lock /etc/sluice
echo "127.0.0.1 localhost $1" > /etc/hosts
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
"""

# Collects the dead.
REAPER = r"""
exec python3 -c '
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_DFL)
sys.stdout.write("ready\n"); sys.stdout.flush()
while True:
    try:
        os.wait()
    except ChildProcessError:
        signal.sigtimedwait([signal.SIGCHLD], 0.2)
'
"""


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class CommandFailed(Exception):
    pass


PATIENCE_S = 20  # a machine of two CPUs that somebody else uses, too


def wait_until(condition, limit_s, what):
    """Ask until the condition gives something true; what it gave, or an error after the limit. That is no claim of how
    fast something is, and not below PATIENCE_S; within() is one."""
    return within(condition, max(limit_s, PATIENCE_S), what)


def within(condition, limit_s, what):
    """The same, where it must not take longer."""
    end = time.monotonic() + limit_s
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


def at_once(act, *things):
    """Do it with each, in threads; not for Machine.spawn(), whose process would end with its thread."""
    with concurrent.futures.ThreadPoolExecutor(max(len(things), 1)) as pool:
        list(pool.map(act, things))


class Machine:
    """It starts while others do: whoever needs it first waits for it."""

    NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid")
    FOLDERS = "etc var"
    FIRST = REAPER

    def __init__(self, name):
        self.name = name
        self.log_dir = None
        self._pid = self._net_fd = None
        self.outer = subprocess.Popen(
            [*self.before(), "unshare", *self.NAMESPACES, "--fork",
             "--kill-child=SIGKILL", "--mount-proc", "--propagation", "private",
             "sh", "-c", INIT + self.FIRST, "init", name, self.FOLDERS],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent, start_new_session=True)

    @property
    def pid(self):
        if self._pid is None:
            if self.outer.stdout.readline() != "ready\n":
                raise CommandFailed(f"machine {self.name} did not start")
            with open(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children") as f:
                self._pid = int(f.read().split()[0])
        return self._pid

    @property
    def enter(self):
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "-i", "-p", "--"]

    @property
    def net_fd(self):
        if self._net_fd is None:
            self._net_fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return self._net_fd

    def before(self):
        """A command that becomes the one that follows it on its command line."""
        return ()

    def cut_power(self):
        if self.outer.poll() is None:
            self.outer.kill()

    def close(self):
        """The machine loses power, and is gone."""
        self.cut_power()
        self.outer.wait()
        self.outer.stdout.close()
        if self._net_fd is not None:
            os.close(self._net_fd)
            self._net_fd = None
        wait_until(lambda: self._pid is None or not os.path.exists(f"/proc/{self._pid}"), 10, f"{self.name} gone")

    # ---- commands ----

    def run(self, *command, check=True, text=None, timeout=60, env=None):
        """Run to the end; its standard output. A string alone is for the shell."""
        if len(command) == 1:
            command = ("sh", "-c", command[0])
        done = subprocess.run([*self.enter, *command], input=text, text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, **(env or {})})
        if check and done.returncode != 0:
            raise CommandFailed(f"{self.name}: {' '.join(command)}: {done.returncode}\n"
                                f"{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def spawn(self, *command, log, env=None):
        """Start in the background, its output to a file of the lab's log folder."""
        with open(os.path.join(self.log_dir, f"{self.name}-{log}.log"), "ab") as out:
            return subprocess.Popen([*self.enter, *command], stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
                                    start_new_session=True, env={**os.environ, **(env or {})})

    def write(self, path, text, mode=None):
        self.run("sh", "-c", f"mkdir -p $(dirname {path}); cat > {path}", text=text)
        if mode:
            self.run("chmod", mode, path)

    def pids(self, pattern):
        """Process numbers, as the machine has them, whose command line matches."""
        found = self.run("pgrep", "-f", "--", pattern, check=False).stdout.split()
        return [int(pid) for pid in found]

    def kill(self, pattern, signal_name="KILL"):
        pids = self.pids(pattern)
        if pids:  # at once; some may have ended meanwhile
            self.run("kill", f"-{signal_name}", *map(str, pids), check=False)

    # ---- the network, seen from this machine ----

    @contextlib.contextmanager
    def network(self):
        """This thread's new sockets are this machine's."""
        if threading.current_thread() is threading.main_thread():
            own = os.open("/proc/self/ns/net", os.O_RDONLY)
        else:
            own = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        if LIBC.setns(self.net_fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            LIBC.setns(own, CLONE_NEWNET)
            os.close(own)
