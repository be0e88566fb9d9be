"""The conformance cases of the policy, each through funnelctl: text in, text out. No server, no network, no privilege."""
import copy
import json
import pathlib
import subprocess

import pytest

from cluster import BIN

pytestmark = pytest.mark.loopback

DATA = json.loads((pathlib.Path(__file__).parents[1] / "data" / "policy-cases.json").read_text())


def cases(kind):
    found = [c for c in DATA["cases"] if c["kind"] == kind]
    assert found
    return pytest.mark.parametrize("case", found, ids=lambda c: c["id"])


def test_every_kind_is_run():
    ours = {"hujson-parse", "hujson-format", "hujson-patch", "policy-edit", "policy-validate", "nodeattrs-eval"}
    assert {c["kind"] for c in DATA["cases"]} == ours


def ctl(*argv, stdin=b""):
    """Exit code, stdout and stderr as bytes. A crash or a hang is nobody's expectation."""
    done = subprocess.run([BIN / "funnelctl", "policy", *map(str, argv)], input=stdin, capture_output=True, timeout=60)
    assert done.returncode in (0, 1), done
    return done.returncode, done.stdout, done.stderr


def as_bytes(value):
    if isinstance(value, str):
        return value.encode()
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return b"".join(part["text"].encode() * part["count"] for part in value["gen"])


@cases("hujson-parse")
def test_parse(case):
    text, expect = as_bytes(case["input"]), case["expect"]
    for command in "standardize", "minimize":
        code, out, err = ctl(command, "-", stdin=text)
        if expect["result"] == "error":
            assert (code, out) == (1, b"")
            assert err.decode() == f"line {expect['line']}, column {expect['column']}: {expect['message']}\n"
            continue
        assert (code, err) == (0, b"")
        if command == "minimize":
            assert out.decode() == expect["min"]
        else:
            assert out.decode() == expect.get("standard", out.decode())
            assert len(out) == len(text)
            assert [i for i, c in enumerate(out) if c == 10] == [i for i, c in enumerate(text) if c == 10]
            assert ctl("minimize", "-", stdin=out)[1].decode() == expect["min"]


@cases("hujson-format")
def test_format(case):
    code, out, err = ctl("fmt", "-", stdin=as_bytes(case["input"]))
    assert (code, out.decode(), err) == (0, case["expect"]["text"], b"")
    assert ctl("fmt", "-", stdin=out)[1] == out
    assert ctl("fmt", "--check", "-", stdin=out)[:2] == (0, b"")


@cases("hujson-patch")
def test_patch(case, tmp_path):
    doc, patch, expect = tmp_path / "doc", tmp_path / "patch", case["expect"]
    doc.write_bytes(case["input"]["doc"].encode())
    patch.write_bytes(case["input"]["patch"].encode())
    code, out, err = ctl("patch", doc, patch)
    if expect["result"] == "error":
        assert (code, out) == (1, b"") and expect["message"] in err.decode()
        assert ctl("patch", "-w", doc, patch)[0] == 1
    else:
        assert (code, out.decode(), err) == (0, expect["text"], b"")
        if "formatted" in expect:
            assert ctl("patch", "--format", doc, patch)[1].decode() == expect["formatted"]
        assert ctl("patch", "-w", doc, patch)[:2] == (0, b"")
    assert doc.read_bytes().decode() == expect["text"]


@cases("policy-edit")
def test_edit(case):
    text, expect = case["input"]["doc"].encode(), case["expect"]
    code, out, _ = ctl("edit", case["input"]["op"], "-", "--json", stdin=text)
    got = json.loads(out)
    assert (got["result"], got["text"]) == (expect["result"], expect["text"])
    refused = expect["result"] == "refused"
    assert code == refused
    assert not refused or (got["errors"][0]["line"] >= 1 and got["errors"][0]["column"] >= 1)
    code, out, err = ctl("edit", case["input"]["op"], "-", stdin=text)
    assert (code, out.decode()) == ((1, "") if refused else (0, expect["text"]))
    assert not refused or b"line " in err


def facts(tmp_path, tailnet, name="facts"):
    path = tmp_path / name
    path.write_text(json.dumps(tailnet))
    return path


def check(tmp_path, policy, tailnet):
    code, out, _ = ctl("check", "--facts", facts(tmp_path, tailnet), "--json", "-", stdin=policy.encode())
    got = json.loads(out)
    assert code == bool(got["errors"])
    for d in got["errors"] + got["warnings"]:
        assert d["line"] >= 1 and d["column"] >= 1 and d["message"]
    return got


@cases("policy-validate")
def test_validate(case, tmp_path):
    expect = case["expect"]
    got = check(tmp_path, case["input"]["policy"], DATA["fixtures"][case["input"]["tailnet"]])
    if expect["result"] == "error":
        named = [d for d in got["errors"] if (d["code"], d["pointer"]) == (expect["code"], expect["path"])]
        assert named, got["errors"]
        assert expect.get("message", "") in named[0]["message"]
    else:
        assert got["errors"] == []
        warned = {f"{d['code']} {d['pointer']}" for d in got["warnings"]}
        assert set(expect.get("warnings", ())) <= warned


def apply(tailnet, event):
    nodes, op = tailnet["nodes"], event["op"]
    if op == "set-role":
        tailnet["users"][event["user"]] = event["role"]
    elif op == "suspend-user":
        tailnet["suspended"].append(event["user"])
    elif op == "restore-user":
        tailnet["suspended"].remove(event["user"])
    elif op == "add-node":
        nodes[event["node"]] = {k: v for k, v in event.items() if k not in ("op", "node")}
    elif op == "remove-node":
        del nodes[event["node"]]
    elif op == "set-tags":
        nodes[event["node"]]["tags"] = event["tags"]
        nodes[event["node"]].pop("user", None)
    else:
        raise AssertionError(f"no such event: {op}")


def evaluate(tmp_path, policy, tailnet):
    code, out, err = ctl("eval", "-", "--facts", facts(tmp_path, tailnet), "--json", stdin=policy.encode())
    assert code == 0, err
    return json.loads(out)


def state(result, node):
    return result["caps"].get(node, []), result["values"].get(node, {})


@cases("nodeattrs-eval")
def test_evaluate(case, tmp_path):
    given, expect = case["input"], case["expect"]
    tailnet = copy.deepcopy(DATA["fixtures"][given["tailnet"]])
    tailnet["https"] = given.get("https", tailnet["https"])
    before = evaluate(tmp_path, given.get("before", given["policy"]), tailnet)
    old_nodes = set(tailnet["nodes"])
    for event in given.get("events", ()):
        apply(tailnet, event)
    after = evaluate(tmp_path, given["policy"], tailnet)
    assert after["caps"] == expect["caps"]
    for node, values in expect.get("values", {}).items():
        assert {cap: after["values"].get(node, {}).get(cap) for cap in values} == values
    if "changed" in expect:
        nodes = old_nodes | set(tailnet["nodes"])
        assert sorted(n for n in nodes if state(before, n) != state(after, n)) == sorted(expect["changed"])
    warned = {f"{d['code']} {d['pointer']}" for d in check(tmp_path, given["policy"], tailnet)["warnings"]}
    assert set(expect.get("warnings", ())) <= warned
