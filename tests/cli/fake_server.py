#!/usr/bin/env python3
"""fake_server.py DIRECTORY PID VM...: a control socket with scripted answers.

Stands in for axvm-run where the client is tested: DIRECTORY/PID.sock speaks the
protocol of docs/control.md, and every request is a line of DIRECTORY/PID.log.
What a VM does is in its name: running, stopped, deaf (never answers), broken
(dies within a line), huge (an endless line), babel (no JSON), slow-console
(reads nothing), mute (its console closes at once).
"""
import json
import os
import socket
import sys
import threading

directory, pid, vms = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
log = open(f"{directory}/{pid}.log", "w")
lock = threading.Lock()
exits = 0


def summary(name):
    return {"id": vms.index(name) + 1, "name": name,
            "state": "stopped" if name == "stopped" else "running",
            "vcpu": "0,1", "memory": "512MB", "memory_bytes": 512 << 20,
            "vcpu_state": "Run:1,Blk:1", "vcpus": 2, "kept": False}


def show(name):
    return {**summary(name), "vcpus": [{"id": 0, "state": "Run"},
                                       {"id": 1, "state": "Blk"}],
            "memory_regions": [{"gpa": 0, "size": 512 << 20, "flags": "rwx"}],
            "devices": [{"type": "uart16550", "space": "port", "base": 0x3f8}],
            "what": "bzImage, 64-bit", "starts": 2,
            "end": {"cause": "exit", "code": 16}, "console": "stdio",
            "config": "[base]\nid = 1\n"}


def stats(name):
    global exits
    exits += 1000
    return {"vm": name, "state": "running", "booted": "bzImage",
            "vcpus": [{"id": 0, "state": "Run"}],
            "exits": {"IoRead": exits, "Hlt": 0},
            "accesses": {"port": {"devices": [
                {"type": "uart16550", "base": 1016, "reads": 7, "writes": 8}],
                "unclaimed_reads": 1, "unclaimed_writes": 0}},
            "timeline_ms": {"first_run": 12.5}}


EVENTS = [
    {"event": "state", "id": 1, "name": "linux", "state": "running"},
    {"event": "end", "id": 1, "name": "linux", "cause": "crash"},
    {"event": "deleted", "id": 1, "name": "linux"},
]


class Refused(Exception):
    pass


def find(word):
    if word in vms:
        return word
    if word.isdigit() and 0 < int(word) <= len(vms):
        return vms[int(word) - 1]
    raise Refused("unknown-vm", f"no VM '{word}'")


def work(command, request):
    if command == "list":
        return {"vms": [summary(name) for name in vms]}
    if command in ("events", "quit"):
        return {}
    if command == "create":
        if "bad" in request["file"]:
            raise Refused("bad-config", "x.toml:1:1: error: one\n"
                          "x.toml:2:1: error: two\n")
        return {**summary(vms[0]), "state": "loaded"}
    name = find(request["vm"])
    if command == "show":
        return show(name)
    if command == "stats":
        return stats(name)
    if command == "dump":
        return {"bytes": 4096}
    if command == "wait":
        raise Refused("timeout", f"'{name}' is still running")
    if command == "stop" and name == "stopped":
        raise Refused("refused", "VM is already stopped")
    if command == "gdb":
        return {} if "off" in request else {
            "address": request.get("listen", f"/run/{name}.gdb")}
    if command == "disk":
        return {"size": request.get("size", 1048576)}
    if command == "net":
        return {"cards": []}
    if command == "nmi" or command == "console":
        return {}
    return {"state": {"stop": "stopped", "suspend": "suspended",
                      "delete": "deleted"}.get(command, "running")}


def console(peer, name):
    peer.sendall(b"login: ")
    if name == "slow-console":
        threading.Event().wait()
    while name != "mute":
        data = peer.recv(4096)
        if not data:
            return
        peer.sendall(data.upper())
        if b"bye" in data:
            return


def serve_line(peer, line):
    """False: the connection ends."""
    request = json.loads(line)
    with lock:
        log.write(line + "\n")
        log.flush()
    command, name = request["command"], request.get("vm", "")
    if command != "list":
        if name == "deaf":
            threading.Event().wait()
        if name == "broken":
            peer.sendall(b'{"id": 1, "result": {"sta')
            return False
        if name == "babel":
            peer.sendall(b"what?\n")
            return True
        if name == "huge":
            while True:
                peer.sendall(b"x" * 65536)
    try:
        answer = {"result": work(command, request)}
    except Refused as error:
        answer = {"error": {"code": error.args[0], "message": error.args[1]}}
    text = json.dumps({"id": request["id"], **answer}) + "\n"
    if command == "events":
        # In one piece with the answer: the client must not lose what follows.
        for event in EVENTS:
            text += json.dumps({**event, "time": 1763700000.123}) + "\n"
    peer.sendall(text.encode())
    if command == "console":
        console(peer, name)
        return False
    if command == "events":
        if "forever" in vms:
            peer.recv(1)
        return False
    if command == "quit":
        os.unlink(path)
        os._exit(0)
    return True


def serve(peer):
    try:
        version = 2 if "future" in vms else 1
        peer.sendall(json.dumps({"axvm": version, "version": "0", "pid": pid})
                     .encode() + b"\n")
        for line in peer.makefile("r"):
            if not serve_line(peer, line.rstrip("\n")):
                break
    except OSError:
        pass
    peer.close()


path = f"{directory}/{pid}.sock"
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(16)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],),
                     daemon=True).start()
