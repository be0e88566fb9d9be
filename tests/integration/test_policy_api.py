"""The policy's REST API and what leaves the server after a save (docs/api.md; policy.md sections 3.5, 3.6 and 6)."""
import base64
import hashlib
import json
import threading
import time

import pytest

import control as controllib
from control import OWNER, acl_of

pytestmark = pytest.mark.loopback

ACL = "/api/v2/tailnet/-/acl"
COMMENTED = """// Who may publish.
{
\t"nodeAttrs": [
\t\t{"target": ["autogroup:member"], "attr": ["funnel"]}, // everybody, for now
\t],
}
"""


def entry(*targets, attr="funnel"):
    return json.dumps({"nodeAttrs": [{"target": list(targets), "attr": [attr]}]}) + "\n"


@pytest.fixture(scope="module")
def c(folder):
    control = controllib.Control(folder / "control").configure().start()
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


@pytest.fixture
def owner(c):
    """The owner's key, and a policy that nobody has touched."""
    client = c.owner()
    assert client("PATCH", "/api/v2/tailnet/-/settings", {
        "httpsEnabled": True, "aclsExternallyManagedOn": False, "policyRequireIfMatch": False,
        "policyFormatOnSave": False}).status == 200
    assert client.acl("").status == 200
    return client


def now(client):
    a = client("GET", ACL)
    assert a.status == 200, a
    return a


# ---- reading ----

def test_the_default_policy_is_read_as_it_was_written(owner):
    a = now(owner)
    assert a.headers["Content-Type"] == "application/hujson" and a.text.startswith("//")
    assert len(a.etag) == 64 and set(a.etag) <= set("0123456789abcdef")
    assert "no-transform" in a.headers["Cache-Control"] and a.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept, json_wanted", [
    (None, False), ("*/*", False), ("application/hujson", False), ("application/json", True), ("APPLICATION/JSON", True),
    ("text/html, application/json;q=0.8", True), ("application/json;q=0", False), ("application/*", False),
    ("application/hujson, application/json;q=0.5", False), ("application/json;q=0.3, application/hujson;q=0.2", True)])
def test_json_only_where_it_is_named(owner, accept, json_wanted):
    owner.acl(COMMENTED)
    a = owner("GET", ACL, **({"Accept": accept} if accept else {}))
    if not json_wanted:
        assert a.text == COMMENTED and a.headers["Content-Type"] == "application/hujson"
        return
    assert a.headers["Content-Type"] == "application/json" and "//" not in a.text
    assert a.json["nodeAttrs"][0]["attr"] == ["funnel"]
    assert len(a.raw) == len(COMMENTED.encode())  # blanked out, so that lines and columns stay
    assert [i for i, x in enumerate(a.text) if x == "\n"] == [i for i, x in enumerate(COMMENTED) if x == "\n"]
    assert a.etag == now(owner).etag


@pytest.mark.parametrize("flag", ["1", "true"])
def test_details(owner, flag):
    owner.acl('{"groups": {"group:a": ["nobody@example.com"]}}\n')
    a = owner("GET", f"{ACL}?details={flag}")
    assert set(a.json) >= {"acl", "warnings", "errors"} and a.json["errors"] == []
    assert acl_of(a.json) == now(owner).text and a.etag == now(owner).etag
    assert any("nobody@example.com" in w for w in a.json["warnings"])
    assert owner("GET", f"{ACL}?details=0").text == now(owner).text


def test_not_modified_and_head(owner):
    etag = now(owner).etag
    a = owner("GET", ACL, If_None_Match=f'"{etag}"')
    assert a.status == 304 and a.raw == b"" and a.etag == etag
    assert owner("GET", ACL, If_None_Match=f'"{"0" * 64}"').status == 200
    a = owner("HEAD", ACL)
    assert a.status == 200 and a.raw == b"" and a.etag == etag


def test_tailnet_and_slash(c, owner):
    me = owner("GET", "/api/v2/whoami").json
    for path in (f"/api/v2/tailnet/{me['tailnet']}/acl", ACL + "/", f"/api/v2/tailnet/{me['tailnet']}/acl/?details=1"):
        assert owner("GET", path).status == 200, path
    a = owner("GET", "/api/v2/tailnet/other/acl")
    assert a.status == 404 and a.json["code"] == "tailnet.unknown"


def test_keys_and_roles(c, owner):
    assert controllib.Client(c, "wrong")("GET", ACL).status == 401
    basic = base64.b64encode(f"{owner.key}:".encode()).decode()
    assert owner("GET", ACL, Authorization=f"Basic {basic}").status == 200
    for role, reads, writes in [("admin", 1, 1), ("network-admin", 1, 1), ("it-admin", 1, 0), ("billing-admin", 1, 0),
                                ("auditor", 1, 0), ("member", 0, 0)]:
        who = c.client_of(f"{role}@roles.example.com", role)
        read = [who("GET", ACL), who("POST", f"{ACL}/validate", "{}"), who("GET", f"{ACL}/history"), who("GET", f"{ACL}/diff"),
                who("POST", f"{ACL}/preview?type=user&previewFor={OWNER}", "{}")]
        write = [who.acl("{}\n"), who("POST", f"{ACL}/rollback", {"rev": 1}),
                 who("PATCH", "/api/v2/tailnet/-/settings", {"policyFormatOnSave": False})]
        assert {a.status for a in read} == ({200} if reads else {403}), (role, read)
        assert {a.status for a in write} == ({200} if writes else {403}), (role, write)
        for a in read + write:
            assert a.status == 200 or (a.json["code"] == "role.missing" and a.json["requestId"])


