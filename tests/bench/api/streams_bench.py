#!/usr/bin/python3
"""N nodes connected at once, a policy change that touches all of them: how long until the last has it, and what a stream costs."""
import json
import os
import select
import socket
import ssl
import sys
import time

from tailnet import figure, raise_descriptors, tailnet

RESERVE = 500  # descriptors for everything else
PROBE = 8      # streams that tell how many descriptors one takes


class Line:
    """One node's stream, read without threads: ten thousand of them are waited for at once."""

    def __init__(self, t, token):
        s = socket.create_connection(("127.0.0.1", t.port))
        self.s = t.tls.wrap_socket(s, server_hostname="127.0.0.1")
        self.s.sendall(f"GET /node/v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{t.port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.text = b""

    def begun(self):
        """Blocks until the first line of the stream is here."""
        while b'"' not in self.text.partition(b"\r\n\r\n")[2]:
            more = self.s.recv(65536)
            assert more, self.text
            self.text += more
        assert b" 200 " in self.text.split(b"\r\n")[0], self.text
        self.s.setblocking(False)
        self.text = b""

    def take(self):
        """What has come; True once a capability map without funnel is in it."""
        try:
            while True:
                more = self.s.recv(65536)
                assert more, "the stream has ended"
                self.text += more
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        return b"caps" in self.text or b"capMap" in self.text or b"funnel" in self.text


def connect(t, tokens):
    lines = []
    for token in tokens:
        line = Line(t, token)
        line.begun()
        lines.append(line)
    return lines


def deliver(t, lines):
    """Seconds from the save to the last node's line."""
    poll = select.epoll()
    by_fd = {line.s.fileno(): line for line in lines}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    for line in lines:
        line.take()
        line.text = b""
    began = time.perf_counter()
    answer = t.owner().acl('{"nodeAttrs": [{"target": ["*"], "attr": ["funnel"]}]}', If_Match="*")
    assert answer.status == 200, answer
    waiting = set(by_fd)
    while waiting:
        events = poll.poll(30)
        assert events, f"{len(waiting)} of {len(lines)} nodes heard nothing in 30 s"
        for fd, _ in events:
            if by_fd[fd].take():
                waiting.discard(fd)
                poll.unregister(fd)
    return time.perf_counter() - began


def main():
    hard = raise_descriptors()
    with tailnet(min(10000, hard)) as t:
        assert t.owner().acl('{"nodeAttrs": []}', If_Match="*").status == 200
        base = t.descriptors()
        lines = connect(t, t.tokens[:PROBE])
        each = max(1, round((t.descriptors() - base) / PROBE))
        n = min(10000, (hard - RESERVE) // each)
        print(f"streams: N = {n} (hard descriptor limit {hard}, {each} each)", file=sys.stderr)
        before = t.rss()
        lines += connect(t, t.tokens[PROBE:n])
        grown = t.rss() - before
        seconds = deliver(t, lines)
        figure("node streams at once (N)", n, "streams")
        figure("a policy change for all N streams delivered", seconds, "s", "<= 2")
        figure("memory of control per stream", grown / (n - PROBE), "KiB", "<= 40")
        for line in lines:
            line.s.close()


if __name__ == "__main__":
    main()
