"""Which plausible wrong edits would the tests notice? `make mutants` says.

Every `[[mutant]]` of the TOML files beside this one is a small edit that would matter: a text that
occurs once in a file, what stands there instead, and the tests meant to notice. Each is applied
alone to a copy of the tree and its tests run there. mutmut and cosmic-ray would make thousands of
random edits, most of them harmless; this list is chosen, each entry a mistake a person could make
where a silent error costs most, and a survivor is a test to write.

A mutant with a `reason` is known to survive, for that reason.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import multiprocessing
import os
import queue
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", ".cache", ".snakemake", ".hypothesis", ".*_cache", "__pycache__"),
    *("results", "*.unfinished", "*.egg-info"),
)
# Imported once, by the server that every run is forked from; nothing of the package itself, and
# nothing that reads its settings from the environment as it is imported (numba).
PRELOAD = [
    *("ase", "lightning", "matplotlib.pyplot", "pandas", "pyarrow.parquet", "pytest"),
    *("rdkit.Chem", "scipy.spatial", "torch"),
]
_TOO_LONG = "took longer than"
VERDICTS = ("killed", "known", "survived", "stale", "broken", "invalid")
GOOD = ("killed", "known")
COLUMNS = ("list", "name", "file", "verdict", "seconds", "detail", "key")


@dataclass
class Mutant:
    """An edit of one file and the tests that are to notice it."""

    list: str
    name: str
    file: str
    old: str
    new: str
    tests: list[str]
    reason: str = ""


@dataclass
class Outcome:
    """What became of a mutant, one of `VERDICTS`; of a killed one `detail` says what noticed."""

    list: str
    name: str
    file: str
    verdict: str
    seconds: float
    detail: str
    key: str


@dataclass
class Copy:
    """A copy of the tree that one mutant at a time is tried in."""

    folder: Path
    scratch: Path = field(init=False)

    def __post_init__(self) -> None:
        self.scratch = self.folder.with_name(self.folder.name + ".scratch")
        self.scratch.mkdir(parents=True)

    @property
    def root(self) -> Path:
        return self.folder / "tree"


def read_lists(folder: Path, names: list[str], only: str) -> list[Mutant]:
    """Return the mutants of the lists `names` (all when empty) whose name matches `only`."""
    paths = sorted(folder.glob("*.toml"))
    unknown = set(names) - {path.stem for path in paths}
    if unknown:
        sys.exit(f"no list {', '.join(sorted(unknown))} in {folder}")
    mutants = []
    for path in paths:
        if names and path.stem not in names:
            continue
        for number, entry in enumerate(tomllib.loads(path.read_text("utf-8"))["mutant"], start=1):
            try:
                mutants.append(Mutant(path.stem, **entry))
            except TypeError as error:
                sys.exit(f"{path}, mutant {number}: {error}")
    return [mutant for mutant in mutants if re.search(only, f"{mutant.list}: {mutant.name}")]


def tree_hash(root: Path) -> str:
    """Return what changes with any file that a run may read."""
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "mutants" not in p.parts):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key_of(mutant: Mutant, tree: str) -> str:
    """Return what names a mutant in a state of the tree."""
    return hashlib.sha256(f"{tree}{asdict(mutant)}".encode()).hexdigest()[:16]


def _session(root: str, arguments: list[str], output: str, caches: str) -> None:
    """Run pytest in a forked process: its exit status becomes the process's."""
    os.setsid()  # a hanging run is ended with all it has started
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(root)
    source = str(Path(root) / "src")
    os.environ.update(
        PYTHONPATH=source, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1", XDG_CACHE_HOME=caches,
        # Numba tells a changed function by its own file alone, not by those it calls.
        NUMBA_CACHE_DIR=f"{caches}/numba",
        COLUMNS="300",  # or the lines that say what noticed are cut
    )  # fmt: skip
    sys.dont_write_bytecode = True
    sys.path.insert(0, source)
    import pytest

    sys.exit(int(pytest.main(["-p", "no:cacheprovider", "--rootdir", root, *arguments])))


