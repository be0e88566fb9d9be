"""The part that needs no privilege: control, DNS, relay and node on loopback high ports, visitors with --connect-to.

Without network namespaces this is what still runs (a certificate needs uacme to see a test CA, which needs a mount
namespace): registration, policy, approval up to the certificate, DNS answers, the relay's front door.
"""
import json
import re
import socket
import subprocess

import pytest

import cluster as clusterlib
import net as netlib
from cluster import BIN, ZONE, wait_for

pytestmark = pytest.mark.loopback


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


class PlainHost:
    """This machine as it is."""

    def __init__(self, name):
        self.name, self.address, self.address6 = name, "127.0.0.1", None
        self.nat = self

    def argv(self, *argv):
        return list(map(str, argv))

    def run(self, *argv, **kw):
        return netlib.run(*argv, **kw)


class HighPorts(clusterlib.Cluster):
    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.relay_count, self.processes, self.root = 1, {}, False
        self.ca = clusterlib.CA(folder)
        self.https, self.dns, *self.relay_ports = free_ports(5)
        self.origin = f"https://127.0.0.1:{self.https}"

    def build(self):
        here = PlainHost("here")
        self.control_host = self.visitor = self.node_host = self.ca_host = here
        self.relay_hosts = [here]

    def start_pebble(self):
        pass

    def _at(self, host, port):
        return [f"127.0.0.1:{ {443: self.https, 53: self.dns}[port] }"]

    def write_configs(self):
        super().write_configs()
        conf = self.folder / "relay1.hujson"
        ports = dict(zip(("443", "8443", "10000"), self.relay_ports))
        conf.write_text(conf.read_text().rstrip().rstrip("}") + f'    "ports": {json.dumps(ports)},\n}}\n')
        # The relay's key is the only thing that the node checks; its name needs no resolver.
        self.acme_conf.write_text(self.acme_conf.read_text().replace(f'"caFile": "{self.ca.cert}"', '"caFile": ""'))

    def stop(self):
        for p in reversed(list(self.processes.values())):
            p.stop()


@pytest.fixture(scope="module")
def here(folder):
    c = HighPorts(folder / "here")
    try:
        c.start()
        yield c
    finally:
        for name, p in c.processes.items():
            print(f"===== {name}\n{p.log.read_text(errors='replace')[-1500:]}")
        c.stop()


def test_registered_and_named(here):
    wait_for(lambda: here.status()["peers"][0]["connected"])
    out = here.visitor.run("kdig", "@127.0.0.1", "-p", here.dns, "+short", here.name, "A")
    assert out.split() == ["127.0.0.1"]
    assert "REFUSED" in here.visitor.run("kdig", "@127.0.0.1", "-p", here.dns, "www.example.com", "A")
    assert "NXDOMAIN" in here.visitor.run("kdig", "@127.0.0.1", "-p", here.dns, f"none.{ZONE}", "A")


def test_policy(here):
    before = here.get_policy()
    code, body, _ = here.api("POST", "/api/v2/tailnet/-/acl", '{"nodeAttrs": [{"target": ["*"], "attr": 7}]}')
    assert code == 400 and json.loads(body)["message"].startswith("line 1, column 42: ")
    assert here.get_policy() == before


def ask(c, *args):
    p = c.funnel_start(*args)
    url = wait_for(lambda: next((w for w in p.err.read_text().split() if "/f/" in w), None))
    return p, url


def test_deny_and_approve(here):
    here.setup_password()
    p, url = ask(here, "enable")
    path = url.removeprefix(here.origin)
    csrf = re.search(r'name=csrf value="([^"]*)"', here.page(path)).group(1)
    assert here.browser_post(f"{path}/deny", {"csrf": csrf, "reason": "no"}) == 303
    assert p.wait(10) == 77
    p, url = ask(here, "--https=8443", "enable")
    assert here.approve(url) == 303
    assert p.wait(10) == 0
    assert "autogroup:member" in here.get_policy() and here.status()["self"]["funnel"]


def test_front_door(here):
    port = here.relay_ports[0]
    done = subprocess.run(["curl", "-sS", "--connect-to", f"{here.name}:443:127.0.0.1:{port}", f"https://{here.name}/"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 35 and "unrecognized name" in done.stderr
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert s.recv(10) == b""


def test_a_used_auth_key_is_refused(here):
    done = here.funnel("up", "--auth-key", f"file:{here.folder / 'secrets/auth-key'}", check=False)
    assert done.returncode == 77 and "used" in done.stderr and "fix:" in done.stderr
    assert subprocess.run([BIN / "funnel", "--version"], capture_output=True, text=True).stdout.startswith("funnel ")
