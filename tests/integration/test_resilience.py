"""kill -9 of each program under traffic; control away; load (acceptance 7 and 9)."""
import concurrent.futures
import hashlib
import json
import subprocess
import threading
import time

import pytest

from cluster import wait_for


class Traffic:
    """A visitor who asks all the time; counts what came back."""

    def __init__(self, c):
        self.c, self.good, self.bad, self.stopping = c, 0, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            done = self.c.curl(check=False, timeout=3)
            if done.returncode == 0:
                self.good += 1
            else:
                self.bad += 1
                time.sleep(0.05)

    def stop(self):
        self.stopping = True
        self.thread.join(20)


def serves(c, seconds, url=None):
    start = time.monotonic()
    wait_for(lambda: c.curl(url=url, check=False, timeout=2).returncode == 0, seconds)
    return time.monotonic() - start


@pytest.mark.parametrize("name", ["control", "relay1", "agent", "acme"])
def test_kill_9_under_traffic(live, name):
    """Back in service within 3 s of its start; what was configured is there, and a foreground funnel goes on as well."""
    other = live.funnel_start("--https=8443", "3000")
    live.wait_live(other)
    before = live.get_policy(), [(f["url"], f["source"]) for f in live.status()["funnels"]]
    assert len(before[1]) == 2
    traffic = Traffic(live)
    wait_for(lambda: traffic.good > 5)
    p = live.processes[name]
    p.kill()
    time.sleep(0.3)
    start = time.monotonic()
    p.start()
    if name == "control":
        live.wait_control(3)
    serves(live, 3)
    took = time.monotonic() - start
    print(f"{name}: serves again {took:.2f} s after its start")
    assert took <= 3
    serves(live, 3, f"https://{live.name}:8443/")
    good = traffic.good
    wait_for(lambda: traffic.good > good + 5)
    traffic.stop()
    wait_for(lambda: live.api("GET", "/healthz")[0] == 200, 10)
    wait_for(lambda: live.status()["control"]["connected"], 10)
    assert (live.get_policy(), [(f["url"], f["source"]) for f in live.status()["funnels"]]) == before
    assert other.poll() is None
    other.terminate()
    other.wait()


def test_new_visitors_while_control_is_away(live):
    """Control is the zone's only name server as yet: what resolvers know stays good for its TTL, a minute."""
    live.forget_names(live.visitor)
    assert live.curl() == b"hello from the backend\n"
    live.processes["control"].kill()
    for _ in range(10):
        assert live.curl() == b"hello from the backend\n"
    # Also after the relay was started anew: routes and keys stand on its disk.
    live.processes["relay1"].kill()
    live.processes["relay1"].start()
    assert serves(live, 5) < 5
    live.processes["control"].start()
    live.wait_control()
    wait_for(lambda: live.status()["control"]["connected"], 10)


def test_acknowledged_writes_survive_kill_9(live):
    """Policy saves in a row; control is killed in the middle; what was answered 200 is there."""
    base = live.get_policy()
    saved = None
    threading.Timer(0.7, live.processes["control"].kill).start()
    for i in range(200):
        text = f"{base.rstrip()}\n// save {i}\n"
        try:
            live.set_policy(text)
        except RuntimeError:
            break
        saved = text
    live.processes["control"].start()
    live.wait_control()
    now = live.get_policy()
    assert saved and (now == saved or now == text)
    live.set_policy(base)
    wait_for(lambda: live.status()["control"]["connected"], 10)


def test_fifty_visitors_and_a_big_file(live):
    wait_for(lambda: live.curl(check=False).returncode == 0)
    block = bytes(range(256)) * 256
    mib = hashlib.sha256(block * 16).hexdigest()
    warm = [live.curl(url=live.url + "big/1048576") for _ in range(3)]
    assert all(hashlib.sha256(w).hexdigest() == mib for w in warm)
    time.sleep(1)
    before = {n: live.processes[n].rss() for n in ("relay1", "agent")}
    # The backend answers none of them before all fifty are there.
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        got = pool.map(lambda _: live.curl("--fail", url=live.url + "together/50/1048576", timeout=60), range(50))
        sums = [hashlib.sha256(g).hexdigest() for g in got]
    assert sums == [mib] * 50
    size = 256 * 1024 * 1024
    whole = hashlib.sha256(block * (size // len(block))).hexdigest()
    got = live.visitor.run("sh", "-c", 'curl -sS --cacert "$1" --max-time 100 "$2" | sha256sum', "sh", live.pebble_root,
                           f"{live.url}big/{size}")
    assert got.split()[0] == whole
    path = live.folder / "upload"
    path.write_bytes(block * (size // len(block)))
    sent = json.loads(live.curl("-T", path, url=live.url + "upload", timeout=100))
    path.unlink()
    assert sent == {"sha256": whole, "bytes": size}
    time.sleep(2)
    after = {n: live.processes[n].rss() for n in before}
    for n in before:
        print(f"{n}: {before[n] / 2**20:.1f} MiB before, {after[n] / 2**20:.1f} MiB after")
        # 16 MiB is what was asked for. Half of that, so that it is memory given back and not luck with the allocator.
        assert after[n] - before[n] <= 8 * 1024 * 1024


def test_a_frozen_agent_costs_no_visitor(live):
    """Legs that go nowhere: the relay gives up after its deadline and the next visitor is served."""
    import signal
    p = live.processes["agent"]
    p.p.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    assert live.curl(check=False, timeout=10).returncode != 0
    assert time.monotonic() - start < 8
    p.p.send_signal(signal.SIGCONT)
    serves(live, 10)
