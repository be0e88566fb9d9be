"""A TLS 1.3 client that says its ClientHello as it is told to: any size, any order of extensions, any split over records
and writes. The handshake is real (X25519, AES-128-GCM, RFC 8446), so that "served" means served by whoever has the key.

    tls13.py ADDRESS PORT NAME SHAPE CUT CHAIN_FILE

prints the hello's size and "served", "alert N" or "closed", with the seconds since the connection began. CHAIN_FILE is the
node's own: it must be what the handshake shows.
"""
import hashlib
import hmac
import os
import socket
import struct
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
RECORD_MAX = 16384
RANDOM = os.urandom(32)
KEY = X25519PrivateKey.generate()


# ---- the hello ----

def vec(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + vec(2, data)


def hello(name, pad=0, post_quantum=False, sni_last=False):
    """The handshake message. `pad` bytes of padding stand before everything else, or before the name alone."""
    shares = b"\x00\x1d" + vec(2, KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
    groups = b"\x00\x1d"
    if post_quantum:  # as browsers do it: X25519MLKEM768 first, which makes a hello of 1.8 KB
        shares = b"\x11\xec" + vec(2, os.urandom(1216)) + shares
        groups = b"\x11\xec" + groups
    sni = extension(0, vec(2, b"\0" + vec(2, name.encode())))
    rest = (extension(10, vec(2, groups)) + extension(13, vec(2, b"\x04\x03\x08\x04")) + extension(43, vec(1, b"\x03\x04")) +
            extension(51, vec(2, shares)) + extension(16, vec(2, vec(1, b"http/1.1"))))
    padding = extension(21, bytes(pad)) if pad else b""
    body = b"\x03\x03" + RANDOM + vec(1, b"") + vec(2, b"\x13\x01") + vec(1, b"\0")
    body += vec(2, padding + (rest + sni if sni_last else sni + rest))
    return b"\x01" + vec(3, body)


def records(message, size=RECORD_MAX):
    return b"".join(struct.pack(">BHH", HANDSHAKE, 0x0301, len(message[i:i + size])) + message[i:i + size]
                    for i in range(0, len(message), size))


SHAPES = {
    "plain": lambda name: hello(name),
    "post-quantum": lambda name: hello(name, post_quantum=True, pad=400),
    "sni-last": lambda name: hello(name, pad=9200, sni_last=True),
    "huge": lambda name: hello(name, pad=64000, sni_last=True),
    "too-big": lambda name: hello(name, pad=65350, sni_last=True),
    "upper-case": lambda name: hello(name.upper()),
    "no-name": lambda name: hello(name).replace(extension(0, vec(2, b"\0" + vec(2, name.encode()))),
                                                extension(0x5555, vec(2, b"\0" + vec(2, name.encode())))),
}


def pieces(wire, *at):
    return [wire[a:b] for a, b in zip((0, *at), (*at, len(wire)))]


# How it goes onto the wire: chunks, and the pause after each.
CUTS = {
    "one-write": lambda m: ([records(m)], 0),
    "bytes": lambda m: ([bytes([b]) for b in records(m)], 0.0001),
    "at-100": lambda m: (pieces(records(m), 100), 0.1),
    "at-1400": lambda m: (pieces(records(m), 1400), 0.1),
    "two-records": lambda m: ([records(m, len(m) // 2 + 1)], 0),
    "small-records": lambda m: ([records(m, 50)], 0),
    "small-records-bytes": lambda m: ([bytes([b]) for b in records(m, 50)], 0.0001),
    "gap-between": lambda m: (pieces(records(m, len(m) // 2 + 1), len(m) // 2 + 6), 2),  # between two records
    "gap-inside": lambda m: (pieces(records(m), len(m) // 2), 2),
    "half-then-silence": lambda m: ([records(m)[:len(m) // 2]], 0),
    "drip": lambda m: ([bytes([b]) for b in records(m)[:40]], 0.3),
    "nothing": lambda m: ([], 0),
}


# ---- the handshake ----

def label(secret, text, context, size):
    info = struct.pack(">H", size) + vec(1, b"tls13 " + text) + vec(1, context)
    out, block, i = b"", b"", 1
    while len(out) < size:
        block = hmac.digest(secret, block + info + bytes([i]), "sha256")
        out, i = out + block, i + 1
    return out[:size]


def digest(data):
    return hashlib.sha256(data).digest()


class Keys:
    def __init__(self, secret):
        self.secret, self.seq = secret, 0
        self.aead, self.iv = AESGCM(label(secret, b"key", b"", 16)), label(secret, b"iv", b"", 12)

    def nonce(self):
        n = int.from_bytes(self.iv, "big") ^ self.seq
        self.seq += 1
        return n.to_bytes(12, "big")

    def seal(self, kind, data):
        head = struct.pack(">BHH", DATA, 0x0303, len(data) + 17)
        return head + self.aead.encrypt(self.nonce(), data + bytes([kind]), head)

    def open(self, head, data):
        plain = self.aead.decrypt(self.nonce(), data, head).rstrip(b"\0")
        return plain[-1], plain[:-1]

    def finished(self, transcript):
        return hmac.digest(label(self.secret, b"finished", b"", 32), digest(transcript), "sha256")


class Closed(Exception):
    pass


class Alert(Exception):
    pass


class Client:
    def __init__(self, sock):
        self.sock, self.buffer, self.keys, self.messages = sock, b"", None, b""

    def record(self):
        while len(self.buffer) < 5 or len(self.buffer) < 5 + int.from_bytes(self.buffer[3:5], "big"):
            more = self.sock.recv(65536)
            if not more:
                raise Closed()
            self.buffer += more
        size = 5 + int.from_bytes(self.buffer[3:5], "big")
        head, data, self.buffer = self.buffer[:5], self.buffer[5:size], self.buffer[size:]
        if head[0] == CHANGE_CIPHER_SPEC:  # for middleboxes only
            return self.record()
        kind, data = self.keys.open(head, data) if self.keys else (head[0], data)
        if kind == ALERT and data[1]:
            raise Alert(data[1])
        if kind == ALERT:
            raise Closed()
        return kind, data

    def message(self):
        """The next handshake message, whole."""
        while len(self.messages) < 4 or len(self.messages) < 4 + int.from_bytes(self.messages[1:4], "big"):
            kind, data = self.record()
            if kind == HANDSHAKE:
                self.messages += data
        size = 4 + int.from_bytes(self.messages[1:4], "big")
        out, self.messages = self.messages[:size], self.messages[size:]
        return out

    def handshake(self, client_hello, own_leaf):
        transcript = client_hello
        answer = self.message()
        transcript += answer
        at = 4 + 2 + 32
        at += 1 + answer[at] + 2 + 1
        exts, i, share = answer[at + 2:], 0, None
        while i < len(exts):
            kind, size = struct.unpack(">HH", exts[i:i + 4])
            if kind == 51:
                share = exts[i + 8:i + 4 + size]
            i += 4 + size
        shared = KEY.exchange(X25519PublicKey.from_public_bytes(share))
        early = hmac.digest(bytes(32), bytes(32), "sha256")
        secret = hmac.digest(label(early, b"derived", digest(b""), 32), shared, "sha256")
        mine = Keys(label(secret, b"c hs traffic", digest(transcript), 32))
        self.keys = Keys(label(secret, b"s hs traffic", digest(transcript), 32))
        leaf = None
        while True:
            m = self.message()
            if m[0] == 11:
                leaf = x509.load_der_x509_certificate(m[11:11 + int.from_bytes(m[8:11], "big")])
                assert leaf == own_leaf, leaf.subject
            elif m[0] == 15:  # CertificateVerify: it has the key of that certificate
                signed = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + digest(transcript)
                leaf.public_key().verify(m[8:], signed, ec.ECDSA(hashes.SHA256()))
            elif m[0] == 20:
                assert hmac.compare_digest(m[4:], self.keys.finished(transcript))
            transcript += m
            if m[0] == 20:
                break
        self.sock.sendall(mine.seal(HANDSHAKE, b"\x14" + vec(3, mine.finished(transcript))))
        master = hmac.digest(label(secret, b"derived", digest(b""), 32), bytes(32), "sha256")
        self.mine = Keys(label(master, b"c ap traffic", digest(transcript), 32))
        self.keys = Keys(label(master, b"s ap traffic", digest(transcript), 32))

    def get(self, name):
        self.sock.sendall(self.mine.seal(DATA, f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()))
        out = b""
        try:
            while True:
                kind, data = self.record()
                out += data if kind == DATA else b""
        except Closed:
            return out


def main(address, port, name, shape, cut, chain_file):
    message = SHAPES[shape](name)
    chunks, pause = CUTS[cut](message)
    own = None if chain_file == "-" else x509.load_pem_x509_certificate(open(chain_file, "rb").read())
    start = time.monotonic()
    sock = socket.create_connection((address, int(port)), 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Client(sock)
    try:
        for i, chunk in enumerate(chunks):
            sock.sendall(chunk)
            if pause and i + 1 < len(chunks):
                time.sleep(pause)
        client.handshake(message, own)
        said = "served" if client.get(name).endswith(b"hello from the backend\n") else "something else"
    except Alert as e:
        said = f"alert {e}"
    except (Closed, ConnectionError):
        said = "closed"
    print(f"{len(message)} {said} {time.monotonic() - start:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
