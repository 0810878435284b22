"""leak.py leaks in one of several ways, while churn makes thirty times as much garbage of the same size."""
import array
import asyncio
import collections
import ctypes
import functools
import gc
import io
import sys
import threading
import time

import store
from store import Session

BLOBS = []
QUEUE = collections.deque()
SEEN = set()
RING = {}
LOG = bytearray()
BUCKETS = {"users": [], "events": [], "orders": []}
SWEPT = {}
ERRORS = []
SAMPLES = array.array("d", range(20000))
OUT = io.BytesIO()
OUT.write(b"x" * 100000)
head = None
text = "x" * 100000
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p


class Registry:
    items = []


class App:
    def __init__(self):
        self.handlers = []


class Slotted:
    __slots__ = ("kept", "name")

    def __init__(self):
        self.kept = []


class Node:
    def __init__(self, n, following):
        self.data = [n] * 400
        self.following = following


class Bag:
    """Has an attribute for each thing."""


app = App()
bag = Bag()
for n in range(40):
    setattr(bag, "first_%d" % n, n)
slotted = Slotted()


@functools.lru_cache(None)
def lookup(n):
    return Session(n)


@functools.lru_cache(500)
def bounded_lookup(n):
    return Session(n)


def remember(n, seen=[]):
    seen.append(Session(n))


def counter():
    all = []

    def put(n):
        all.append(Session(n))
    return put


closure = counter()


def chain(n):
    global head
    head = Node(n, head)


def ring(n):
    RING[n % 500] = Session(n)


def cycle(n):
    s = Session(n)
    s.self = s


def concatenated(n):
    """What is put together is another object each time, and larger."""
    global text
    text += "x" * 3000


def failed(n):
    """Its variables live on with the error."""
    data = Session(n)
    try:
        raise ValueError(n)
    except ValueError as e:
        ERRORS.append(e)


def sweep(n):
    """A cache that is swept now and then."""
    SWEPT[n] = Session(n)
    if n % 100 == 0:
        for old in [k for k in SWEPT if k < n - 20]:
            del SWEPT[old]


def extension(n):
    """What an extension in C might do: Python knows nothing of it."""
    at = libc.malloc(3000)
    ctypes.memset(at, 1, 3000)


def thread(n):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def churn(n):
    return [Session(i) for i in range(30)]


LEAKS = {
    "sessions": store.put,
    "blobs": lambda n: BLOBS.append(bytearray(300000)) if n % 25 == 0 else None,
    "class": lambda n: Registry.items.append(Session(n)),
    "instance": lambda n: app.handlers.append(Session(n)),
    "slots": lambda n: slotted.kept.append(Session(n)),
    "lru": lookup,
    "bounded lru": bounded_lookup,
    "default": remember,
    "closure": closure,
    "deque": lambda n: QUEUE.append(Session(n)),
    "set": lambda n: SEEN.add((n, "x" * 3000 + str(n))),
    "buckets": lambda n: BUCKETS[list(BUCKETS)[n % 3]].append(Session(n)),
    "one bucket": lambda n: BUCKETS["events"].append(Session(n)),
    "bytes": lambda n: LOG.extend(b"x" * 3000),
    "chain": chain,
    "bounded": ring,
    "cycles": cycle,
    "threshold": cycle,
    "attributes": lambda n: setattr(bag, "key_%d" % n, Session(n)),
    "str": concatenated,
    "file": lambda n: OUT.write(b"x" * 3000),
    "array": lambda n: SAMPLES.extend(range(400)),
    "errors": failed,
    "swept": sweep,
    "extension": extension,
    "threads": lambda n: thread(n) if n % 10 == 0 else None,
    "nothing": lambda n: None,
}


def local():
    kept = []
    n = 0
    while True:
        kept.append(Session(n))
        churn(n)
        n += 1
        time.sleep(0.002)


async def wait(event, s):
    await event.wait()


async def tasks():
    never = asyncio.Event()
    n = 0
    while True:
        asyncio.ensure_future(wait(never, Session(n)))
        churn(n)
        n += 1
        await asyncio.sleep(0.002)


def main():
    how = sys.argv[1]
    print("begins", flush=True)
    if how == "local":
        local()
    if how == "tasks":
        asyncio.run(tasks())
    if how == "cycles":
        gc.disable()
    if how == "threshold":
        gc.set_threshold(0)
    leak = LEAKS[how]
    n = 0
    while True:
        leak(n)
        churn(n)
        n += 1
        time.sleep(0.002)


main()
