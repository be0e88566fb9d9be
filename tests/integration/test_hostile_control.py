"""funneld against a control server that lies: what it says reaches a person only as far as it may (console-api.md 4.2, check 10)."""
import http.server
import json
import os
import ssl
import subprocess
import threading

import pytest

import cluster as clusterlib
import net as netlib
from cluster import BIN, wait_for

pytestmark = pytest.mark.loopback
LINE = {"seq": 1, "self": {"nodeId": "n", "name": "n.t.example.net"}, "caps": {}, "relays": [], "funnels": [], "requests": [],
        "certificate": {"state": "none"}, "lock": {"locked": False}}


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, j):
        body = json.dumps(j).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        line = json.dumps(LINE).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()
        self.server.ended.wait(120)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"funnels": []})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/register"):
            self.answer({"nodeId": "n", "nodeToken": "t", "name": "n.t.example.net", "user": "u@example.com", "tailnet": "t",
                         "ipv4": "100.64.0.1", "ipv6": "fd7a::1"})
        else:
            self.answer({"Complete": False, "Text": "Open\x1b[2J this\r\n", "URL": self.server.url, "ShouldWait": True, "RequestID": "r",
                         "MatchCode": "AAAA-2B", "Expires": "2030-01-01T00:00:00Z"})


@pytest.fixture(scope="module")
def liar(folder):
    f = folder / "liar"
    f.mkdir()
    ca = clusterlib.CA(f)
    crt, key = ca.issue("liar", "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(crt, key)
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    s.socket = tls.wrap_socket(s.socket, server_side=True)
    s.daemon_threads, s.ended = True, threading.Event()
    s.origin = f"https://127.0.0.1:{s.server_address[1]}"
    threading.Thread(target=s.serve_forever, daemon=True).start()
    conf = f / "agent.hujson"
    conf.write_text(json.dumps({"stateDir": str(f / "agent"), "socket": str(f / "funneld.sock"), "caFile": str(ca.cert)}))
    log = (f / "agent.log").open("wb")
    p = subprocess.Popen([BIN / "funneld", "--config", conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         preexec_fn=netlib.die_with_parent)
    wait_for(lambda: (f / "funneld.sock").exists())
    key_file = f / "key"
    key_file.touch(mode=0o600)
    key_file.write_text("any")

    def funnel(*args):
        return subprocess.run([BIN / "funnel", "--socket", f / "funneld.sock", *args], capture_output=True, text=True, timeout=30,
                              env={**os.environ, "LC_ALL": "C.UTF-8"})

    s.funnel = funnel
    done = funnel("up", "--control", s.origin, "--auth-key", f"file:{key_file}")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: json.loads(funnel("status", "--json").stdout)["control"]["connected"])
    yield s
    p.terminate()
    assert p.wait(20) == 0, (f / "agent.log").read_text()
    s.ended.set()
    s.shutdown()


@pytest.mark.parametrize("path", [".evil.example/f/abc", "@evil.example/f/abc", "/g/abc", "0/f/abc", ""])
def test_a_link_that_leads_elsewhere_is_not_shown(liar, path):
    liar.url = liar.origin + path
    done = liar.funnel("--no-wait", "enable")
    assert done.returncode == 76 and "FNL-111" in done.stderr and "evil" not in done.stderr and "/abc" not in done.stderr


def test_a_link_to_another_site_is_not_shown(liar):
    for url in ("https://evil.example/f/abc", "http" + liar.origin[5:] + "/f/abc", "javascript:alert(1)"):
        liar.url = url
        done = liar.funnel("--no-wait", "enable")
        assert done.returncode == 76 and "evil" not in done.stderr and "alert" not in done.stderr


def test_a_page_of_control_is_shown(liar):
    liar.url = liar.origin + "/f/abc"
    done = liar.funnel("--no-wait", "enable")
    assert done.returncode == 75 and liar.url in done.stderr and "AAAA-2B" in done.stderr
    assert "\x1b[2J" not in done.stderr
