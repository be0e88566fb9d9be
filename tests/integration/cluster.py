"""The whole installation in a small internet: CA, control with DNS, relays, visitor, a node behind NAT.

Everything is the real thing: Pebble, uacme, unbound, our programs. A Cluster starts, stops, kills and starts them
again by pid; their logs stand in its folder.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import net as netlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("OPENFUNNEL_BIN", ROOT / "build/release/bin"))
ZONE = "ts.example.net"
CONTROL = "control.example.net"
NOBODY = 65534


def wait_for(what, seconds=20.0, pause=0.05):
    """Calls `what` until it gives something true; the last exception speaks when it never does."""
    end, error, result = time.monotonic() + seconds, None, None
    while time.monotonic() < end:
        try:
            result = what()
            if result:
                return result
            error = None
        except (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as e:
            error = e
        time.sleep(pause)
    raise TimeoutError(f"{what}: {error or result!r} after {seconds} s")


def acme_program(folder):
    """funnel-acme where uacme's user can run it as the hook: a checkout may stand in somebody's closed home."""
    path = pathlib.Path(folder) / "bin" / "funnel-acme"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        shutil.copy2(BIN / "funnel-acme", path)
    return path


class Process:
    """A program on a host, with its log."""

    def __init__(self, cluster, host, name, argv, env=None):
        self.cluster, self.host, self.name, self.argv_, self.env = cluster, host, name, argv, env
        self.log = cluster.folder / f"{name}.log"
        self.p = None

    def start(self):
        with self.log.open("ab") as out:
            self.p = subprocess.Popen(self.host.argv(*self.argv_), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                      env={**os.environ, **(self.env or {})}, preexec_fn=netlib.die_with_parent)
        return self

    @property
    def pid(self):
        return self.p.pid  # nsenter, unshare and sh each exec the next: the pid stays

    def alive(self):
        return self.p is not None and self.p.poll() is None

    def kill(self, sig=signal.SIGKILL):
        if self.alive():
            self.p.send_signal(sig)
            self.p.wait(30)

    def stop(self):
        if self.alive():
            self.p.terminate()
            try:
                self.p.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def rss(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")


class CA:
    """A test CA for control's certificate, relays' enrolment and Pebble's own HTTPS."""

    def __init__(self, folder):
        self.folder = folder
        self.cert, self.key = folder / "ca.crt", folder / "ca.key"
        netlib.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                   self.key, "-out", self.cert, "-subj", "/CN=OpenFunnel test CA", "-days", 30)

    def issue(self, name, *addresses):
        key, csr, crt, ext = (self.folder / f"{name}.{e}" for e in ("key", "csr", "crt", "ext"))
        sans = ",".join([f"DNS:{name}", *(f"IP:{a}" for a in addresses)])
        ext.write_text(f"subjectAltName={sans}\n")
        netlib.run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                   csr, "-subj", f"/CN={name}")
        netlib.run("openssl", "x509", "-req", "-in", csr, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", 30,
                   "-out", crt, "-extfile", ext)
        return crt, key