# ---- writing ----

@pytest.mark.parametrize("sent", [COMMENTED, COMMENTED.replace("\n", "\r\n"), '{ "hosts":{"a":"1.2.3.4",}, }\n', "{}\n",
                                  '{"hosts": {"\u00e9t\u00e9": "1.2.3.4"}} // \u2603\n'])
def test_bytes_are_kept(owner, sent):
    a = owner.acl(sent.encode())
    assert a.status == 200 and a.raw == sent.encode()
    assert now(owner).raw == sent.encode() and now(owner).etag == a.etag


def test_a_final_comment_is_closed(owner):
    assert owner.acl("{} // the end").status == 200
    assert now(owner).text == "{} // the end\n"


def test_etag_is_of_the_formatted_text(owner):
    rough = '// kept\n{"hosts":{"a":"1.2.3.4","longer":"1.2.3.5"},\n"groups":{"group:x":[]},}\n'
    first = owner.acl(rough).etag
    assert first != hashlib.sha256(rough.encode()).hexdigest()
    assert owner("PATCH", "/api/v2/tailnet/-/settings", {"policyFormatOnSave": True}).status == 200
    a = owner.acl(rough)
    assert a.status == 200 and a.raw != rough.encode() and "// kept" in a.text
    assert a.etag == first == hashlib.sha256(a.raw).hexdigest()


def test_answer_in_the_form_that_was_asked_for(owner):
    a = owner.acl(COMMENTED, Accept="application/json")
    assert a.status == 200 and a.json["nodeAttrs"]
    a = owner("POST", f"{ACL}?details=1", COMMENTED)
    assert acl_of(a.json) == COMMENTED and a.json["errors"] == []


def test_if_match(owner):
    default = now(owner).etag
    assert owner.acl("{}\n", If_Match='"ts-default"').status == 200
    empty = now(owner).etag
    for tag in ('"ts-default"', "ts-default", f'"{default}"', f'W/"{empty}"', '"nonsense"', f'"{default}", "{"1" * 64}"'):
        a = owner.acl(COMMENTED, If_Match=tag)
        assert a.status == 412, tag
        assert a.json["message"] == "precondition failed, invalid old hash" and a.json["code"] == "policy.changed"
        assert a.json["etag"] == a.etag == empty and a.json["author"] == OWNER and a.json["time"].endswith("Z")
        assert a.json["status"] == 412 and a.json["requestId"]
    assert now(owner).text == "{}\n"
    assert owner.acl(COMMENTED, If_Match=f'"{default}", "{empty}"').status == 200
    assert owner.acl("{}\n", If_Match="*").status == 200
    assert owner.acl("").status == 200  # no header: blindly
    assert now(owner).etag == default
    assert owner.acl("{}\n", If_Match="ts-default").status == 200


def test_if_match_can_be_required(owner):
    assert owner("PATCH", "/api/v2/tailnet/-/settings", {"policyRequireIfMatch": True}).json["policyRequireIfMatch"]
    a = owner.acl("{}\n")
    assert a.status == 428 and a.json["code"] == "policy.if_match_required"
    assert owner.acl("{}\n", If_Match="*").status == 200
    a = owner("POST", f"{ACL}/rollback", {"rev": owner("GET", f"{ACL}/history").json["versions"][1]["rev"]})
    assert a.status == 428


def test_sizes_and_types(owner):
    before = now(owner).text
    pad = "/* " + "x" * (1024 * 1024 - 20) + " */{}\n"
    assert owner.acl(pad).status == 200 and len(now(owner).raw) == len(pad)
    for body in (pad + " " * 40, "// " + "x" * (1024 * 1024 - 3), "[" * (2 * 1024 * 1024)):
        a = owner.acl(body)
        assert a.status == 413 and a.json["message"], len(body)
    for kind in ("application/json", "application/hujson", "text/plain; charset=utf-8", "application/octet-stream",
                 "application/x-www-form-urlencoded"):
        assert owner.acl("{}\n", Content_Type=kind).status == 200, kind
    for kind in ("multipart/form-data; boundary=x", "image/png", "application/xml"):
        assert owner.acl("{}\n", Content_Type=kind).status == 415, kind
    assert owner.acl("{}\n", Content_Encoding="gzip").status == 415
    assert owner.acl(before).status == 200


def test_message_and_history(owner):
    assert owner("POST", f"{ACL}?message=because%20of%20%231", "{}\n").status == 200
    v = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]
    assert v["message"] == "because of #1" and v["author"] == OWNER and v["via"] == "api" and v["current"] is True
    assert v["size"] == 3 and v["etag"] == now(owner).etag and v["created"].endswith("Z")
    assert owner("POST", f"{ACL}?message={'x' * 256}", "{}\n").status == 400
    assert owner("POST", f"{ACL}?message=a%0ab", "{}\n").status == 400


