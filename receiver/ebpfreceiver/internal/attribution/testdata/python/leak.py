"""leak.py leaks in one of several ways, while churn makes thirty times as much garbage of the same size."""
import ctypes
import functools
import sys
import threading
import time


class Session:
    def __init__(self, n):
        self.id = n
        self.data = [n] * 400


SESSIONS = {}
BLOBS = []
RING = {}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p


def session_put(n):
    SESSIONS["session-%d" % n] = Session(n)


def blob_put(n):
    BLOBS.append(bytearray(300000))


def bounded_put(n):
    RING[n % 500] = Session(n)


def extension_leak(n):
    """What an extension in C might do: Python knows nothing of it."""
    at = libc.malloc(3000)
    ctypes.memset(at, 1, 3000)


def thread_leak(n):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def churn(n):
    return [Session(i) for i in range(30)]


LEAKS = {"sessions": session_put, "blobs": blob_put, "bounded": bounded_put, "extension": extension_leak, "threads": thread_leak}


def main():
    leak = LEAKS[sys.argv[1]]
    every = {"blobs": 25, "threads": 10}.get(sys.argv[1], 1)
    n = 0
    while True:
        if n % every == 0:
            leak(n)
        churn(n)
        n += 1
        time.sleep(0.002)


main()
