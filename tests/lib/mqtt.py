# SPDX-License-Identifier: Apache-2.0
"""Just enough MQTT 3.1.1 to see whether a broker takes a client."""
import socket
import ssl
import struct


class Broken(Exception):
    """The connection ended instead of an answer."""


def _string(text):
    data = text.encode()
    return struct.pack(">H", len(data)) + data


class Client:
    def __init__(self, port, cert=None, key=None, timeout=20):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE  # the broker's own certificate is not what is tested here
        if cert:
            ctx.load_cert_chain(cert, key)
        raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        try:
            self.s = ctx.wrap_socket(raw)
        except (OSError, ssl.SSLError) as e:
            raw.close()
            raise Broken(str(e)) from None

    def _packet(self):
        try:
            head = self.s.recv(2)
            if len(head) < 2:
                raise Broken("closed")
            body = b""
            while len(body) < head[1]:
                more = self.s.recv(head[1] - len(body))
                if not more:
                    raise Broken("closed")
                body += more
            return head[0], body
        except (OSError, ssl.SSLError) as e:
            raise Broken(str(e)) from None

    def connect(self, client_id="test", keepalive=60):
        """The return code of CONNACK: 0 accepted, 5 not authorised."""
        var = _string("MQTT") + bytes([4, 2]) + struct.pack(">H", keepalive) + _string(client_id)
        try:
            self.s.sendall(bytes([0x10, len(var)]) + var)
        except (OSError, ssl.SSLError) as e:
            raise Broken(str(e)) from None
        kind, body = self._packet()
        assert kind == 0x20, kind
        return body[1]

    def publish(self, topic, text):
        """QoS 1; returns once the broker has acknowledged."""
        var = _string(topic) + struct.pack(">H", 1) + text.encode()
        self.s.sendall(bytes([0x32, len(var)]) + var)
        kind, _ = self._packet()
        assert kind == 0x40, kind

    def subscribe(self, topic):
        """The broker's return code: 0..2 granted, 0x80 refused."""
        var = struct.pack(">H", 2) + _string(topic) + b"\0"
        self.s.sendall(bytes([0x82, len(var)]) + var)
        kind, body = self._packet()
        assert kind == 0x90, kind
        return body[2]

    def wait_closed(self, timeout):
        """True when the broker ends the connection within the time."""
        self.s.settimeout(timeout)
        try:
            while True:
                if not self.s.recv(1024):
                    return True
        except socket.timeout:
            return False
        except (OSError, ssl.SSLError):
            return True

    def close(self):
        self.s.close()


def attempt(port, cert=None, key=None):
    """0 when accepted, the refusal's code, or "broken" when the handshake or connection ended."""
    try:
        c = Client(port, cert, key)
    except Broken:
        return "broken"
    try:
        return c.connect()
    except Broken:
        return "broken"
    finally:
        c.close()
