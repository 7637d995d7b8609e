# SPDX-License-Identifier: Apache-2.0
"""IoT SAFE cards from Python, through libiotsafe.so: what is on a card, its files, signatures, key agreement.

    import iotsafe
    with iotsafe.Card() as card:                 # IOTSAFE_CARD, or Card("tty:/dev/ttyUSB2")
        print(card.iccid(), card.objects())
        certificate = card.read(0x02)            # DER
        r_s = card.sign(0x01, hashlib.sha256(b"text").digest())

IOTSAFE_LIBRARY names the library where the system does not find it. No private key comes out: the card gives none."""
import collections
import ctypes
import os

_FILE_MAX = 65535
_TYPES = {0xC1: "private key", 0xC2: "public key", 0xC3: "file", 0xC4: "secret key"}
_ERRORS = ("ok", "wrong argument", "no card", "time-out", "protocol", "not found", "denied", "card", "too large", "crypto",
           "no memory")

Applet = collections.namedtuple("Applet", "version identifier files private_keys public_keys secret_keys sessions functions hashes "
                                          "signatures agreements derivations")
Slot = collections.namedtuple("Slot", "number key certificate payload")
Object = collections.namedtuple("Object", "type id label access state key_type usage functions size")


class Error(Exception):
    """A call that failed: `code` is libiotsafe's number, `kind` its name."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.kind = _ERRORS[code] if 0 <= code < len(_ERRORS) else "unknown"


class _Object(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_ubyte * 20), ("id_len", ctypes.c_size_t),
                ("label", ctypes.c_char * 61), ("access", ctypes.c_ubyte), ("state", ctypes.c_ubyte),
                ("key_type", ctypes.c_ubyte), ("usage", ctypes.c_ubyte), ("functions", ctypes.c_ubyte),
                ("size", ctypes.c_size_t)]


class _Applet(ctypes.Structure):
    _fields_ = [("version", ctypes.c_ubyte), ("identifier", ctypes.c_ubyte * 32), ("identifier_len", ctypes.c_size_t),
                ("files", ctypes.c_ubyte), ("private_keys", ctypes.c_ubyte), ("public_keys", ctypes.c_ubyte),
                ("secret_keys", ctypes.c_ubyte), ("sessions", ctypes.c_ubyte), ("functions", ctypes.c_ubyte),
                ("hashes", ctypes.c_ushort), ("signatures", ctypes.c_ubyte), ("agreements", ctypes.c_ubyte),
                ("derivations", ctypes.c_ubyte)]


class _Slot(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint), ("key", ctypes.c_ubyte), ("certificate", ctypes.c_ubyte), ("payload", ctypes.c_ubyte)]


class _Options(ctypes.Structure):
    _fields_ = [("card", ctypes.c_char_p), ("aid", ctypes.c_char_p), ("aid_len", ctypes.c_size_t),
                ("timeout_ms", ctypes.c_uint), ("reset", ctypes.c_char_p)]


class _Found(ctypes.Structure):
    _fields_ = [("card", ctypes.c_char * 256), ("iccid", ctypes.c_char * 21)]


def _load():
    lib = ctypes.CDLL(os.environ.get("IOTSAFE_LIBRARY", "libiotsafe.so.0"))
    p, size, ubyte = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ubyte
    out = ctypes.POINTER(size)
    for name, arguments in (("open", [p, p, p, size]), ("iccid", [p, p]), ("eid", [p, p]), ("reset", [p]), ("applet", [p, p]),
                            ("list", [p, p, size, out]),
                            ("file_info", [p, ubyte, p]), ("read_file", [p, ubyte, p, size, out]),
                            ("public_key", [p, ubyte, p]), ("sign", [p, ubyte, p, p]),
                            ("ecdh", [p, ubyte, ubyte, p, p]), ("random", [p, p, size])):
        function = getattr(lib, "iotsafe_" + name)
        function.argtypes, function.restype = arguments, ctypes.c_int
    lib.iotsafe_close.argtypes, lib.iotsafe_close.restype = [p], None
    lib.iotsafe_last_error.argtypes, lib.iotsafe_last_error.restype = [p], ctypes.c_char_p
    lib.iotsafe_slots.argtypes, lib.iotsafe_slots.restype = [p, size, p], size
    lib.iotsafe_discover.argtypes, lib.iotsafe_discover.restype = [p, size, ctypes.c_uint], size
    return lib


_lib = _load()


def discover(timeout_ms=500):
    """[(name, iccid)] of the cards of this machine. Sends AT commands to its serial devices."""
    found = (_Found * 32)()
    n = _lib.iotsafe_discover(found, len(found), timeout_ms)
    return [(f.card.decode(), f.iccid.decode()) for f in found[:min(n, len(found))]]


class Card:
    """An open card; a context manager. May be used by several threads. `reset`: what to do about a modem whose card
    does not answer: None (nothing, or what IOTSAFE_RESET says), "at", or the path of a program."""

    def __init__(self, name=None, timeout_ms=0, aid=None, reset=None):
        options = _Options(name.encode() if name else None, aid, len(aid) if aid else 0, timeout_ms,
                           reset.encode() if reset else None)
        handle, error = ctypes.c_void_p(), ctypes.create_string_buffer(256)
        self._handle = None
        code = _lib.iotsafe_open(ctypes.byref(options), ctypes.byref(handle), error, len(error))
        if code:
            raise Error(code, error.value.decode(errors="replace"))
        self._handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._handle:
            _lib.iotsafe_close(self._handle)
        self._handle = None

    def _call(self, name, *arguments):
        if not self._handle:
            raise ValueError("the card is closed")
        code = getattr(_lib, "iotsafe_" + name)(self._handle, *arguments)
        if code:
            raise Error(code, _lib.iotsafe_last_error(self._handle).decode(errors="replace"))

    def iccid(self):
        out = ctypes.create_string_buffer(21)
        self._call("iccid", out)
        return out.value.decode()

    def eid(self):
        """The eUICC's identifier; None where there is none."""
        out = ctypes.create_string_buffer(33)
        try:
            self._call("eid", out)
        except Error as e:
            if e.kind == "not found":
                return None
            raise
        return out.value.decode()

    def reset(self):
        """Starts the modem (or the card in a reader) again and waits until the card answers."""
        self._call("reset")

    def applet(self):
        """What the applet says of itself."""
        raw = _Applet()
        self._call("applet", ctypes.byref(raw))
        return Applet(f"{raw.version >> 4}.{raw.version & 15}", bytes(raw.identifier[:raw.identifier_len]),
                      *(getattr(raw, name) for name in Applet._fields[2:]))

    def _list(self):
        raw, n = (_Object * 512)(), ctypes.c_size_t()
        self._call("list", raw, len(raw), ctypes.byref(n))
        return raw, n

    def slots(self):
        """What each profile's slot holds; `key` is "none", "inactive" or "active"."""
        raw, n = self._list()
        slots = (_Slot * 9)()
        held = _lib.iotsafe_slots(raw, n.value, slots)
        return [Slot(s.number, ("none", "inactive", "active")[s.key], bool(s.certificate), bool(s.payload)) for s in slots[:held]]

    def objects(self):
        """Every key and file: what the card says of it."""
        raw, n = self._list()
        return [Object(_TYPES.get(o.type, o.type), bytes(o.id[:o.id_len]), o.label.decode(), o.access, o.state, o.key_type,
                       o.usage, o.functions, o.size) for o in raw[:n.value]]

    def read(self, container):
        """A file's bytes."""
        out, n = ctypes.create_string_buffer(_FILE_MAX), ctypes.c_size_t()
        self._call("read_file", container, out, len(out), ctypes.byref(n))
        return out.raw[:n.value]

    def public_key(self, container):
        """04 | x | y of P-256."""
        out = ctypes.create_string_buffer(65)
        self._call("public_key", container, out)
        return out.raw

    def sign(self, container, digest):
        """r | s over a SHA-256 digest that the caller made."""
        if len(digest) != 32:
            raise ValueError("a digest of 32 bytes")
        out = ctypes.create_string_buffer(64)
        self._call("sign", container, bytes(digest), out)
        return out.raw

    def ecdh(self, container, peer, peer_container=0x05):
        """The x coordinate that both ends get; `peer` is 04 | x | y."""
        if len(peer) != 65:
            raise ValueError("a point of 65 bytes")
        out = ctypes.create_string_buffer(32)
        self._call("ecdh", container, peer_container, bytes(peer), out)
        return out.raw

    def random(self, n):
        out = ctypes.create_string_buffer(n)
        self._call("random", out, n)
        return out.raw
