"""What every tests/bench/AREA/run shares: programs that print figures as JSON lines, run in turn; medians beside goals and
peers. policy/README.md has the contract of a program.
"""
import argparse
import json
import operator
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOAL = re.compile(r"^(<=|>=|<|>)\s*([0-9][0-9_]*(?:\.[0-9]+)?)$")
MEETS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
RUN_LIMIT = 300  # seconds for one run of one program


class Broken(Exception):
    """What a bench program did against the contract."""


def build(area, only):
    """The area's programs: those in C built with the release preset, those in Python as they are."""
    folder = ROOT / "tests/bench" / area
    in_c = sorted(p.stem for p in folder.glob("*_bench.c") if only in p.stem)
    scripts = sorted(p for p in folder.glob("*_bench.py") if only in p.stem)
    if not in_c and not scripts:
        raise Broken(f"no bench programs (tests/bench/{area}/*_bench.c or .py)")
    targets = ["--target", *in_c] if not scripts else []  # scripts want the servers as well
    for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release", *targets]) + \
            ((["cmake", "--build", "--preset", "release", "--target", *in_c],) if scripts and in_c else ()):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"{' '.join(command)}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return [ROOT / "build/release/bin" / name for name in in_c] + scripts


def parse_goal(text, where):
    match = GOAL.match(text)
    if not match:
        raise Broken(f'{where}: a goal is like "<= 10", not "{text}"')
    return match[1], float(match[2].replace("_", ""))


def parse_line(text, where):
    """One JSON line of a program, checked: {"figure", "value", "unit", "goal"?, "peer"?}."""
    try:
        line = json.loads(text)
    except ValueError as e:
        raise Broken(f"{where}: not a JSON line ({e}): {text[:120]}") from None
    if not isinstance(line, dict) or not isinstance(line.get("figure"), str) or not isinstance(line.get("unit"), str):
        raise Broken(f"{where}: figure and unit are wanted: {text[:120]}")
    if isinstance(line.get("value"), bool) or not isinstance(line.get("value"), (int, float)):
        raise Broken(f"{where}: value is a number: {text[:120]}")
    unknown = set(line) - {"figure", "value", "unit", "goal", "peer"}
    if unknown:
        raise Broken(f"{where}: unknown {', '.join(sorted(unknown))}: {text[:120]}")
    if line.get("goal") is not None:
        parse_goal(line["goal"], where)
    return line


def run_once(program):
    where = program.name
    try:
        done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, timeout=RUN_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Broken(f"{where}: {e}") from None
    if done.returncode:
        raise Broken(f"{where}: exit {done.returncode}\n{done.stderr[-2000:]}")
    lines = [parse_line(t, where) for t in done.stdout.splitlines() if t.strip()]
    if not lines:
        raise Broken(f"{where}: printed no figure")
    return lines


def collect(programs, runs, progress):
    """{(figure, peer): {"unit", "goal", "program", "values"}} in the order of the first run."""
    figures = {}
    for turn in range(runs):
        for program in programs:
            progress(f"run {turn + 1} of {runs}: {program.name}")
            for line in run_once(program):
                key = line["figure"], line.get("peer")
                f = figures.setdefault(
                    key, {"unit": line["unit"], "goal": line.get("goal"), "program": program, "values": []})
                if f["program"] != program or f["unit"] != line["unit"] or f["goal"] != line.get("goal") or \
                        len(f["values"]) != turn:
                    raise Broken(f'{program.name}: figure "{key[0]}" is printed twice, or changed its unit or goal')
                f["values"].append(line["value"])
    for (name, _), f in figures.items():
        if len(f["values"]) != runs:
            raise Broken(f'{f["program"].name}: figure "{name}" was not printed in every run')
    return figures


def judge(figures):
    """The list that --json prints: a peer's value beside ours where there is one, else the goal as the measure."""
    out = []
    peers = {}
    for (name, peer), f in figures.items():
        if peer is not None:
            peers.setdefault(name, []).append((peer, statistics.median(f["values"]), f["unit"]))
    for (name, peer), f in figures.items():
        value = statistics.median(f["values"])
        if peer is not None:
            continue
        goal, ok, ratio = f["goal"], None, None
        if goal is not None:
            op, limit = parse_goal(goal, name)
            ok = MEETS[op](value, limit)
            ratio = value / limit if limit else None
        rows = peers.pop(name, [])
        for their_name, theirs, unit in rows:
            if unit != f["unit"]:
                raise Broken(f'figure "{name}": {f["unit"]} here, {unit} from {their_name}')
            out.append({"figure": name, "value": value, "unit": f["unit"], "peer": their_name,
                        "ratio": value / theirs if theirs else None, "goal": goal, "ok": ok})
        if not rows:
            out.append({"figure": name, "value": value, "unit": f["unit"], "peer": None, "ratio": ratio,
                        "goal": goal, "ok": ok})
    if peers:
        raise Broken(f"a peer's figure without ours: {', '.join(sorted(peers))}")
    return out


def short(number):
    if number is None:
        return ""
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.4g}" if abs(number) < 10000 else f"{number:,.0f}"


def table(results):
    head = ["figure", "value", "unit", "goal", "beside", "ratio", ""]
    rows = [[r["figure"], short(r["value"]), r["unit"], r["goal"] or "", r["peer"] or ("goal" if r["goal"] else ""),
             "" if r["ratio"] is None else f'{r["ratio"]:.2f}',
             {True: "ok", False: "MISSED", None: ""}[r["ok"]]] for r in results]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    right = {1, 5}
    for row in [head, ["-" * w for w in widths], *rows]:
        print("  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip())


def main(area, about):
    args = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--json", action="store_true", help="a list of {figure, value, unit, peer, ratio, goal, ok}")
    args.add_argument("--runs", type=int, default=5, help="runs of each program, at least 5 (default 5)")
    args.add_argument("--only", default="", metavar="TEXT", help="programs whose name contains TEXT")
    args.add_argument("--program", action="append", type=pathlib.Path, metavar="FILE", help="measure FILE; builds nothing")
    o = args.parse_args()
    if o.runs < 5:
        args.error("--runs: a median of fewer than 5 says little")
    progress = (lambda text: print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)) \
        if sys.stderr.isatty() else (lambda text: None)
    try:
        programs = [p.resolve() for p in o.program] if o.program else build(area, o.only)
        results = judge(collect(programs, o.runs, progress))
    except Broken as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    if o.json:
        print(json.dumps(results, indent=1))
    else:
        load = os.getloadavg()[0]
        print(f"medians of {o.runs} interleaved runs, release build, {os.cpu_count()} cores, load {load:.1f}\n")
        table(results)
    return 1 if any(r["ok"] is False for r in results) else 0