def test_audit_names_both_versions(owner):
    before = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]
    assert owner("POST", f"{ACL}?message=audited", COMMENTED).status == 200
    after = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]
    logs = owner("GET", "/api/v2/tailnet/-/logging/configuration?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z").json["logs"]
    last = [x for x in logs if x["target"].get("property") == "ACL"][-1]
    assert last["actor"]["loginName"] == OWNER
    assert (last["old"]["rev"], last["new"]["rev"]) == (before["rev"], after["rev"])
    assert (last["old"]["etag"], last["new"]["etag"]) == (before["etag"], after["etag"])


# ---- what is wrong ----

def test_all_errors_at_once_in_order(owner):
    before = now(owner).raw
    bad = '{\n\t"nodeAttrs": [\n\t\t{"target": ["tag:none"], "attr": 7},\n\t],\n\t"grups": {},\n}\n'
    a = owner.acl(bad)
    assert a.status == 400 and now(owner).raw == before
    j = a.json
    assert j["code"] == "policy.invalid" and j["message"].startswith("line 3, column ")
    places = [(d["position"]["line"], d["position"]["column"]) for d in j["diagnostics"] if d["severity"] == "error"]
    assert len(places) >= 3 and places == sorted(places)
    assert {"undefined-tag", "type", "unknown-field"} <= {d["code"] for d in j["diagnostics"]}
    assert [d["hint"] for d in j["diagnostics"] if d["code"] == "unknown-field"][0].find("groups") >= 0
    assert j["data"][0]["user"] == "" and len(j["data"][0]["errors"]) == len(places)
    assert all(e.startswith("line ") for e in j["data"][0]["errors"])
    for d in j["diagnostics"]:
        lines = bad.encode().split(b"\n")
        p = d["position"]
        assert p["offset"] == sum(len(x) + 1 for x in lines[:p["line"] - 1]) + p["column"] - 1
        assert d["pointer"].startswith("/")


@pytest.mark.parametrize("body, where", [('{"a": }', "line 1, column 7: "), ("{\n\t// open\n", "line 3, column 1: "),
                                         ("[1, 2", "line 2, column 1: "), ("null", "line 1, column 1: "), ('{"acls": [,]}', "line 1, column 11: ")])
def test_syntax_errors(owner, body, where):
    a = owner.acl(body)
    assert a.status == 400 and a.json["message"].startswith(where)


def test_validate_answers_200(owner):
    before = owner("GET", f"{ACL}/history?limit=1").json
    a = owner("POST", f"{ACL}/validate", COMMENTED)
    assert a.status == 200 and "message" not in a.json and "data" not in a.json
    a = owner("POST", f"{ACL}/validate", "{")
    assert a.status == 200 and a.json["message"].startswith("line ") and a.json["data"]
    a = owner("POST", f"{ACL}/validate", '{"groups": {"group:a": ["nobody@example.com"]}}')
    assert a.status == 200 and "message" not in a.json and "data" not in a.json
    assert [d["severity"] for d in a.json["diagnostics"]] and all(d["severity"] == "warning" for d in a.json["diagnostics"])
    a = owner("POST", f"{ACL}/validate", "")
    assert a.status == 200 and "message" not in a.json
    assert owner("GET", f"{ACL}/history?limit=1").json == before


TESTED = """{
\t"hosts": {"web": "100.64.200.1", "db": "100.64.200.2"},
\t"acls": [{"action": "accept", "src": ["*"], "dst": ["web:443"]}],
\t"tests": [
\t\t{"src": "100.64.200.9", "accept": ["web:443"], "deny": ["db:5432"]},
%s\t],
}
"""


def test_failing_tests_refuse_a_save(owner):
    assert owner.acl(TESTED % "").status == 200
    bad = TESTED % '\t\t{"src": "100.64.200.9", "accept": ["db:5432"]},\n'
    a = owner.acl(bad)
    assert a.status == 400 and a.json["message"] == "test(s) failed" and a.json["code"] == "policy.test_failed"
    assert [d["user"] for d in a.json["data"] if d["errors"]] == ["100.64.200.9"]
    (error,) = a.json["data"][0]["errors"]
    assert error.startswith('address "db:5432": want: Accept, got: Drop')
    d = [d for d in a.json["diagnostics"] if d["code"] == "test-failed"][0]
    assert d["position"]["line"] == 6 and d["pointer"].startswith("/tests/1")
    assert now(owner).text == TESTED % ""
    a = owner("POST", f"{ACL}/validate", bad)
    assert a.status == 200 and a.json["message"] == "test(s) failed"