class Cluster:
    """start() gives a ready installation: one node registered, nothing permitted."""

    def __init__(self, folder, relays=1):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.folder, 0o755)
        self.relay_count = relays
        self.processes = {}
        self.net = netlib.Net(self.folder / "net")
        self.ca = CA(self.folder)
        self.root = netlib.os.getuid() == 0 and self._can_change_user()

    @staticmethod
    def _can_change_user():
        """False inside a user namespace with one mapped user."""
        return pathlib.Path("/proc/self/uid_map").read_text().split()[2] != "1"

    origin = f"https://{CONTROL}"
    dns_for_pebble = "127.0.0.1:53"

    @staticmethod
    def _at(host, port):
        return [f"{host.address}:{port}", *([f"[{host.address6}]:{port}"] if host.address6 else [])]

    # ---- hosts and names ----

    def build(self):
        n = self.net
        self.ca_host = n.public("ca", 2)
        self.control_host = n.public("control", 3)
        self.relay_hosts = [n.public(f"relay{i + 1}", 10 + i) for i in range(self.relay_count)]
        self.visitor = n.public("visitor", 50)
        self.node_host = n.behind_nat("node", "nat", 60)
        self.names = {"ca.example.net": self.ca_host, CONTROL: self.control_host}
        for i, host in enumerate(self.relay_hosts):
            self.names[f"relay{i + 1}.example.org"] = host
        for host in (self.ca_host, self.control_host, self.visitor, self.node_host, *self.relay_hosts):
            self._resolver(host)

    def _resolver(self, host):
        data = []
        for name, h in self.names.items():
            data += [f'local-data: "{name}. A {h.address}"', f'local-data: "{name}. AAAA {h.address6}"']
        conf = self.folder / f"unbound-{host.name}.conf"
        lines = "\n    ".join(data)
        conf.write_text(f"""server:
    interface: 127.0.0.1
    access-control: 127.0.0.0/8 allow
    chroot: ""
    username: ""
    directory: "{self.folder}"
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    module-config: "iterator"
    num-threads: 1
    cache-min-ttl: 0
    cache-max-negative-ttl: 1
    do-not-query-localhost: no
    local-zone: "example.net." transparent
    local-zone: "example.org." transparent
    {lines}
remote-control:
    control-enable: no
stub-zone:
    name: "{ZONE}"
    stub-addr: {self.control_host.address}
""")
        self.add(host, f"unbound-{host.name}", "unbound", "-d", "-c", conf).start()

    def forget_names(self, host):
        """An empty cache for the host's resolver: what it asks next stays good for the whole TTL."""
        p = self.processes[f"unbound-{host.name}"]
        p.kill()
        p.start()
        wait_for(lambda: host.run("kdig", "@127.0.0.1", "+short", "+timeout=1", CONTROL, "A"))

    def add(self, host, name, *argv, env=None):
        p = Process(self, host, name, argv, env)
        self.processes[name] = p
        return p

    # ---- the CA ----

    def start_pebble(self):
        crt, key = self.ca.issue("ca.example.net", self.ca_host.address)
        conf = self.folder / "pebble.json"
        conf.write_text(json.dumps({"pebble": {
            "listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000", "certificate": str(crt),
            "privateKey": str(key), "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "",
            "externalAccountBindingRequired": False}}))
        # 5 % of the nonces are refused: Pebble's default, left on.
        self.add(self.ca_host, "pebble", "pebble", "-config", conf, "-dnsserver", self.dns_for_pebble,
                 env={"PEBBLE_VA_NOSLEEP": "1"}).start()
        root = wait_for(lambda: self.ca_host.run("curl", "-sf", "--cacert", self.ca.cert,
                                                 "https://ca.example.net:15000/roots/0"))
        self.pebble_root = self.folder / "pebble-root.pem"
        self.pebble_root.write_text(root)

    # ---- our programs ----

    def write_configs(self):
        crt, key = self.ca.issue(CONTROL, self.control_host.address)
        f = self.folder
        uid = NOBODY if self.root else 0
        self.control_conf = f / "control.hujson"
        self.control_conf.write_text(f"""// Control of the test installation.
{{
    "origin": "{self.origin}",
    "zone": "{ZONE}",
    "nameServers": ["ns1.example.net"],
    "stateDir": "{f}/control",
    "listen": {json.dumps(self._at(self.control_host, 443))},
    "tls": {{"cert": "{crt}", "key": "{key}"}},
    "api": {{"rate": 0}},
    "dns": {{"listen": {json.dumps(self._at(self.control_host, 53))}}},
    "acme": {{"runner": "{f}/acme.sock", "hook": "{f}/hook.sock", "hookUid": {uid}, "caa": "ca.example.net"}},
}}
""")
        self.acme_conf = f / "acme.hujson"
        self.acme_conf.write_text(f"""{{
    "url": "https://ca.example.net:14000/dir",
    "caFile": "{self.ca.cert}",
    "stateDir": "{f}/acme",
    "socket": "{f}/acme.sock",
    "hookSocket": "{f}/hook.sock",
    "childUid": {uid},
    "childGid": {uid},
}}
""")
        for i, host in enumerate(self.relay_hosts):
            (f / f"relay{i + 1}.hujson").write_text(f"""{{
    "control": "{self.origin}",
    "caFile": "{self.ca.cert}",
    "stateDir": "{f}/relay{i + 1}",
    "name": "relay{i + 1}",
    "host": "relay{i + 1}.example.org",
    "addresses": {json.dumps([a for a in (host.address, host.address6) if a])},
}}
""")
        self.agent_conf = f / "agent.hujson"
        self.agent_conf.write_text(f"""{{
    "stateDir": "{f}/agent",
    "socket": "{f}/funneld.sock",
    "caFile": "{self.ca.cert}",
}}
""")

    def start_control(self):
        if "control" not in self.processes:
            self.add(self.control_host, "control", BIN / "funnel-control", "run", "--config", self.control_conf)
        self.processes["control"].start()
        self.wait_control()

    def wait_control(self, seconds=20):
        wait_for(lambda: "ok" in self.visitor.run("curl", "-sf", "--cacert", self.ca.cert, f"{self.origin}/healthz"),
                 seconds)

    def start_relay(self, i):
        name = f"relay{i + 1}"
        if name not in self.processes:
            conf = self.folder / f"{name}.hujson"
            key = self.secret("relay-key") if i == 0 else self.new_key("relay")
            path = self.folder / f"{name}.key-once"
            path.touch(mode=0o600)
            path.write_text(key)
            self.relay_hosts[i].run(BIN / "funnel-relay", "enroll", "--config", conf, "--key", f"file:{path}")
            self.add(self.relay_hosts[i], name, BIN / "funnel-relay", "run", "--config", conf)
        self.processes[name].start()

    def secret(self, name):
        return (self.folder / "secrets" / name).read_text().strip()

    def new_key(self, kind):
        out = self.control_host.run(BIN / "funnel-control", "key", "create", kind, "--config", self.control_conf, "--json")
        return json.loads(out)[f"{kind}-key"]

    def start(self):
        self.build()
        self.start_pebble()
        self.write_configs()
        self.control_host.run(BIN / "funnel-control", "init", "--config", self.control_conf, "--owner", "ann@example.com",
                              "--out-dir", self.folder / "secrets")
        self.add(self.control_host, "acme", acme_program(self.folder), "--config", self.acme_conf).start()
        self.start_control()
        for i in range(self.relay_count):
            self.start_relay(i)
        self.add(self.node_host, "agent", BIN / "funneld", "--config", self.agent_conf).start()
        wait_for(lambda: (self.folder / "funneld.sock").exists())
        key = self.folder / "secrets" / "auth-key"
        self.funnel("up", "--control", self.origin, "--auth-key", f"file:{key}", "--hostname", "laptop")
        self.tailnet = self.status()["self"]["tailnet"]
        self.name = f"laptop.{self.tailnet}.{ZONE}"
        self.url = f"https://{self.name}/"
        return self

    # ---- what people do ----

    def funnel_argv(self, *args):
        return [BIN / "funnel", "--socket", self.folder / "funneld.sock", *args]

    def funnel(self, *args, check=True):
        done = subprocess.run(self.node_host.argv(*self.funnel_argv(*args)), capture_output=True, text=True, timeout=90)
        if check and done.returncode:
            raise RuntimeError(f"funnel {args}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done if not check else done.stdout

    def funnel_start(self, *args):
        """A foreground command; stdout and stderr are files to look into."""
        out, err = (self.folder / f"funnel-{time.monotonic_ns()}.{e}" for e in ("out", "err"))
        p = subprocess.Popen(self.node_host.argv(*self.funnel_argv(*args)), stdin=subprocess.DEVNULL, stdout=out.open("wb"),
                             stderr=err.open("wb"), preexec_fn=netlib.die_with_parent)
        p.out, p.err = out, err
        return p

    def wait_live(self, p, seconds=40):
        wait_for(lambda: "Press Ctrl+C" in p.out.read_text() or (p.poll() is not None and 1 / 0), seconds)

    def status(self):
        return json.loads(self.funnel("status", "--json"))

    def api(self, method, path, body=None, headers=(), host=None):
        argv = ["curl", "-s", "--cacert", self.ca.cert, "-X", method, "-w", "\n%{http_code}", "-H",
                f"Authorization: Bearer {self.secret('api-key')}", "-D", self.folder / "headers"]
        for h in headers:
            argv += ["-H", h]
        if body is not None:
            argv += ["--data-binary", "@-"]
        out = subprocess.run((host or self.visitor).argv(*argv, f"{self.origin}{path}"), input=body or "", text=True,
                             capture_output=True, timeout=30)
        text, _, code = out.stdout.rpartition("\n")
        return int(code or 0), text, (self.folder / "headers").read_text()

    def get_policy(self):
        return self.api("GET", "/api/v2/tailnet/-/acl")[1]

    def set_policy(self, text):
        code, body, _ = self.api("POST", "/api/v2/tailnet/-/acl", text)
        if code != 200:
            raise RuntimeError(f"{code} {body}")

    def permit(self):
        """The right by policy, and HTTPS as an approval would switch it on: the first time through a request."""
        self.set_policy('{"nodeAttrs": [{"target": ["autogroup:member"], "attr": ["funnel"]}]}')

    def curl(self, *args, url=None, host=None, check=True, timeout=30):
        argv = ["curl", "-sS", "--cacert", self.pebble_root, "--max-time", timeout, *args, url or self.url]
        done = subprocess.run((host or self.visitor).argv(*argv), capture_output=True, timeout=timeout + 10)
        if check and done.returncode:
            raise RuntimeError(f"curl {args}: exit {done.returncode}\n{done.stderr.decode()}")
        return done.stdout if check else done

    def backend(self, port=3000, script=pathlib.Path(__file__).parent / "backend.py"):
        p = self.add(self.node_host, f"backend-{port}", "/usr/bin/python3", script, port)
        p.start()
        wait_for(lambda: self.node_host.run("curl", "-s", f"http://127.0.0.1:{port}/"))
        return p

    def setup_password(self, password="correct horse battery"):
        """The owner's password by the one-time code, as the page's form sends it."""
        code = self.secret("setup-code")
        done = self.browser_post("/setup", {"code": code, "password": password})
        assert done == 200, done
        self.recovery_codes = re.findall(r"<code>([0-9a-z-]{19})</code>", (self.folder / "page.html").read_text())
        assert len(self.recovery_codes) == 8
        self.password = password

    def pictures(self):
        """Where browser tests leave their screenshots: OPENFUNNEL_PICTURES keeps them."""
        folder = pathlib.Path(os.environ.get("OPENFUNNEL_PICTURES") or self.folder / "pictures").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def browser_post(self, path, fields):
        """A form post as a browser sends it; the cookie jar is kept. The status."""
        argv = ["curl", "-s", "--cacert", self.ca.cert, "-o", self.folder / "page.html", "-w", "%{http_code}", "-c",
                self.folder / "jar", "-b", self.folder / "jar", "-H", f"Origin: {self.origin}"]
        for k, v in fields.items():
            argv += ["--data-urlencode", f"{k}={v}"]
        return int(self.visitor.run(*argv, f"{self.origin}{path}"))

    def page(self, path):
        return self.visitor.run("curl", "-s", "--cacert", self.ca.cert, "-b", self.folder / "jar", f"{self.origin}{path}")

    def approve(self, url, grant=None):
        """Reads the page's form and sends it, as a browser without JavaScript would."""
        path = url.removeprefix(self.origin)
        return self.browser_post(f"{path}/approve", self.approval_form(path, grant))

    def approval_form(self, path, grant=None):
        """The fields of the page's form as a browser would send them untouched."""
        html = self.page(path)
        fields = {k: re.search(rf'name=["\']?{k}["\']? value="([^"]*)"', html).group(1) for k in ("csrf", "etag", "nonce")}
        fields["grant"] = grant or re.search(r'name=grant value="([^"]*)" checked', html).group(1)
        fields["seconds"] = re.search(r"name=seconds value=(\d+) checked", html).group(1)
        for port in re.findall(r"name=(p\d+) value=1 checked>", html):
            fields[port] = "1"
        return fields

    def first_approval(self):
        """From nothing to a permitted node: the whole flow, without a browser."""
        if not (self.folder / "jar").exists():
            self.setup_password()
        p = self.funnel_start("enable")
        url = wait_for(lambda: next((w for w in p.err.read_text().split() if "/f/" in w), None))
        assert self.approve(url) == 303
        assert p.wait(30) == 0, p.err.read_text()

    def stop(self):
        for p in reversed(list(self.processes.values())):
            p.stop()
        self.net.close()
