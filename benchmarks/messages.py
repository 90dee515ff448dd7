"""Measures how fast logs are read: python benchmarks/messages.py [MB] (with src/ on PYTHONPATH)."""

import io
import resource
import sys
import time

from inuse.messages import recognise, scan

SYSLOG = [
    f"Nov 22 12:{i % 60:02d}:31 host sshd[{i % 9999}]: Accepted publickey for anna from 10.1.{i % 255}.3 port "
    f"{50000 + i % 9999} ssh2\n"
    if i % 3
    else f"Nov 22 12:{i % 60:02d}:31 host kernel: [{i}.123456] usb 1-1: new high-speed USB device number {i % 20}\n"
    for i in range(20_000)
]
NGINX = [
    f'10.1.2.{i % 255} - - [22/Nov/2026:12:14:{i % 60:02d} +0000] "GET /api/v1/items/{i}?page=2 HTTP/1.1" 200 '
    f'{i % 9000} "https://example.org/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"\n'
    for i in range(20_000)
]
JSON = [
    f'{{"time":"2026-11-22T12:14:31.{i % 1000:03d}Z","level":"info","msg":"request handled","path":"/items/{i}",'
    f'"status":200,"duration_ms":{i % 90},"remote":"10.0.0.{i % 255}:{40000 + i % 9999}"}}\n'
    for i in range(20_000)
]
ERRORS = [
    f"2026/11/22 12:14:{i % 60:02d} [emerg] {i}#{i}: bind() to 0.0.0.0:{1024 + i % 60000} failed "
    "(98: Address already in use)\n"
    for i in range(20_000)
]
#: No two alike, so that nothing is told from another.
WORDS = [
    f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676 % 26)}-server: cannot listen on 127.0.0.1:"
    f"{1024 + i}: Address already in use\n"
    for i in range(5_000)
]
RETRIES = [line.replace(f":{1024 + i % 60000} failed", ":80 failed") for i, line in enumerate(ERRORS)]
MIXED = [error if i % 100 == 0 else line for i, (line, error) in enumerate(zip(SYSLOG, ERRORS, strict=True))]
#: An error, each time another, and a line that is none, by turns.
TURNS = [line for pair in zip(ERRORS, SYSLOG, strict=True) for line in pair]
HOSTILE = ["x " * 500_000]


def measure(name, lines, megabytes):
    data = "".join(lines).encode()
    data = (data * (int(megabytes * 2**20) // len(data) + 1))[: int(megabytes * 2**20)]
    begun = time.process_time()
    count = sum(1 for _one in scan(io.BytesIO(data)))
    seconds = time.process_time() - begun
    print(f"{name:28} {megabytes / seconds:8.1f} MB/s  {count} found")


class Endless(io.RawIOBase):
    """A gigabyte of one block, without keeping it."""

    def __init__(self, block, size):
        self.block, self.left = block, size

    def read(self, size=-1):
        given = self.block[: min(size, self.left)]
        self.left -= len(given)
        return given


def main():
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    begun = time.process_time()
    recognise("Error: listen EADDRINUSE: address already in use :::3000")
    print(f"first message, catalogue and all: {(time.process_time() - begun) * 1000:.0f} ms")
    measure("syslog", SYSLOG, megabytes)
    measure("nginx", NGINX, megabytes)
    measure("JSON", JSON, megabytes)
    measure("not ASCII", [line.replace("host", "größe") for line in SYSLOG], megabytes)
    measure("1 % errors", MIXED, megabytes)
    measure("one error over and over", RETRIES, megabytes)
    measure("nothing but errors", ERRORS, 1)
    measure("every other line an error", TURNS, 1)
    measure("errors, no two alike", WORDS, 0.3)
    measure("a line without end", HOSTILE, megabytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _one in scan(Endless("".join(MIXED).encode()[: 256 * 1024], 2**30)):
        pass
    print(f"1 GB more: {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.1f} MB more memory")


if __name__ == "__main__":
    main()