def test_an_array_is_tests_against_the_policy_in_force(owner):
    assert owner.acl(TESTED % "").status == 200
    good = '[{"src": "100.64.200.9", "accept": ["100.64.200.1:443"]},]'
    a = owner("POST", f"{ACL}/validate", good)
    assert a.status == 200 and "message" not in a.json and "data" not in a.json
    a = owner("POST", f"{ACL}/validate", '// one\n[{"src": "100.64.200.9", "accept": ["100.64.200.2:5432"]}]')
    assert a.status == 200 and a.json["message"] == "test(s) failed"
    assert a.json["data"][0]["user"] == "100.64.200.9"
    assert 'want: Accept, got: Drop' in a.json["data"][0]["errors"][0]


# ---- questions ----

def test_effects_of_a_dry_run(c, owner):
    one, two = c.register("effect-one"), c.register("effect-two")
    assert owner.acl(entry(one.ipv4)).status == 200
    text = json.dumps({"nodeAttrs": [{"target": [two.ipv4], "attr": ["funnel"]}, {"target": [one.ipv4, two.ipv4],
                                                                                    "attr": ["drive:share"]}]})
    before = now(owner).raw
    a = owner("POST", f"{ACL}/validate?effects=1", text)
    assert a.status == 200 and "message" not in a.json and now(owner).raw == before
    e = a.json["effects"]
    assert e["devices"] == 2 and e["changed"] is True and len(e["etag"]) == 64
    assert e["attributes"][0]["name"] == "funnel"
    by_name = {x["name"]: x for x in e["attributes"]}
    f = by_name["funnel"]
    assert (f["gains"], f["losses"]) == (1, 1)
    assert f["gaining"] == [{"nodeId": two.id, "name": two.name}] and f["losing"] == [{"nodeId": one.id, "name": one.name}]
    d = by_name["drive:share"]
    assert (d["gains"], d["losses"]) == (2, 0) and {x["name"] for x in d["gaining"]} == {one.name, two.name}
    e = owner("POST", f"{ACL}/validate?effects=1", entry(one.ipv4) + "// the same\n").json["effects"]
    assert e["devices"] == 0 and e["attributes"] == [] and e["changed"] is True
    assert owner("POST", f"{ACL}/validate?effects=1", entry(one.ipv4)).json["effects"]["changed"] is False


def test_preview(c, owner):
    text = json.dumps({"acls": [{"action": "accept", "src": [OWNER], "dst": ["100.64.200.1:443"]},
                                {"action": "accept", "src": ["other@example.com"], "dst": ["100.64.200.1:22"]}]}, indent=1)
    a = owner("POST", f"{ACL}/preview?type=user&previewFor={OWNER}", text)
    assert a.status == 200 and a.json["type"] == "user" and a.json["previewFor"] == OWNER
    assert [(m["users"], m["ports"]) for m in a.json["matches"]] == [([OWNER], ["100.64.200.1:443"])]
    assert a.json["matches"][0]["lineNumber"] == 3
    a = owner("POST", f"{ACL}/preview?type=ipport&previewFor=100.64.200.1:22", text)
    assert [m["users"] for m in a.json["matches"]] == [["other@example.com"]]
    for query in ("type=what&previewFor=x", "type=user", "type=ipport&previewFor=nonsense", "previewFor=x"):
        a = owner("POST", f"{ACL}/preview?{query}", text)
        assert a.status == 400 and a.json["code"] == "preview.invalid", query
    a = owner("POST", f"{ACL}/preview?type=user&previewFor={OWNER}", "{")
    assert a.status == 400 and a.json["message"].startswith("line ")


def test_explain(c, owner):
    n = c.register("explained")
    path = f"/api/v2/device/{n.id}/attributes/explain"
    assert owner.acl(COMMENTED).status == 200
    a = owner("GET", path)
    assert a.status == 200 and a.json["has"] is True and a.json["nodeId"] == n.id and a.json["name"] == n.name
    r = a.json["reasons"][0]
    assert (r["line"], r["selector"], r["pointer"]) == (4, "autogroup:member", "/nodeAttrs/0/target/0")
    assert a.json["gate"] == {"open": True, "port": 443, "code": "open", "text": a.json["gate"]["text"]}
    assert owner("GET", f"{path}?port=22").json["gate"]["code"] == "port"
    assert owner.acl(entry("autogroup:tagged")).status == 200
    a = owner("GET", path)
    assert a.json["has"] is False and a.json["summary"] and a.json["gate"]["code"] == "no-funnel"
    a = owner("GET", f"{path}?attr=drive:share")
    assert a.json["has"] is False and "gate" not in a.json
    a = owner("POST", f"{ACL}/preview?type=attr&previewFor={n.name}%20funnel", COMMENTED)
    assert a.status == 200 and a.json["has"] is True
    assert owner("POST", f"{ACL}/preview?type=attr&previewFor=nobody/funnel", COMMENTED).status == 404
    assert owner("GET", "/api/v2/device/nobody/attributes/explain").status == 404
    assert owner("GET", f"{path}?port=70000").status == 400
    member = c.client_of("explain@example.com", "member")
    assert member("GET", path).status == 404  # not theirs: not there
    theirs = c.register("theirs", "explain@example.com")
    assert member("GET", f"/api/v2/device/{theirs.id}/attributes/explain").status == 200


# ---- history ----

