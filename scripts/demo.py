"""The demo's installation on loopback addresses: CA, control with DNS, relay, node, a page. Started by scripts/demo.

    demo.py [--auto]

Nothing of the system is changed: every program runs in a mount namespace with its own resolv.conf and hosts, and all
state stands in one folder that goes at the end.
"""
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

import cluster as clusterlib  # noqa: E402
import net as netlib  # noqa: E402



def free_port():
    """3000, as in every example, or the next one that nobody listens on."""
    for port in range(3000, 3100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)):
                return port
    raise RuntimeError("no free port from 3000 to 3099")


PORT = free_port()
PAGE = b"""<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>It works</title><body style="font:18px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem">
<h1>It works</h1><p>This page comes from a web server on 127.0.0.1, through a relay that saw the name and nothing else.</p>
"""
BACKEND = f"""
import http.server
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        body = {PAGE!r}
        self.send_response(200); self.send_header("Content-Type", "text/html"); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", {PORT}), H).serve_forever()
"""


class Demo(clusterlib.Cluster):
    origin = "https://127.77.0.3"  # an address: a browser on this machine opens it without any name server

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        os.chmod(self.folder, 0o755)
        self.relay_count, self.processes = 1, {}
        self.ca = clusterlib.CA(self.folder)
        self.root = self._can_change_user()

    def build(self):
        host = lambda name, last: netlib.LoopHost(self.folder, name, f"127.77.0.{last}")  # noqa: E731
        self.ca_host, self.control_host, self.visitor, self.node_host = (
            host(n, i) for n, i in (("ca", 2), ("control", 3), ("visitor", 50), ("node", 60)))
        self.relay_hosts = [host("relay1", 10)]
        everyone = [self.ca_host, self.control_host, self.visitor, self.node_host, *self.relay_hosts]
        names = f"127.0.0.1 localhost\n127.77.0.2 ca.example.net\n127.77.0.3 {clusterlib.CONTROL}\n127.77.0.10 relay1.example.org\n"
        for h in everyone:
            h.hosts.write_text(names)
            h.resolv.write_text("nameserver 127.77.0.3\noptions timeout:1\n")  # our own DNS answers for the zone

    dns_for_pebble = "127.77.0.3:53"

    def stop(self):
        for p in reversed(list(self.processes.values())):
            p.stop()


def say(text=""):
    print(text, flush=True)


class Step:
    """One line of progress with the time it took."""

    def __init__(self, text):
        self.text, self.start = text, time.monotonic()
        print(f"  {text} ...", end="", flush=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        print(f" {'failed' if kind else 'ok'} ({time.monotonic() - self.start:.1f} s)", flush=True)


def bring_up(d):
    say("Starting CA, control with DNS, relay and node on 127.77.0.0/24")
    with Step("everything up, node registered"):
        d.start()
    with Step("owner signs in with the one-time code"):
        d.setup_password()
    script = d.folder / "page.py"
    script.write_text(BACKEND)
    with Step(f"a small web server on 127.0.0.1:{PORT}"):
        d.backend(PORT, script)
    p = d.funnel_start(str(PORT))
    with Step(f"`funnel {PORT}` asks for the right"):
        url = clusterlib.wait_for(lambda: next((w for w in p.err.read_text().split() if "/f/" in w), None))
    with Step("the owner approves on the consent page"):
        assert d.approve(url) == 303
    with Step("certificate, relay, reachable from outside"):
        d.wait_live(p)
    return p


def check(d):
    """A visitor: names by our DNS, TLS verified against the CA's root, the page's own bytes."""
    body = d.curl("--fail")
    if body != PAGE:
        raise RuntimeError(f"the page is not the page: {body[:80]!r}")
    status = d.status()
    assert status["funnels"][0]["state"] == "open"
    dns = d.visitor.run("kdig", "+short", d.name, "A").split()[0]
    say(f"  visitor: DNS {d.name} -> {dns}, 200, TLS verified against Pebble's root, {len(body)} bytes, as served locally")


def tell(d, p):
    say()
    say(p.err.read_text())
    say(p.out.read_text().replace("Press Ctrl+C to exit.\n", ""))
    say("From this machine:")
    say(f"  curl --cacert {d.pebble_root} --resolve {d.name}:443:127.77.0.10 {d.url}")
    inner = os.environ.get("OPENFUNNEL_DEMO_PID")
    if inner:
        say(f"  (in front of it: nsenter -t {inner} -U -n --preserve-credentials)")
    link = d.control_host.run(clusterlib.BIN / "funnel-control", "setup-link", "--config", d.control_conf).split()
    say("The console (its certificate comes from the demo's own CA; the login is ann@example.com):")
    say(f"  {link[1]}")
    say("The command line of the node:")
    say(f"  {' '.join(map(str, d.funnel_argv('status')))}")
    say()
    say("Stop with Ctrl+C.")


def main():
    auto = "--auto" in sys.argv[1:]
    folder = tempfile.mkdtemp(prefix="openfunnel-demo-")
    d = None
    try:
        d = Demo(folder)
        p = bring_up(d)
        check(d)
        if auto:
            say("demo: everything works")
            return 0
        tell(d, p)
        stop = threading.Event()
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, lambda *_: stop.set())
        stop.wait()
        return 0
    except BaseException as e:
        say(f"demo: {type(e).__name__}: {e}")
        for name, proc in (d.processes if d else {}).items():
            log = proc.log.read_text(errors="replace").strip().splitlines()[-8:]
            say(f"---- {name}\n" + "\n".join(log))
        return 1
    finally:
        if d:
            d.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
