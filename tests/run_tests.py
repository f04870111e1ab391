#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run every test and count each one: the cmocka programs and scripts that meson knows, clang-format, the
end-to-end tests, and whether anything was left behind. The last line is the result."""
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


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, name, result, detail="", seconds=None):
        took = f" ({seconds:.1f} s)" if seconds is not None else ""
        setattr(self, result, getattr(self, result) + 1)
        if result != "passed" or seconds is not None:
            print(f"{result:8}{name}{took}{': ' + detail if detail and result == 'skipped' else ''}",
                  flush=True)
        if result == "failed" and detail:
            print("    " + detail.rstrip().replace("\n", "\n    "), flush=True)


def count_program(count, name, done, seconds):
    """A cmocka program counts each of its tests; anything else counts as one."""
    text = done.stdout
    ok = re.findall(r"^\[ +OK \] (\S+)$", text, re.M)
    bad = sorted(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] (\S+)$", text, re.M)))
    for test in ok:
        count.add(f"{name}: {test}", "passed")
    for test in skipped:
        count.add(f"{name}: {test}", "skipped", "said so itself")
    for test in bad:
        count.add(f"{name}: {test}", "failed")
    if done.returncode == SKIPPED and not bad:
        count.add(name, "skipped", text.strip().splitlines()[-1] if text.strip() else "no reason given")
    elif done.returncode != 0 or bad:
        if not bad:  # a crash, a leak, a time-out
            count.add(name, "failed")
        print("    " + "\n    ".join(text.splitlines()[-40:]), flush=True)
    elif not ok:
        count.add(name, "passed")
    print(f"{len(ok):4} passed  {name} ({seconds:.1f} s)", flush=True)


def run_programs(count):
    tests = json.loads(subprocess.run(["meson", "introspect", "--tests", BUILD], check=True,
                                      stdout=subprocess.PIPE, text=True).stdout)
    for test in tests:
        began = time.monotonic()
        try:
            done = subprocess.run(test["cmd"], env={**os.environ, **test["env"]}, text=True,
                                  errors="replace", cwd=test["workdir"] or ROOT,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=180)
        except subprocess.TimeoutExpired as late:
            done = subprocess.CompletedProcess(test["cmd"], 1,
                                               f"{(late.stdout or b'').decode(errors='replace')}\nnot ended after 180 s")
        count_program(count, test["name"], done, time.monotonic() - began)


def run_format(count):
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, text=True,
                           stdout=subprocess.PIPE).stdout.split()
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *files], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    count.add("clang-format", "passed" if files and done.returncode == 0 else "failed",
              done.stdout[:2000])


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
        run_format(count)
    sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
    import e2e
    e2e.run(count, pattern)
    time.sleep(0.5)
    after = traces()
    left = {what: [x for x in after[what] if x not in before[what]] for what in after}
    left = {what: more for what, more in left.items() if more}
    count.add("nothing is left behind", "failed" if left else "passed", str(left))
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{count.passed} passed, {count.failed} failed" +
          (f", {count.skipped} skipped" if count.skipped else ""), flush=True)
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