def test_history_pages(owner):
    for i in range(5):
        assert owner.acl(f"{{}} // {i}\n").status == 200
    seen, cursor = [], ""
    while True:
        a = owner("GET", f"{ACL}/history?limit=3{cursor and '&cursor=' + cursor}").json
        seen += a["versions"]
        assert len(a["versions"]) <= 3
        cursor = a.get("nextCursor")
        if not cursor:
            break
    revs = [v["rev"] for v in seen]
    assert revs == sorted(revs, reverse=True) and len(set(revs)) == len(revs)
    assert [v["current"] for v in seen] == [True] + [False] * (len(seen) - 1)
    assert seen[-1]["via"] == "init" and seen[-1]["rev"] == 1
    for query in ("limit=0", "limit=201", "cursor=x"):
        assert owner("GET", f"{ACL}/history?{query}").status == 400


def test_versions_diff_and_rollback(owner):
    assert owner.acl(COMMENTED).status == 200
    one = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]
    edited = COMMENTED.replace('"funnel"', '"funnel", "drive:share"').replace(", for now", "")
    assert owner.acl(edited).status == 200
    two = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]
    a = owner("GET", f"{ACL}/history/{one['rev']}")
    assert a.text == COMMENTED and a.etag == one["etag"]
    assert owner("GET", f"{ACL}/history/{one['rev']}", Accept="application/json").json["nodeAttrs"]
    assert acl_of(owner("GET", f"{ACL}/history/{one['rev']}?details=1").json) == COMMENTED
    assert owner("GET", f"{ACL}/history/current").text == edited
    for rev in ("0", "999999", "x"):
        assert owner("GET", f"{ACL}/history/{rev}").status == 404

    for a in (owner("GET", f"{ACL}/diff"), owner("GET", f"{ACL}/diff?from={one['rev']}&to={two['rev']}"),
              owner("POST", f"{ACL}/diff?from={one['rev']}", edited)):
        assert a.status == 200 and a.json["from"]["rev"] == one["rev"]
        assert [x for x in a.json["unified"].splitlines() if x.startswith(("+\t", "-\t"))] == [
            "-" + COMMENTED.splitlines()[3], "+" + edited.splitlines()[3]]
        assert a.json["patch"] == [{"op": "add", "path": "/nodeAttrs/0/attr/1", "value": "drive:share"}]
    assert owner("GET", f"{ACL}/diff?from=999999").status == 404

    assert owner("POST", f"{ACL}/rollback", {"rev": one["rev"]}, If_Match=f'"{one["etag"]}"').status == 412
    a = owner("POST", f"{ACL}/rollback", {"rev": one["rev"], "message": "too wide"}, If_Match=f'"{two["etag"]}"')
    assert a.status == 200 and a.text == COMMENTED and a.etag == one["etag"]
    v = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]
    assert v["rev"] > two["rev"] and v["via"] == "rollback" and v["message"] == "too wide"
    assert owner("POST", f"{ACL}/rollback", {"rev": 999999}).status == 404
    assert owner("POST", f"{ACL}/rollback", {}).status == 400


def test_a_patch_turns_one_into_the_other(owner):
    """The operations, applied by an RFC 6902 reader of our own, give the values of the other text."""
    texts = ['{"groups": {"group:a": ["a@x.io", "b@x.io"], "group:b": []}}',
             '{"groups": {"group:a": ["b@x.io", "c@x.io"], "group:c": ["a@x.io"]}, "hosts": {"a/b~c": "1.2.3.4"}}',
             '{"hosts": {"a/b~c": "1.2.3.5", "d": "::1"}, "acls": []}', "{}",
             '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}, {"action": "accept", "src": ["a@x.io"], "dst": ["*:1"]}]}']

    def apply(doc, ops):
        for o in ops:
            parts = [p.replace("~1", "/").replace("~0", "~") for p in o["path"].split("/")[1:]]
            at = doc
            for p in parts[:-1]:
                at = at[int(p)] if isinstance(at, list) else at[p]
            last = parts[-1]
            if isinstance(at, list):
                i = int(last)
                if o["op"] == "add":
                    assert i <= len(at)
                    at.insert(i, o["value"])
                elif o["op"] == "remove":
                    del at[i]
                else:
                    at[i] = o["value"]
            elif o["op"] == "remove":
                del at[last]
            else:
                assert o["op"] == "add" or last in at
                at[last] = o["value"]
        return doc

    for before in texts:
        assert owner.acl(before).status == 200
        for after in texts:
            ops = owner("POST", f"{ACL}/diff", after).json["patch"]
            assert apply(json.loads(before), ops) == json.loads(after), ops


# ---- settings ----

def test_settings(owner):
    path = "/api/v2/tailnet/-/settings"
    a = owner("PATCH", path, {"aclsExternallyManagedOn": True, "aclsExternalLink": "https://git.example.com/acl"})
    assert a.status == 200 and a.json["aclsExternallyManagedOn"] is True
    a = owner("PATCH", path, {"aclsExternallyManagedOn": None, "aclsExternalLink": None, "policyRequireIfMatch": None})
    assert a.json == owner("GET", path).json
    assert a.json["aclsExternallyManagedOn"] is True and a.json["aclsExternalLink"] == "https://git.example.com/acl"
    for bad in ({"httpsEnabled": 1}, {"aclsExternalLink": "javascript:alert(1)"}, {"policyFormatOnSave": "yes"}, []):
        assert owner("PATCH", path, bad).status == 400, bad
    assert owner("PATCH", path, {"aclsExternallyManagedOn": False, "aclsExternalLink": ""}).status == 200


