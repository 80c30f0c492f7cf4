"""One connection of python-socketio to the fixture: python3 client.py URL TRANSPORTS TOKEN.

TRANSPORTS is polling, websocket or polling,websocket (which upgrades). Prints one JSON object of what it saw; the tests
beside it judge. A wait that runs out ends the program with its name.
"""
import json
import sys
import threading

import socketio

PATIENCE = 20  # seconds; far more than an answer needs on a busy machine
url, transports, token = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
seen, events = {}, {}
client = socketio.Client(reconnection=False)


def event(name):
    return events.setdefault(name, threading.Event())


def wait(name):
    if not event(name).wait(PATIENCE):
        sys.exit(f"{name}: nothing within {PATIENCE} s")


@client.on("*")
def heard(name, *args):
    seen[name] = [list(a) if isinstance(a, (bytes, bytearray)) else a for a in args]
    event(name).set()


@client.on("disconnect")
def left():
    event("left").set()


client.connect(url, transports=transports, namespaces=["/"], wait_timeout=PATIENCE)
client.emit("echo", ("text \u00e9\u2028\U0001F600", 1.5, None, {"deep": [True]}))
wait("echo")
seen["text"] = seen.pop("echo")
event("echo").clear()
client.emit("echo", {"bytes": b"\x00\x01\xfe\xff"})
wait("echo")
seen["binary"] = [list(seen.pop("echo")[0]["bytes"])]
seen["answer"] = client.call("ack", ("two", {"n": 2}), timeout=PATIENCE)
seen["transport"] = client.transport()
seen["sid"] = client.get_sid()
client.disconnect()
wait("left")

second = socketio.Client(reconnection=False)
second.connect(url, transports=transports, namespaces=["/admin"], auth={"token": "secret"}, wait_timeout=PATIENCE)
seen["admin"] = second.get_sid("/admin") is not None
second.disconnect()

third = socketio.Client(reconnection=False)
try:
    third.connect(url, transports=transports, namespaces=["/admin"], auth={"token": token}, wait_timeout=3)  # of a refusal it hears only so
    seen["stranger"] = "let in"
except socketio.exceptions.ConnectionError as error:
    seen["stranger"] = "refused"
third.disconnect()
print(json.dumps(seen))
