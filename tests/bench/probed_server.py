#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Servers to be probed, thousands of them in one process: probed_server.py CERTIFICATE KEY PROTOCOL:PORT...

Listens at each port of every address of the machine and speaks just enough of the protocol: tcp, smtp, imap, pop3,
http, tls (the handshake), https."""
import asyncio
import ssl
import sys

GREETING = {"smtp": b"220 mx ESMTP\r\n", "imap": b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "pop3": b"+OK ready\r\n"}


def answer(protocol, line):
    """To a line: bytes, and whether the server closes then."""
    words = line.upper().split()
    if protocol == "smtp":
        if words[:1] == [b"QUIT"]:
            return b"221 bye\r\n", True
        return b"250 mx\r\n", False
    if protocol == "pop3":
        if words[:1] == [b"QUIT"]:
            return b"+OK bye\r\n", True
        return b"+OK\r\nUIDL\r\n.\r\n", False
    tag = line.split(b" ")[0]
    if words[1:2] == [b"LOGOUT"]:
        return b"* BYE bye\r\n" + tag + b" OK done\r\n", True
    return b"* CAPABILITY IMAP4rev1\r\n" + tag + b" OK done\r\n", False


class Conversation(asyncio.Protocol):
    def __init__(self, protocol):
        self.protocol, self.got = protocol, b""

    def connection_made(self, transport):
        self.transport = transport
        if self.protocol in GREETING:
            transport.write(GREETING[self.protocol])

    def data_received(self, data):
        self.got += data
        if self.protocol in ("http", "https"):
            if b"\r\n\r\n" in self.got:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                self.transport.close()
            return
        while b"\n" in self.got:
            line, self.got = self.got.split(b"\n", 1)
            reply, over = answer(self.protocol, line.strip())
            self.transport.write(reply)
            if over:
                self.transport.close()


async def main():
    loop = asyncio.get_running_loop()
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(sys.argv[1], sys.argv[2])
    for protocol, port in (row.split(":") for row in sys.argv[3:]):
        await loop.create_server(lambda p=protocol: Conversation(p), "0.0.0.0", int(port), backlog=8192,
                                 ssl=secure if protocol in ("tls", "https") else None)
    await asyncio.Event().wait()


asyncio.run(main())