# ---- many at once ----

def test_eight_writers_and_eight_readers_lose_nothing(c, owner):
    """Each writer adds its own line under If-Match until it has got ten in. No update is lost, the history has every one,
    and readers see nothing but versions that were saved."""
    writers, readers, each = 8, 8, 10
    assert owner.acl("{}\n").status == 200
    start_rev = owner("GET", f"{ACL}/history?limit=1").json["versions"][0]["rev"]
    saved, read, errors, lock, done = {}, [], [], threading.Lock(), threading.Event()
    saved[now(owner).etag] = "{}\n"

    def write(k):
        client, got = c.owner(), 0
        while got < each:
            a = now(client)
            text = a.text + f"// {k}.{got}\n"
            b = client.acl(text, If_Match=f'"{a.etag}"')
            if b.status == 200:
                with lock:
                    saved[b.etag] = text
                got += 1
            elif b.status != 412:
                errors.append(b)
                return

    def reader():
        client = c.owner()
        while not done.is_set():
            a = client("GET", ACL)
            if a.status != 200:
                errors.append(a)
                return
            with lock:
                read.append((a.etag, a.text))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(writers)]
    others = [threading.Thread(target=reader) for _ in range(readers)]
    for t in threads + others:
        t.start()
    for t in threads:
        t.join(240)
    done.set()
    for t in others:
        t.join(30)
    assert not errors, errors[:3]
    final = now(owner).text
    lines = final.splitlines()
    assert len(lines) == 1 + writers * each and len(set(lines)) == len(lines)  # no lost update
    for k in range(writers):
        mine = [x for x in lines if x.startswith(f"// {k}.")]
        assert mine == [f"// {k}.{i}" for i in range(each)]
    versions = owner("GET", f"{ACL}/history?limit=200").json["versions"]
    mine = [v for v in versions if v["rev"] > start_rev]
    assert len(mine) == writers * each and all(v["etag"] in saved for v in mine)
    texts = [owner("GET", f"{ACL}/history/{v['rev']}").text for v in reversed(mine)]
    for before, after in zip(["{}\n", *texts], texts):
        assert after.startswith(before) and after.count("\n") == before.count("\n") + 1
    assert len(read) > readers
    for etag, text in read:
        assert saved[etag] == text


# ---- delivery ----

def funnel_of(line):
    return "funnel" in line.get("caps", {})


def test_capabilities_reach_the_node(c, owner):
    n = c.register("delivered")
    s = c.stream(n)
    first = s.next()
    assert first["caps"] == {"https": None} and first["funnelPorts"] == []
    text = {"nodeAttrs": [{"target": [n.ipv4], "attr": ["funnel", "drive:share"],
                           "app": {"example.com/cap/x": [{"a": 1}, "two"], "openfunnel.org/cap/funnel": [{"ports": ["443", "9000-9010"]}]}}]}
    assert owner.acl(json.dumps(text)).status == 200
    line = s.next()
    assert line["caps"] == {"https": None, "funnel": None, "drive:share": None, "example.com/cap/x": [{"a": 1}, "two"],
                            "https://tailscale.com/cap/funnel-ports?ports=443,9000-9010": None,
                            "openfunnel.org/cap/funnel": [{"ports": ["443", "9000-9010"]}]}
    assert line["funnelPorts"] == [443] and set(line) == {"seq", "caps", "funnelPorts"}
    assert owner.acl("{}\n").status == 200
    assert s.next()["caps"] == {"https": None}
    assert s.rest() == []
    s.close()


def test_https_off_closes_the_gate(c, owner):
    n = c.register("gate")
    relay, s = c.relay("gate-relay"), c.stream(n)
    assert owner.acl(entry(n.ipv4)).status == 200
    s.until(lambda x: funnel_of(x))
    assert c.want(n, 443)[0]["state"] == "waiting"
    relay.until(lambda x: x["type"] == "delta" and [r["node"] for r in x["set"]] == [n.id])
    assert owner("PATCH", "/api/v2/tailnet/-/settings", {"httpsEnabled": False}).status == 200
    assert relay.until(lambda x: x["type"] == "delta" and x["remove"])["remove"][0].startswith("gate.")
    line = s.until(lambda x: "caps" in x)
    assert "https" not in line["caps"] and "funnel" in line["caps"] and line["funnelPorts"] == []
    relay.close()
    s.close()


