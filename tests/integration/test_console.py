"""The web console: how its files are served, every screen in a real browser against the real server, its catalogues."""
import gzip
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import urllib.parse

import pytest

import console_data
from cluster import ROOT

BROWSER = ROOT / "tests/browser"
CONSOLE = ROOT / "web/console"
pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    c = console_data.populated(tmp_path_factory.mktemp("console"))
    yield c
    console_data.close(c)


@pytest.fixture(scope="module")
def cookie(control):
    return sign_in(control, "ann@example.com")


def sign_in(c, login):
    h = c.connect()
    body = urllib.parse.urlencode({"login": login, "password": console_data.PASSWORD})
    h.request("POST", "/login", body, {"Content-Type": "application/x-www-form-urlencoded", "Origin": c.origin})
    answer = h.getresponse()
    answer.read()
    assert answer.status == 303, answer.status
    return answer.headers["Set-Cookie"].split(";")[0]


def get(c, path, **headers):
    h = c.connect()
    h.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = h.getresponse()
    return answer.status, answer.headers, answer.read()


def browser(script, c, *more, timeout=280):
    if not (BROWSER / "node_modules").exists() or not shutil.which("node"):
        pytest.skip("tests/browser has no node_modules: scripts/test runs npm ci there")
    out = pathlib.Path(os.environ.get("OPENFUNNEL_PICTURES") or c.folder / "pictures").resolve()
    out.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([shutil.which("node"), BROWSER / script, c.origin, out, *more], capture_output=True, text=True,
                          timeout=timeout, cwd=BROWSER)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), out


# ---- files ----

def test_who_is_not_signed_in_is_asked_and_comes_back(control):
    status, headers, _ = get(control, "/console/machines")
    assert status == 303 and headers["Location"] == "/login"


def test_root_leads_by_right(control, cookie):
    status, headers, _ = get(control, "/", Cookie=cookie)
    assert status == 303 and headers["Location"] == "/console/"
    status, _, body = get(control, "/requests", Cookie=cookie)
    assert status == 200 and control.request["RequestID"].encode() in body  # the same without JavaScript
    assert control.request["MatchCode"].encode() not in body, "who decides about another's request has to ask for the code"


def test_index_is_asked_for_each_time_and_strict(control, cookie):
    status, headers, body = get(control, "/console/machines/any-id", Cookie=cookie)
    assert status == 200 and headers["Cache-Control"] == "no-cache" and b"<div id=\"app\">" in body
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
                 "require-trusted-types-for 'script'"):
        assert part in policy, policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert get(control, "/console/", Cookie=cookie, If_None_Match=headers["ETag"])[0] == 304


def test_files_are_for_ever_and_packed(control, cookie):
    _, _, index = get(control, "/console/", Cookie=cookie)
    names = re.findall(rb"/console/assets/([\w.-]+)", index)
    assert len(names) >= 4
    for name in {n.decode() for n in names}:
        status, headers, packed = get(control, f"/console/assets/{name}", Accept_Encoding="br;q=1, gzip")
        assert status == 200 and "immutable" in headers["Cache-Control"] and headers["Content-Encoding"] == "gzip", name
        assert headers["X-Content-Type-Options"] == "nosniff" and "Accept-Encoding" in headers["Vary"]
        for refused in ("", "gzip;q=0", "identity"):
            _, plain, whole = get(control, f"/console/assets/{name}", Accept_Encoding=refused)
            assert plain["Content-Encoding"] is None and whole == gzip.decompress(packed)
    assert get(control, "/console/assets/index.html")[0] == 404
    assert get(control, "/console/assets/main-AAAA.js")[0] == 404


def test_sizes(control, cookie):
    """What a browser really gets, not what the build says of itself."""
    _, _, index = get(control, "/console/", Cookie=cookie, Accept_Encoding="gzip")
    names = set(re.findall(rb"/console/assets/([\w.-]+)", gzip.decompress(index)))
    first = len(index) + sum(len(get(control, f"/console/assets/{n.decode()}", Accept_Encoding="gzip")[2]) for n in names)
    print(f"before the first paint: {first} bytes")
    assert first <= 45 * 1024


# ---- texts ----

def catalogue(language):
    return json.loads((CONSOLE / f"src/locales/{language}.json").read_text())


def test_second_language_is_whole():
    en, de = catalogue("en"), catalogue("de")
    assert en.keys() == de.keys(), en.keys() ^ de.keys()
    holes = {k: (v, de[k]) for k, v in en.items() if sorted(re.findall(r"\{\w+\}", v)) != sorted(re.findall(r"\{\w+\}", de[k]))}
    assert holes == {}
    same = [k for k, v in en.items() if v == de[k] and len(v.split()) > 2]
    assert same == [], "not translated"
    assert list(en) == sorted(en), "sorted, so that two changes do not meet"


def test_every_text_is_used_and_comes_from_a_catalogue():
    source = {p: p.read_text() for p in (CONSOLE / "src").rglob("*.ts*")}
    text = "\n".join(source.values())
    for key in catalogue("en"):
        stem = re.sub(r"\.(zero|one|two|few|many|other)$", "", key)
        words = stem.split(".")
        # Written out, or made of a written beginning and a word of the server: tw('step', …), t(`nav.${…}`).
        starts = [".".join(words[:i]) for i in range(1, len(words))]
        assert f"'{stem}'" in text or any(f"tw('{s}'" in text or f"`{s}.${{" in text for s in starts), f"nobody uses {key}"
    for path, s in source.items():
        bare = re.findall(r">\s*([A-Z][a-z]+(?: [a-z]+)+)\s*<", s)
        assert bare == [], f"{path.name}: a text that is in no catalogue: {bare}"


