"""A library of the program's own."""

SESSIONS = {}


class Session:
    def __init__(self, n):
        self.id = n
        self.data = [n] * 400


def put(n):
    SESSIONS["session-%d" % n] = Session(n)