def test_relays_hear_a_loss_before_the_node(c, owner):
    """Whenever the node's line has come, the relay's has come too; and it was said first."""
    n = c.register("loser")
    relay, s = c.relay("loss-relay", controllib.RawStream), controllib.RawStream(c, n.token)
    c.want(n, 443)
    s.line()
    before = len(c.log.read_text().splitlines())
    for _ in range(20):
        assert owner.acl(entry(n.ipv4)).status == 200
        s.line(lambda x: [f["state"] for f in x.get("funnels", [])] == ["waiting"])
        relay.line(lambda x: x["type"] == "delta" and x["set"])
        assert not s.readable() and not relay.readable()
        assert owner.acl("{}\n").status == 200
        assert s.readable(10) and relay.readable()
        assert not funnel_of(s.line())
        assert relay.line()["remove"][0].startswith("loser.")
    told = [x.split()[3] for x in c.log.read_text().splitlines()[before:]
            if " routes.changed " in x or f" node.told node={n.id}" in x]
    assert told == ["routes.changed", "node.told"] * 40, told
    relay.close()
    s.close()


def test_only_permitted_ports_are_routed(c, owner):
    n = c.register("ports")
    relay, s = c.relay("ports-relay"), c.stream(n)
    text = {"nodeAttrs": [{"target": [n.ipv4], "attr": ["funnel"], "app": {"openfunnel.org/cap/funnel": [{"ports": ["8443"]}]}}]}
    assert owner.acl(json.dumps(text)).status == 200
    s.until(funnel_of)
    assert [(f["port"], f["state"]) for f in c.want(n, 443, 8443)] == [(443, "blocked"), (8443, "waiting")]
    assert relay.until(lambda x: x["type"] == "delta" and x["set"])["set"][0]["ports"] == [8443]
    assert owner.acl(entry(n.ipv4)).status == 200
    assert relay.until(lambda x: x["type"] == "delta" and x["set"])["set"][0]["ports"] == [443, 8443]
    relay.close()
    s.close()


# ---- life cycle (3.5): the rows change as other calls change them ----

def change(c, owner, kind, *statements, node=None):
    """A write beside the policy, with its row in the change log; the bus looks at the next thing that happens."""
    with c.db() as db:
        for s in statements:
            db.execute(*s)
        db.execute("INSERT INTO changes(tailnet_id, kind, node_id, at) VALUES(1, ?, ?, 1)", (kind, node))
    assert owner("PATCH", "/api/v2/tailnet/-/settings", {}).status == 200


def test_life_cycle(c, owner):
    c.add_user("bob@example.com")
    n = c.register("cycle", "bob@example.com")
    number = c.db().execute("SELECT id FROM nodes WHERE stable_id = ?", (n.id,)).fetchone()[0]
    s = c.stream(n)
    s.next()

    def targets(*selectors):
        groups = {"groups": {"group:g": ["bob@example.com"]}, "tagOwners": {"tag:db": []}}
        text = json.dumps({**groups, "nodeAttrs": [{"target": [t], "attr": ["funnel"]} for t in selectors]})
        assert owner.acl(text).status == 200

    def becomes(funnel):
        s.until(lambda x: "caps" in x and funnel_of(x) == funnel)

    for selector in ("bob@example.com", "group:g", "autogroup:member", "*", n.ipv4, n.ipv6, "BOB@example.com"):
        targets(selector)
        becomes(True)
        targets()
        becomes(False)

    # Tagging takes the owner away: member, user and group stop, the tag starts.
    targets("autogroup:member", "tag:db")
    becomes(True)
    targets("autogroup:member")
    change(c, owner, "node", ("UPDATE nodes SET tags = '[\"tag:db\"]', user_id = NULL WHERE id = ?", (number,)), node=number)
    becomes(False)
    line = [x for x in s.seen if "self" in x][-1]
    assert line["self"]["tags"] == ["tag:db"] and line["self"]["user"] == ""
    targets("tag:db")
    becomes(True)
    targets("autogroup:tagged")
    targets("bob@example.com")
    becomes(False)
    change(c, owner, "node", ("UPDATE nodes SET tags = '[]', user_id = (SELECT id FROM users WHERE login = 'bob@example.com')"
                              " WHERE id = ?", (number,)), node=number)
    becomes(True)

    # Suspended: no policy attributes; restored: again.
    change(c, owner, "user", ("UPDATE users SET suspended = 1 WHERE login = 'bob@example.com'",))
    becomes(False)
    change(c, owner, "user", ("UPDATE users SET suspended = 0 WHERE login = 'bob@example.com'",))
    becomes(True)

    # Roles.
    targets("autogroup:auditor")
    becomes(False)
    change(c, owner, "user", ("UPDATE users SET role = 'auditor' WHERE login = 'bob@example.com'",))
    becomes(True)
    change(c, owner, "user", ("UPDATE users SET role = 'member' WHERE login = 'bob@example.com'",))
    becomes(False)

    # Addresses.
    targets("100.99.0.0/16")
    change(c, owner, "node", ("UPDATE nodes SET ipv4 = '100.99.1.1' WHERE id = ?", (number,)), node=number)
    becomes(True)
    change(c, owner, "node", ("UPDATE nodes SET ipv4 = ? WHERE id = ?", (n.ipv4, number)), node=number)
    becomes(False)

    # The user goes, with the device; the policy that names the login stays valid.
    targets("bob@example.com")
    becomes(True)
    change(c, owner, "user", ("DELETE FROM nodes WHERE id = ?", (number,)), ("DELETE FROM users WHERE login = 'bob@example.com'",))
    s.thread.join(10)
    assert not s.thread.is_alive()
    assert now(owner).status == 200 and owner.acl(now(owner).text).status == 200
    assert any("bob@example.com" in w for w in owner("GET", f"{ACL}?details=1").json["warnings"])


