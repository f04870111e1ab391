#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An SMTP server that can go wrong: fault_server.py PORT. SIGUSR1: from now on it greets with 421; SIGUSR2: no more."""
import asyncio
import signal
import sys

LEAVING = False


def leave(value):
    global LEAVING
    LEAVING = value


class Conversation(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"421 4.3.2 shutting down\r\n" if LEAVING else b"220 mx ESMTP\r\n")
        if LEAVING:
            transport.close()

    def data_received(self, data):
        quits = data.upper().startswith(b"QUIT")
        self.transport.write(b"221 bye\r\n" if quits else b"250 mx\r\n")
        if quits:
            self.transport.close()


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, leave, True)
    loop.add_signal_handler(signal.SIGUSR2, leave, False)
    await loop.create_server(Conversation, None, int(sys.argv[1]), backlog=1024)
    await asyncio.Event().wait()


asyncio.run(main())
