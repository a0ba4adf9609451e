"""Incidents, acted by real processes in a network namespace of their own.

Each scene forks its actors under names of their own, lets them run, and ends them by their process ids. 10.0.0.1 and
10.0.0.2 are addresses of the namespace's loopback device, so that the kernel does not take the connections for
loopback ones (tcp_tw_reuse = 2 looks at the addresses).
"""

import ctypes
import os
import resource
import signal
import socket
import sys
import time

HERE, THERE = "10.0.0.1", "10.0.0.2"


def actor(name, act, *args):
    """A child of this name, with a process group of its own for its own children."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    act(*args)
    os._exit(0)


def listener(address, backlog=512):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(address)
    server.listen(backlog)
    return server


def connect(address, source=HERE):
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    client.bind((source, 0))
    client.connect(address)
    return client


def ask(client, request=b"ask\n"):
    client.sendall(request)
    return client.recv(4096)


def answer(server):
    """Answers one request after the other until the client closes."""
    while True:
        peer, _ = server.accept()
        while request := peer.recv(4096):
            peer.sendall(request)
        peer.close()


def pooled(server, workers):
    """The same, each connection in a process of its own."""
    for _ in range(workers):
        if os.fork() == 0:
            answer(server)


def short_calls(address, count, gap):
    """Opens a connection for each call and closes it first; goes on where no port is left."""
    for _ in range(count):
        try:
            client = connect(address)
            ask(client)
            client.close()
        except OSError:
            pass
        time.sleep(gap)


def flood():
    """A client that opens a connection for every call: its ports toward the one destination run out soon."""
    server = listener((THERE, 5432))
    yield actor("postgres", answer, server)
    server.close()
    client = actor("api", short_calls, (THERE, 5432), 330, 0.008)
    os.waitpid(client, 0)


def exhausted():
    """The same until no port is left."""
    server = listener((THERE, 5432))
    yield actor("postgres", answer, server)
    server.close()
    client = actor("api", short_calls, (THERE, 5432), 130, 0.01)
    os.waitpid(client, 0)


def leak():
    """A server that never closes what its clients have closed."""

    def keep(server):
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        kept = []
        while True:
            peer, _ = server.accept()
            peer.sendall(peer.recv(4096))
            kept.append(peer)

    server = listener((THERE, 8080))
    yield actor("billing", keep, server)
    server.close()
    client = actor("web", short_calls, (THERE, 8080), 50, 0.05)
    os.waitpid(client, 0)
    time.sleep(1.5)


def proxy():
    """A proxy that opens a connection to its upstream for each request, and closes first on both sides."""

    def forward(server):
        while True:
            peer, _ = server.accept()
            request = peer.recv(4096)
            upstream = connect((THERE, 9000))
            peer.sendall(ask(upstream, request))
            upstream.close()
            peer.close()

    def clients(count):
        for _ in range(count):
            client = connect((HERE, 8080), THERE)
            ask(client)
            client.recv(1)
            client.close()
            time.sleep(0.008)

    backend, front = listener((THERE, 9000)), listener((HERE, 8080))
    yield actor("backend", answer, backend)
    yield actor("proxy", forward, front)
    backend.close()
    front.close()
    client = actor("browser", clients, 200)
    os.waitpid(client, 0)


def queue():
    """A listener whose process never accepts, and clients that give up or wait."""

    def clients():
        waiting = []
        for number in range(30):
            client = socket.socket()
            client.setblocking(False)
            client.bind((HERE, 0))
            client.connect_ex((THERE, 8080))
            waiting.append(client)
            time.sleep(0.02)
            if number % 4 == 0:
                client.close()
        time.sleep(60)

    yield actor("worker", lambda: (listener((THERE, 8080), 16), time.sleep(60)))
    time.sleep(0.3)
    yield actor("web", clients)
    time.sleep(5)


def idle():
    """A server that closes after 5 s without a request, and a pool of clients that keeps its connections for longer."""

    def serve(server):
        server.settimeout(0.02)
        peers = {}
        while True:
            try:
                peer, _ = server.accept()
                peers[peer] = time.monotonic()
                peer.setblocking(False)
            except TimeoutError:
                pass
            for peer, last in list(peers.items()):
                try:
                    if request := peer.recv(4096):
                        peer.sendall(request)
                        peers[peer] = time.monotonic()
                except BlockingIOError:
                    if time.monotonic() - last >= 5:
                        peer.close()
                        del peers[peer]

    def pool():
        clients = []
        for _ in range(12):
            client = connect((THERE, 8080))
            ask(client)
            clients.append(client)
            time.sleep(0.1)
        for client in clients:
            client.recv(1)
            client.close()

    server = listener((THERE, 8080))
    yield actor("httpd", serve, server)
    server.close()
    client = actor("pool", pool)
    os.waitpid(client, 0)


def healthy():
    """A few connections that are used again and again, and closed by the client at the end."""

    def pool():
        clients = [connect((THERE, 5432)) for _ in range(4)]
        for _ in range(100):
            for client in clients:
                ask(client)
            time.sleep(0.02)
        for client in clients:
            client.close()

    server = listener((THERE, 5432))
    yield actor("postgres", pooled, server, 4)
    server.close()
    client = actor("api", pool)
    os.waitpid(client, 0)
    time.sleep(0.5)


SCENES = [flood, exhausted, leak, proxy, queue, idle, healthy]
PORT_RANGES = {"flood": "40000 40399", "exhausted": "40000 40099"}


def main():
    """`set SCENE` is for before the recording, which keeps the settings; `act SCENE` is for after its begin."""
    step, name = sys.argv[1:]
    if step == "set":
        if name in PORT_RANGES:
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
                file.write(PORT_RANGES[name])
        return
    scene = {scene.__name__: scene for scene in SCENES}[name]
    actors = []
    for pid in scene():
        actors.append(pid)
    # The run is to end while things are as they are: whoever records says when.
    print("acted", flush=True)
    sys.stdin.read()
    for pid in actors:
        os.killpg(pid, signal.SIGTERM)


main()