# ---- ten thousand ----

@pytest.fixture(scope="module")
def big(folder):
    """10,000 machines of 500 people in the store."""
    control = controllib.Control(folder / "big").configure()
    with control.db() as db:
        db.executemany("INSERT INTO users(tailnet_id, stable_id, login, role, created) VALUES(1, ?, ?, 'member', 1)",
                       [(f"user{i}", f"user{i}@example.com") for i in range(500)])
        first = db.execute("SELECT min(id) FROM users WHERE stable_id LIKE 'user%'").fetchone()[0]
        db.executemany("INSERT INTO nodes(tailnet_id, stable_id, user_id, label, hostname, os, version, transport_key, ipv4, ipv6,"
                       " created) VALUES(1, ?, ?, ?, ?, 'linux', '1', ?, ?, ?, 1)",
                       [(f"node{i}", first + i % 500, f"machine-{i}", f"machine-{i}", f"{i:064x}",
                         f"100.70.{i // 250}.{i % 250}", f"fd7a:115c:a1e0::7:{i:x}") for i in range(10000)])
    control.start()
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


def saved_changed(c):
    last = [x for x in c.log.read_text().splitlines() if " policy.saved " in x][-1]
    return int(last.split("changed=")[1].split()[0])


def test_exactly_the_changed_devices_hear(big):
    owner = big.owner()
    nodes = [big.register(f"connected-{i}") for i in range(6)]
    streams = [big.stream(n) for n in nodes]
    for s in streams:
        s.next()
    assert owner("PATCH", "/api/v2/tailnet/-/settings", {"httpsEnabled": True}).status == 200
    for s in streams:
        s.until(lambda x: "https" in x.get("caps", {}))
    base = {"nodeAttrs": [{"target": ["user7@example.com"], "attr": ["drive:share"]}]}
    assert owner.acl(json.dumps(base)).status == 200
    assert saved_changed(big) == 20

    # Two of 10,006 change, both connected: two lines leave the server.
    two = {"nodeAttrs": [*base["nodeAttrs"], {"target": [nodes[1].ipv4, nodes[4].ipv6], "attr": ["funnel"]}]}
    text = json.dumps(two, indent=1)
    assert owner.acl(text).status == 200
    assert saved_changed(big) == 2
    assert funnel_of(streams[1].next()) and funnel_of(streams[4].next())
    time.sleep(1)
    assert [len(s.rest()) for s in streams] == [0] * 6

    # Comments only: none. Nor for the same rights said in another way.
    assert owner.acl("// why\n" + text + "// and why not\n").status == 200
    assert saved_changed(big) == 0
    two["nodeAttrs"][1]["target"].reverse()
    assert owner.acl(json.dumps({**two, "groups": {"group:new": ["user1@example.com"]}})).status == 200
    assert saved_changed(big) == 0
    time.sleep(1)
    assert [len(s.rest()) for s in streams] == [0] * 6

    # Two that are not connected: nothing leaves.
    two["nodeAttrs"].append({"target": ["100.70.0.1", "100.70.0.2"], "attr": ["funnel"]})
    assert owner.acl(json.dumps(two)).status == 200
    assert saved_changed(big) == 2
    time.sleep(1)
    assert [len(s.rest()) for s in streams] == [0] * 6

    # Everybody but the four that have it already.
    assert owner.acl(entry("*")).status == 200
    assert saved_changed(big) == 10002
    for i in (0, 2, 3, 5):
        assert funnel_of(streams[i].next())
    time.sleep(1)
    assert [len(s.rest()) for s in streams] == [0] * 6
    for s in streams:
        s.close()


def test_a_save_waits_for_facts_that_move(big):
    """Machines register while policies are judged: every save is answered, and at the end all is as the policy says."""
    owner, stop, made, errors = big.owner(), threading.Event(), [], []
    key = big.new_key("auth", OWNER, "--reusable")

    def register():
        import secrets
        client = controllib.Client(big, "")
        while not stop.is_set():
            a = client("POST", "/node/v1/register", {"authKey": key, "hostname": "burst", "os": "linux", "version": "1",
                                                     "transportKey": secrets.token_hex(32)}, Content_Type="application/json")
            (made if a.status == 200 else errors).append(a)
            time.sleep(0.05)

    t = threading.Thread(target=register)
    t.start()
    try:
        for i in range(12):
            a = owner.acl(entry("autogroup:member" if i % 2 else "autogroup:tagged") + f"// {i}\n")
            assert a.status == 200, a
    finally:
        stop.set()
        t.join(30)
    assert made and not errors
    stream = controllib.Stream(big, made[-1].json["nodeToken"])
    first = stream.next()
    assert funnel_of(first) or funnel_of(stream.until(lambda x: "caps" in x))
    stream.close()