def test_types():
    if not (CONSOLE / "node_modules/typescript").exists():
        pytest.skip("web/console has no node_modules: the build installs them")
    done = subprocess.run([shutil.which("node"), CONSOLE / "node_modules/typescript/bin/tsc", "--noEmit"], cwd=CONSOLE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


# ---- screens ----

def test_every_screen(control):
    """axe-core in light, dark, forced colours, at 320 px and with 200 % text; nothing refused, nothing fetched from elsewhere."""
    shown, out = browser("console.mjs", control, control.request["RequestID"])
    assert shown["problems"] == [] and shown["outside"] == []
    assert shown["funnelFocus"] == "H1" and shown["machineFocus"] == "H1"
    for name in shown["screens"]:
        for form in ("", "-dark", "-phone"):
            assert (out / f"{name if name.startswith('page-') else 'console-' + name}{form}.png").stat().st_size > 5000, name




def test_what_people_do(control):
    """By keyboard alone: a policy edit and a key; the button that gives Funnel; the second language; longer texts, either way."""
    shown, _ = browser("console-do.mjs", control, "policy,key,funnel,skip,german,longer")
    assert shown["problems"] == [] and shown["outside"] == [] and shown["refused"] == []
    assert "line 2, column 3" in shown["lint"] and shown["lintMarks"] == 1
    assert shown["leftByTab"] and "+// written by keyboard" in shown["reviewed"] and shown["said"] == "The policy is saved."
    policy = control.owner()("GET", "/api/v2/tailnet/-/acl").text
    assert policy.endswith('// written by keyboard, "quotes" stay as typed\n') and "/* only the shop, for now */" in policy
    assert shown["afterSave"] == "editor" and shown["keyFocus"] == "Create key", "the focus comes back to where it was"
    assert shown["key"].startswith("fnl-auth-")
    assert '+' in shown["edit"] and "autogroup:member" in shown["edit"]
    assert shown["firstStop"] == "Skip to the content" and shown["skippedTo"] == "main"
    assert "Geräte" in shown["german"]


def test_funnels_are_there_within_a_second_on_a_slow_machine(control):
    """Four times slower than this one. Others work here too, so what counts is the page's own processor time."""
    shown, _ = browser("console-do.mjs", control, "quick")
    print(f"from the address to the list: {[round(x) for x in shown['quickMs']]} ms, of which {[round(x) for x in shown['workMs']]} ms of work")
    assert 4 * statistics.median(shown["workMs"]) <= 1000


def test_another_tab_hears_of_a_change(control):
    shown, _ = browser("console-do.mjs", control, "live")
    assert shown["problems"] == [] and shown["refused"] == []
    print(f"seen in the other tab after {shown['liveMs']} ms")
    assert shown["liveMs"] < 5000, "not by asking every fifteen seconds"
    assert shown["streams"] == 1, "one stream for two tabs"
    assert shown["takenOver"] == 2, "the other tab listens when the first one leaves"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    c = console_data.populated(tmp_path_factory.mktemp("crowded"))
    console_data.many_machines(c, 10000)
    yield c
    console_data.close(c)


def test_ten_thousand_machines(crowded):
    shown, _ = browser("console-do.mjs", crowded, "machines")
    assert shown["machines"] == "10,004 machines" and shown["lastRow"] == "10005" and shown["rowsInPage"] < 60
    print(f"filter: {[round(x) for x in shown['filterMs']]} ms; a step of scrolling: {[round(x) for x in shown['scrollMs']]} ms of processor time")
    assert statistics.median(shown["filterMs"]) <= 100
    assert max(shown["scrollMs"]) <= 50
    assert shown["kept"] == "1 machine", "the filter stands in the address"
    assert shown["problems"] == [] and shown["refused"] == []


def test_a_request_is_approved_by_keyboard_from_the_queue(control):
    shown, _ = browser("console-do.mjs", control, "approve", control.request["MatchCode"])
    assert "granted" in shown["outcome"].lower() and "Nobody is waiting" in shown["left"], shown
    assert shown["problems"] == []


# ---- "Add Funnel to policy" ----

def test_the_edit_of_the_button_is_shown_and_saved_only_over_what_was_shown(control):
    owner = control.owner()
    before = owner("GET", "/api/v2/tailnet/-/acl")
    a = owner("POST", "/api/v2/tailnet/-/acl/funnel", {"selector": "bob@example.com", "comment": "for the demo"}, Content_Type="application/json")
    assert a.status == 200 and a.json["changed"] and "bob@example.com" in a.json["unified"], a
    assert "/* only the shop, for now */" in a.json["acl"] and owner("GET", "/api/v2/tailnet/-/acl").text == before.text
    assert owner.acl(a.json["acl"], If_Match=f'"{a.json["from"]["etag"]}"').status == 200
    assert owner.acl(a.json["acl"], If_Match=f'"{a.json["from"]["etag"]}"').status == 412
    again = owner("POST", "/api/v2/tailnet/-/acl/funnel", {"selector": "bob@example.com"}, Content_Type="application/json").json
    assert not again["changed"] and again["unified"] == ""
    gone = owner("POST", "/api/v2/tailnet/-/acl/funnel", {"selector": "bob@example.com", "remove": True}, Content_Type="application/json").json
    assert gone["changed"] and "bob@example.com" not in gone["acl"]
    refused = owner("POST", "/api/v2/tailnet/-/acl/funnel", {"selector": "group:nobody"}, Content_Type="application/json")
    assert refused.status == 400 and refused.json["diagnostics"], refused
    assert owner("POST", "/api/v2/tailnet/-/acl/funnel", {"selektor": "x"}, Content_Type="application/json").status == 400
    assert owner.acl(before.text).status == 200
