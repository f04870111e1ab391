# SPDX-License-Identifier: BSD-2-Clause
"""Runs the end-to-end tests: every function test_* of every test_*.py here.

A file's tests share one site: `site()` makes it, `test_*(site)` use it in the order of the file, and
each leaves it as it found it. When one fails, the logs of the machines are shown, and a new site is made for
the next. Files with BESIDE_OTHERS = True, which wait for most of their time and measure nothing finer than
seconds, run first, two at once; all others have the machine for themselves.
"""
import concurrent.futures
import contextlib
import glob
import importlib
import io
import multiprocessing
import os
import signal
import time
import traceback

from lab.machine import die_with_parent

LIMIT_S = 150  # for one test that has no limit_s of its own
AT_ONCE = 2  # files that bear it


class TooLong(Exception):
    pass


def on_alarm(number, frame):
    raise TooLong("not ended in time")


def tests_of(module):
    found = [(f.__code__.co_firstlineno, name, f) for name, f in vars(module).items()
             if name.startswith("test_") and callable(f)]
    return [(name, f) for _, name, f in sorted(found, key=lambda t: t[0])]


def why_failed(error):
    """In a line: where in the test's file, and what."""
    steps = traceback.extract_tb(error.__traceback__)
    mine = [step for step in steps if os.path.basename(step.filename).startswith("test_")] or steps[-1:]
    at = "".join(f"{os.path.basename(step.filename)}:{step.lineno}: " for step in mine[-1:])
    said = str(error) or (steps[-1].line if steps else "")
    return f"{at}{type(error).__name__}: {said}"


def run_file(count, module, wanted):
    site = None
    for name, test in wanted:
        began = time.monotonic()
        signal.alarm(getattr(test, "limit_s", LIMIT_S))
        try:
            if site is None:
                site = module.site()
            test(site)
            reports = site.sanitizer_reports()
            assert not reports, reports
            count.add(f"{module.__name__}: {name}", "passed", seconds=time.monotonic() - began)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            logs = site.log_text() if site else ""
            count.add(f"{module.__name__}: {name}", "failed", traceback.format_exc() + logs,
                      seconds=time.monotonic() - began, why=why_failed(error))
            if site:
                site.close()
            site = None
        finally:
            signal.alarm(0)
    if site:
        reports = end_well(site)
        count.add(f"{module.__name__}: no sanitizer has anything to say", "failed" if reports else "passed",
                  reports, why=reports)
        site.close()


def end_well(site):
    """Stop the daemons as an operator does, since leaks are told at the end; what the sanitizers have said."""
    for node in site.nodes:
        site.machines[node].kill("^[^ ]*sluiced$", "TERM")
    for node in site.nodes:
        wait_gone(site.machines[node])
    return site.sanitizer_reports()


def wait_gone(machine, limit_s=15):
    end = time.monotonic() + limit_s
    while machine.pids("^[^ ]*sluiced") and time.monotonic() < end:
        time.sleep(0.1)


def worker_begin():
    """It ends with the one that began it, however that ends; its machines do so too."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, on_alarm)


def run_beside(new_count, name, wanted):
    """In a process of its own: what it printed, and its count."""
    count, module = new_count(), importlib.import_module(name)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        run_file(count, module, [(test, getattr(module, test)) for test in wanted])
    return out.getvalue(), count


def run_files_beside(count, files):
    pool = concurrent.futures.ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("fork"), worker_begin)
    try:
        runs = [(module.__name__, pool.submit(run_beside, type(count), module.__name__, [name for name, _ in wanted]))
                for module, wanted in files]
        for name, done in runs:
            try:
                text, part = done.result()
            except concurrent.futures.process.BrokenProcessPool as error:
                count.add(name, "failed", why=f"a process that ran tests died: {error}")
                continue
            print(text, end="", flush=True)
            count.take(part)
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def run(count, pattern=""):
    signal.signal(signal.SIGALRM, on_alarm)
    beside, alone = [], []
    for path in sorted(glob.glob(os.path.join(os.path.dirname(__file__), "test_*.py"))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        wanted = [(name, test) for name, test in tests_of(module)
                  if pattern in f"{module.__name__}: {name}"]
        if wanted:
            (beside if getattr(module, "BESIDE_OTHERS", False) else alone).append((module, wanted))
    if len(beside) > 1:
        run_files_beside(count, beside)
    else:
        alone = beside + alone
    for module, wanted in alone:
        run_file(count, module, wanted)