class Runner:
    """Runs pytest in copies of a tree, each in a process forked from one with the imports done."""

    def __init__(
        self, root: Path, scratch: Path, jobs: int, limit: float, preload: list[str]
    ) -> None:
        self.limit = limit
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(preload)
        self.copies: queue.Queue[Copy] = queue.Queue()
        for number in range(jobs):
            copy = Copy(scratch / f"worker{number}")
            shutil.copytree(root, copy.root, ignore=LEFT_OUT, symlinks=True)
            if (root.parent / "shared").exists():
                (copy.folder / "shared").symlink_to(root.parent / "shared")
            self.copies.put(copy)

    def pytest(self, copy: Copy, arguments: list[str], caches: Path) -> tuple[int | None, str]:
        """Return the exit status, None when it took too long, and the output."""
        output = copy.scratch / "output.txt"
        target = (str(copy.root), ["--color=no", *arguments], str(output), str(caches))
        process = self.context.Process(target=_session, args=target)
        process.start()
        process.join(self.limit)
        status = process.exitcode
        if status is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        text = output.read_text("utf-8", errors="replace") if output.exists() else ""
        return status, text

    def check(self, tests: list[str]) -> dict[str, str]:
        """Return why tests of one file fail on the tree as it is, `{test: reason}`."""
        copy = self.copies.get()
        bad: dict[str, str] = {}
        try:
            while left := [test for test in tests if test not in bad]:
                arguments = [*left, "-rfE", "--tb=line"]
                status, text = self.pytest(copy, arguments, copy.scratch / "cache")
                missing = set(re.findall(r"^ERROR: not found: (.+)$", text, re.MULTILINE))
                failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
                for test in left:
                    if any(name.endswith(test) for name in missing):
                        bad[test] = "no such test"
                    elif any(f"{name}".startswith(test) for name in failed):
                        bad[test] = "fails without the edit"
                if status is None:
                    return bad | dict.fromkeys(left, f"{_TOO_LONG} {self.limit:.0f} s")
                if status == 0:
                    break
                if not any(test in bad for test in left):
                    return bad | dict.fromkeys(left, f"pytest ended with {status}: {text[-300:]}")
        finally:
            self.copies.put(copy)
        return bad

    def try_out(self, mutant: Mutant) -> tuple[str, str]:
        """Return the verdict on a mutant, and its detail."""
        copy = self.copies.get()
        target = copy.root / mutant.file
        try:
            content = target.read_text("utf-8") if target.exists() else ""
            if content.count(mutant.old) != 1:
                return "stale", f"'old' occurs {content.count(mutant.old)} times"
            edited = content.replace(mutant.old, mutant.new)
            if edited == content:
                return "invalid", "'new' is 'old'"
            if target.suffix == ".py":
                try:
                    compile(edited, mutant.file, "exec")
                except SyntaxError as error:
                    return "invalid", f"the edit is no Python: {error}"
            caches = copy.scratch / "cache"
            if "numba" in content or "_loops" in mutant.file:
                caches = Path(tempfile.mkdtemp(dir=copy.scratch))
            before = target.stat()
            target.write_text(edited, "utf-8")
            try:
                status, text = self.pytest(copy, ["-x", "-rfE", "--tb=line", *mutant.tests], caches)
            finally:
                target.write_text(content, "utf-8")
                os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            self.copies.put(copy)
        if status is None:
            return "killed", f"{_TOO_LONG} {self.limit:.0f} s"
        if status == 1:
            seen = re.search(r"^(?:FAILED|ERROR) .*", text, re.MULTILINE)
            return "killed", " ".join(seen[0].split())[:300] if seen else ""
        if status == 0:
            return ("known", mutant.reason) if mutant.reason else ("survived", "")
        return "invalid", f"pytest ended with {status}: {' '.join(text[-300:].split())}"


def in_parallel(jobs: int, work, items: list) -> None:
    """Call `work` on every item, some at a time."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def serve() -> None:
        while True:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            work(item)

    threads = [threading.Thread(target=serve) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def broken_tests(runner: Runner, mutants: list[Mutant], jobs: int) -> dict[str, str]:
    """Return the named tests that do not pass on the tree as it is, and why."""
    by_file: dict[str, set[str]] = defaultdict(set)
    for mutant in mutants:
        for test in mutant.tests:
            by_file[test.split("::")[0]].add(test)
    bad: dict[str, str] = {}
    in_parallel(jobs, lambda tests: bad.update(runner.check(sorted(tests))), [*by_file.values()])
    return bad


def write(outcomes: list[Outcome], target: Path) -> None:
    """Write `target`.csv, and `target`.md with counts and what was not killed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(outcome) for outcome in outcomes)
    target.with_suffix(".md").write_text(table(outcomes), encoding="utf-8")


