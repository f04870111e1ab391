#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run every test and count each one: the cmocka programs and scripts that meson knows, clang-format, the
end-to-end tests, and whether anything was left behind. Who sees the end of the output alone sees what failed and
what was skipped, each with its reason; the last line is the result."""
import concurrent.futures
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.environ["SLUICE_BUILD"]
SKIPPED = 77  # a program's exit status that says so; its last line says why
AT_ONCE = 4  # programs that do not look at the time; they wait for the kernel half of theirs
LISTED = 40  # lines that say again at the end what did not pass
LINE = 300  # characters of one of them


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.others = []  # a line for each that did not pass

    def add(self, name, result, detail="", seconds=None, why=""):
        """@detail: all that is known of a failure. @why: a line of it, or why it was skipped."""
        took = f" ({seconds:.1f} s)" if seconds is not None else ""
        because = f": {' '.join(why.split())}" if why else ""
        setattr(self, result, getattr(self, result) + 1)
        if result != "passed" or seconds is not None:
            print(f"{result:8}{name}{took}{because if result == 'skipped' else ''}", flush=True)
        if result == "failed" and detail:
            print("    " + detail.rstrip().replace("\n", "\n    "), flush=True)
        if result != "passed":
            self.others.append(f"{result:8}{name}{because}"[:LINE])

    def take(self, part):
        """What another counted, and printed, is counted here."""
        self.passed, self.failed, self.skipped = (self.passed + part.passed, self.failed + part.failed,
                                                  self.skipped + part.skipped)
        self.others += part.others

    def tell_others(self):
        """Failures first: they are what must not be cut off."""
        told = sorted(self.others, key=lambda line: line[:8])
        for line in told[:LISTED]:
            print(line, flush=True)
        if len(told) > LISTED:
            print(f"and {len(told) - LISTED} more", flush=True)


def why_failed(text, test=""):
    """What a program's output says of the failure of one of its tests, or of its own."""
    if test:
        said = re.search(rf"^\[ RUN +\] {test}$(.*?)^\[  FAILED  \] {test}$", text, re.M | re.S)
        lines = re.findall(r"^\[ +(?:ERROR|LINE) +\] (?:--- )?(.+)$", said.group(1), re.M) if said else []
        return "; ".join(lines[:4])
    worst = re.search(r"^.*(?:Sanitizer: |error: |Assertion .* failed).*$", text, re.M)
    return worst.group(0) if worst else (text.strip().splitlines() or ["it said nothing"])[-1]


def count_program(count, name, done, seconds):
    """A cmocka program counts each of its tests; anything else counts as one."""
    text = done.stdout
    ok = re.findall(r"^\[ +OK \] (\S+)$", text, re.M)
    bad = sorted(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] (\S+)$", text, re.M)))
    for test in ok:
        count.add(f"{name}: {test}", "passed")
    for test in skipped:
        count.add(f"{name}: {test}", "skipped", why="said so itself")
    for test in bad:
        count.add(f"{name}: {test}", "failed", why=why_failed(text, test))
    if done.returncode == SKIPPED and not bad:
        count.add(name, "skipped", why=text.strip().splitlines()[-1] if text.strip() else "no reason given")
    elif done.returncode != 0 or bad:
        if not bad:  # a crash, a leak, a time-out
            count.add(name, "failed", why=f"status {done.returncode}: {why_failed(text)}")
        print("    " + "\n    ".join(text.splitlines()[-40:]), flush=True)
    elif not ok:
        count.add(name, "passed")
    print(f"{len(ok):4} passed  {name} ({seconds:.1f} s)", flush=True)


def run_program(test):
    began = time.monotonic()
    try:
        done = subprocess.run(test["cmd"], env={**os.environ, **test["env"]}, text=True,
                              errors="replace", cwd=test["workdir"] or ROOT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=180)
    except subprocess.TimeoutExpired as late:
        done = subprocess.CompletedProcess(test["cmd"], 1,
                                           f"{(late.stdout or b'').decode(errors='replace')}\nnot ended after 180 s")
    return test["name"], done, time.monotonic() - began


def run_programs(count):
    """Those that look at the time (is_parallel: false) run alone, after the others."""
    tests = json.loads(subprocess.run(["meson", "introspect", "--tests", BUILD], check=True,
                                      stdout=subprocess.PIPE, text=True).stdout)
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, text=True, check=True,
                           stdout=subprocess.PIPE).stdout.split()
    assert files, "git knows no C files"
    tests.insert(0, {"name": "clang-format", "cmd": ["clang-format", "--dry-run", "--Werror", *files], "env": {},
                     "workdir": ROOT, "is_parallel": True})
    for at_once, some in ((AT_ONCE, [test for test in tests if test["is_parallel"]]),
                          (1, [test for test in tests if not test["is_parallel"]])):
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for name, done, seconds in pool.map(run_program, some):
                count_program(count, name, done, seconds)


def traces():
    """What must be the same afterwards: mounts, names of namespaces, interfaces, pins, processes of ours."""
    def lines(*command):
        return sorted(subprocess.run(command, text=True, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL).stdout.splitlines())
    return {
        "mounts": [line.split()[4] for line in open("/proc/self/mountinfo")],
        "namespaces": lines("ip", "netns", "list"),
        "interfaces": [line.split()[0] for line in lines("ip", "-br", "link")],
        "pins": lines("find", "/sys/fs/bpf"),
        "processes": lines("pgrep", "-x", "sluiced|sluice-.*|keepalived|dovecot|nginx|master|bird|zebra|bgpd|bfdd"),
        "xdp": lines("/usr/sbin/bpftool", "-j", "net", "show"),
    }


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # is ignored in what a shell starts with &
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.environ["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1"
    count = Count()
    began = time.monotonic()
    before = traces()
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    if not pattern:
        run_programs(count)
    sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
    import e2e
    e2e.run(count, pattern)
    time.sleep(0.5)
    after = traces()
    left = {what: [x for x in after[what] if x not in before[what]] for what in after}
    left = {what: more for what, more in left.items() if more}
    count.add("nothing is left behind", "failed" if left else "passed", str(left), why=str(left))
    count.tell_others()
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{count.passed} passed, {count.failed} failed" +
          (f", {count.skipped} skipped" if count.skipped else ""), flush=True)
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
