"""All packets of the host's interfaces into a pcap file, until SIGTERM; then how many there were and how many were lost.

    capture.py FILE

tcpdump does this as root; inside a user namespace of one user it cannot give up privileges that nobody else has.
"""
import signal
import socket
import struct
import sys
import time

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 3, 263, 6, 33
ROOM = 64 << 20


def main(path):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    try:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    except PermissionError:  # not the machine's own root: what everybody may have
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    s.settimeout(0.2)
    with open(path, "wb", buffering=0) as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 0x40000, 1))
        while True:
            if stopped:
                s.setblocking(False)  # what has come until now
            try:
                packet = s.recv(0x40000)
            except TimeoutError:
                continue
            except BlockingIOError:
                break
            now = time.time()
            out.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(packet), len(packet)) + packet)
    count, lost = struct.unpack("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(f"{count} packets, {lost} lost", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
