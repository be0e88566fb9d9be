"""The relay's front door: every row of field.md section 5, and clients that never come to the point (acceptance 8)."""
import pathlib
import subprocess

import pytest

from cluster import wait_for

TLS13 = pathlib.Path(__file__).parent / "tls13.py"


def say(c, shape, cut, name=None):
    """(size of the hello, what came of it, seconds)"""
    out = c.visitor.run("/usr/bin/python3", TLS13, c.relay_hosts[0].address, 443, name or c.name, shape, cut,
                        c.folder / "agent/chain.pem").split()
    return int(out[0]), " ".join(out[1:-1]), float(out[-1])


@pytest.mark.parametrize("shape, cut, least", [
    ("plain", "one-write", 0),
    ("plain", "bytes", 0),
    ("plain", "at-100", 0),
    ("post-quantum", "at-1400", 1750),
    ("post-quantum", "bytes", 1750),
    ("sni-last", "one-write", 9300),
    ("plain", "two-records", 0),
    ("plain", "small-records", 0),
    ("plain", "gap-between", 0),
    ("plain", "gap-inside", 0),
    ("upper-case", "one-write", 0),
    # Not in the table: combinations, and the largest that is taken.
    ("sni-last", "two-records", 9300),
    ("sni-last", "small-records", 9300),
    ("sni-last", "small-records-bytes", 9300),
    ("sni-last", "gap-between", 9300),
    ("upper-case", "small-records", 0),
    ("huge", "one-write", 64000),
])
def test_clienthello_reaches_the_node(live, shape, cut, least):
    """A whole handshake with the node's own certificate, and its backend's page: no misroute, no refusal."""
    size, said, _ = say(live, shape, cut)
    assert said == "served" and size >= least


@pytest.mark.parametrize("shape, cut", [("huge", "small-records"), ("too-big", "one-write")])
def test_what_is_over_64_kib_on_the_wire_is_closed_at_once(live, shape, cut):
    _, said, seconds = say(live, shape, cut)
    assert said == "closed" and seconds < 2


@pytest.mark.parametrize("cut", ["nothing", "half-then-silence", "drip"])
def test_silent_and_half_open_clients_go_after_five_seconds(live, cut):
    _, said, seconds = say(live, "plain", cut)
    # A client that drips learns of it with its next byte but one.
    assert said == "closed" and 4.5 < seconds < 6
    wait_for(lambda: not sockets(live), 2)


def sockets(c):
    """The relay's connections with the visitor's host."""
    out = c.relay_hosts[0].run("ss", "-Htn", "state", "established", "sport", "=", ":443")
    return [l for l in out.splitlines() if c.visitor.address in l]


def test_no_name_and_unknown_names_hear_the_alert(live):
    assert say(live, "no-name", "one-write")[1] == "alert 112"
    assert say(live, "plain", "one-write", "unknown.example.net")[1] == "alert 112"
    assert say(live, "plain", "bytes", f"x.{live.name}")[1] == "alert 112"
    done = live.visitor.argv("openssl", "s_client", "-connect", f"{live.relay_hosts[0].address}:443", "-servername",
                             "unknown.example.net")
    out = subprocess.run(done, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert "unrecognized name" in out.stdout + out.stderr
