"""A control server with a large tailnet, for measuring: the release build, limits raised, rows written while it is not running."""
import contextlib
import hmac
import http.client
import pathlib
import resource
import secrets
import sqlite3
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/integration"))
import cluster  # noqa: E402

cluster.BIN = ROOT / "build/release/bin"
import control  # noqa: E402

control.BIN = cluster.BIN


def figure(name, value, unit, goal=None, peer=None):
    import json
    print(json.dumps({k: v for k, v in {"figure": name, "value": value, "unit": unit, "goal": goal, "peer": peer}.items()
                      if v is not None}), flush=True)


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Tailnet(control.Control):
    """`count` nodes of one owner; tokens[i] is what node i shows."""

    def fill(self, count):
        pepper = (self.folder / "state/pepper").read_bytes()
        self.ids = [f"n{i:07}CNTRL" for i in range(count)]
        self.tokens = [f"fnl-node-{secrets.token_hex(16)}" for _ in range(count)]
        now = int(time.time())
        with contextlib.closing(self.db()) as db, db:
            user = db.execute("SELECT id FROM users").fetchone()[0]
            db.executemany(
                "INSERT INTO nodes(tailnet_id, stable_id, user_id, label, hostname, os, version, transport_key, ipv4, ipv6, created)"
                " VALUES(1, ?, ?, ?, ?, 'linux', '1.0', ?, ?, ?, ?)",
                ((self.ids[i], user, f"box-{i}", f"box-{i}", secrets.token_hex(32), f"100.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}",
                  f"fd7a:115c:a1e0::{i + 1:x}", now) for i in range(count)))
            db.executemany("INSERT INTO node_keys(node_id, hash, created) SELECT id, ?, ? FROM nodes WHERE stable_id = ?",
                           ((hmac.digest(pepper, t.encode(), "sha256"), now, n) for t, n in zip(self.tokens, self.ids)))
        return self

    def keys(self, count):
        """So many API keys of the owner: a credential has few event streams."""
        pepper, now = (self.folder / "state/pepper").read_bytes(), int(time.time())
        made = [f"fnl-api-{secrets.token_hex(20)}" for _ in range(count)]
        with contextlib.closing(self.db()) as db, db:
            user = db.execute("SELECT id FROM users").fetchone()[0]
            db.executemany("INSERT INTO keys(tailnet_id, stable_id, kind, hash, user_id, created, expires) VALUES(1, ?, 'api', ?, ?, ?, ?)",
                           ((secrets.token_hex(10), hmac.digest(pepper, k.encode(), "sha256"), user, now, now + 86400) for k in made))
        return made

    def rss(self):
        """KiB that control holds."""
        text = pathlib.Path(f"/proc/{self.p.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.p.pid}/fd").iterdir()))

    def get(self, path, times=1):
        """Seconds of the fastest of some GETs over one connection."""
        best = None
        client = self.owner()
        for _ in range(times):
            began = time.perf_counter()
            answer = client("GET", path)
            took = time.perf_counter() - began
            assert answer.status == 200, answer
            best = took if best is None else min(best, took)
        return best


@contextlib.contextmanager
def tailnet(count):
    with tempfile.TemporaryDirectory() as folder:
        t = Tailnet(folder).configure().fill(count)
        try:
            yield t.start()
        finally:
            t.stop()


__all__ = ["ROOT", "Tailnet", "control", "figure", "http", "raise_descriptors", "sqlite3", "tailnet"]
