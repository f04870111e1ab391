# SPDX-License-Identifier: BSD-2-Clause
"""A server that answers each line with its name and the line, for connections by the thousand.
usage: echo.py NAME PORT"""
import resource
import select
import socket
import sys

ROOM = 20000


def main(name, port):
    resource.setrlimit(resource.RLIMIT_NOFILE, (ROOM, ROOM))
    listener = socket.create_server(("", port), backlog=4096)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                accept_all(listener, poll, clients)
            else:
                answer(fd, name, poll, clients)


def accept_all(listener, poll, clients):
    while True:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError:
            continue
        client.setblocking(False)
        clients[client.fileno()] = client
        poll.register(client, select.EPOLLIN)


def answer(fd, name, poll, clients):
    try:
        line = clients[fd].recv(1000)
        if line:
            clients[fd].send(name + b" " + line)
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    poll.unregister(fd)
    clients.pop(fd).close()


if __name__ == "__main__":
    main(sys.argv[1].encode(), int(sys.argv[2]))
