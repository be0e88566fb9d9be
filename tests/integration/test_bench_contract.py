"""tests/bench/policy/run: medians, goals, peers, and programs that break the contract."""
import json
import pathlib
import subprocess

import pytest

RUN = pathlib.Path(__file__).resolve().parents[1] / "bench/policy/run"


def bench(tmp_path, *scripts, flags=("--json",)):
    argv = [RUN, *flags]
    for i, text in enumerate(scripts):
        program = tmp_path / f"p{i}_bench"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        argv += ["--program", program]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_median_goal_and_peer(tmp_path):
    counting = f"""n=$(cat {tmp_path}/n 2> /dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n
echo '{{"figure":"noisy","value":'$((n == 2 ? 900 : n))',"unit":"ms","goal":"<= 4"}}'"""
    rate = """echo '{"figure":"rate","value":50,"unit":"1/s","goal":">= 100"}'
echo '{"figure":"rate","value":25,"unit":"1/s","peer":"theirs"}'"""
    done = bench(tmp_path, counting, rate)
    assert done.returncode == 1, done.stderr  # the rate's goal is missed
    noisy, rate = json.loads(done.stdout)
    assert noisy == {"figure": "noisy", "value": 3, "unit": "ms", "peer": None, "ratio": 0.75, "goal": "<= 4", "ok": True}
    assert rate == {"figure": "rate", "value": 50, "unit": "1/s", "peer": "theirs", "ratio": 2.0, "goal": ">= 100", "ok": False}


def test_table_is_aligned(tmp_path):
    done = bench(tmp_path, """echo '{"figure":"parse 1 MiB","value":7.25,"unit":"ms","goal":"<= 10"}'""", flags=())
    assert done.returncode == 0
    head, _, row = done.stdout.splitlines()[-3:]
    assert row.split() == ["parse", "1", "MiB", "7.25", "ms", "<=", "10", "goal", "0.72", "ok"]
    assert head.index("unit") == row.index("ms")


@pytest.mark.parametrize("script, why", [
    ("exit 3", "exit 3"),
    ("true", "printed no figure"),
    ("echo slow: 3", "not a JSON line"),
    ("""echo '{"figure":"a","value":true,"unit":"ms"}'""", "value is a number"),
    ("""echo '{"figure":"a","value":1,"unit":"ms","goal":"fast"}'""", "a goal is like"),
    ("""echo '{"figure":"a","value":1,"unit":"ms","peer":"x"}'""", "a peer's figure without ours"),
    ("""echo '{"figure":"a","value":1,"unit":"ms"}'; echo '{"figure":"a","value":2,"unit":"ms"}'""", "printed twice"),
])
def test_a_broken_program_is_named(tmp_path, script, why):
    done = bench(tmp_path, script)
    assert done.returncode == 2 and why in done.stderr
    assert not done.stdout