def table(outcomes: list[Outcome]) -> str:
    """Return counts by list and a row for each mutant that was not killed, as Markdown."""
    lines = [f"| list | {' | '.join(VERDICTS)} |", "|---|" + "--:|" * len(VERDICTS)]
    groups = {
        name: [o for o in outcomes if o.list == name] for name in sorted({o.list for o in outcomes})
    }
    for name, own in {**groups, "all": outcomes}.items():
        counts = Counter(outcome.verdict for outcome in own)
        lines.append(f"| {name} | {' | '.join(str(counts[v]) for v in VERDICTS)} |")
    left = [o for o in outcomes if o.verdict != "killed" or o.detail.startswith(_TOO_LONG)]
    if left:
        lines += ["", "| verdict | list | mutant | file | why |", "|---|---|---|---|---|"]
        lines += [
            f"| {o.verdict} | {o.list} | {o.name} | {o.file} | {o.detail.replace('|', '/')} |"
            for o in sorted(left, key=lambda o: (o.verdict, o.list))
        ]
    return "\n".join(lines) + "\n"


def earlier(path: Path) -> dict[str, Outcome]:
    """Return the outcomes of an earlier run by key."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    found = [Outcome(**{**row, "seconds": float(row["seconds"])}) for row in rows]
    return {outcome.key: outcome for outcome in found}


def main() -> int:
    """Try the mutants and return 0 when all are killed or known to survive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the tree")
    parser.add_argument("--lists", type=Path, help="folder of *.toml (tests/mutants of the tree)")
    parser.add_argument("--file", nargs="*", default=[], metavar="LIST", help="these lists alone")
    parser.add_argument("--only", default="", help="pattern of 'list: name'")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of one mutant (300)")
    parser.add_argument("--out", type=Path, help="where .csv and .md go (results/mutants)")
    parser.add_argument("--preload", nargs="*", default=PRELOAD, help="what all runs import")
    parser.add_argument("--again", action="store_true", help="also those of an earlier run")
    args = parser.parse_args()
    root = args.root.resolve()
    lists = args.lists or root / "tests/mutants"
    out = args.out or root / "results/mutants"
    mutants = read_lists(lists, [Path(name).stem for name in args.file], args.only)
    if not mutants:
        sys.exit("no mutant chosen")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants.") as scratch:
        jobs = max(1, min(args.jobs, len(mutants)))
        runner = Runner(root, Path(scratch), jobs, args.limit, args.preload)
        tree = tree_hash(Path(scratch) / "worker0/tree")
        # Nothing of the tree has changed since: what was found then holds.
        known = {} if args.again else earlier(out.with_suffix(".csv"))
        outcomes = {key: known[key] for m in mutants if (key := key_of(m, tree)) in known}
        waiting = [mutant for mutant in mutants if key_of(mutant, tree) not in outcomes]
        bad = broken_tests(runner, waiting, jobs)
        for test, why in sorted(bad.items()):
            print(f"{test}: {why}", flush=True)
        lock = threading.Lock()

        def work(mutant: Mutant) -> None:
            begin = time.monotonic()
            broken = [f"{test}: {bad[test]}" for test in mutant.tests if test in bad]
            verdict, detail = ("broken", "; ".join(broken)) if broken else runner.try_out(mutant)
            if not mutant.tests:
                verdict, detail = "invalid", "no tests named"
            seconds = round(time.monotonic() - begin, 1)
            key = key_of(mutant, tree)
            with lock:
                outcomes[key] = Outcome(
                    mutant.list, mutant.name, mutant.file, verdict, seconds, detail, key
                )
                print(f"{verdict:<9}{seconds:>6.1f} s  {mutant.list}: {mutant.name}", flush=True)
                write(list(outcomes.values()), out)

        in_parallel(jobs, work, waiting)
    found = list(outcomes.values())
    write(found, out)
    print(
        f"\n{table(found)}\n{len(found)} mutants in {time.monotonic() - started:.0f} s; {out}.csv"
    )
    return int(any(outcome.verdict not in GOOD for outcome in found))


if __name__ == "__main__":
    sys.exit(main())
