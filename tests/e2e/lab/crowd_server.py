#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A server that says who it is, for thousands of connections: crowd_server.py NAME ADDRESS PORT

TCP: greets with its name, answers each line with its name and the line. UDP: answers each datagram
likewise, from the address it was sent to.
"""
import resource
import select
import socket
import sys


def accept_all(listener, poll, connections, name):
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        try:
            connection.send(name + b"\n")
        except OSError:  # a probe that was content, and has gone
            connection.close()
            continue
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)


def answer(connection, name):
    """False when the client has gone."""
    try:
        got = connection.recv(4096)
        if got:
            connection.send(b"".join(name + b" " + line for line in got.splitlines(keepends=True)))
        return bool(got)
    except OSError:
        return False


def answer_datagrams(udp, name):
    while True:
        try:
            got, sender = udp.recvfrom(2048)
            udp.sendto(name + b" " + got, sender)
        except BlockingIOError:
            return
        except OSError:
            pass  # the client has gone


def main():
    name, address, port = sys.argv[1].encode(), sys.argv[2], int(sys.argv[3])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("", port), backlog=4096)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    udp.bind((address, port))
    poll, connections = select.epoll(), {}
    for sock in (listener, udp):
        sock.setblocking(False)
        poll.register(sock, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                accept_all(listener, poll, connections, name)
            elif fd == udp.fileno():
                answer_datagrams(udp, name)
            elif not answer(connections[fd], name):
                connections.pop(fd).close()


main()
