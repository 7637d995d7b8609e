# SPDX-License-Identifier: Apache-2.0
"""A CA that speaks EST (RFC 7030) and shares no code with ours; it can be made to misbehave."""
import base64
import http.server
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

import pki

USER, PASSWORD = "asp", "correct horse"


class EstCa:
    def __init__(self, top):
        self.key, self.cert = pki.self_signed("External CA", ca=True)
        self.other_key, self.other = pki.self_signed("Another CA", ca=True)
        self.tls_ca = pki.save(top / "est-tls", *pki.self_signed("localhost"))
        self.password_file = top / "est-password"
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)
        self.mood, self.asked = "good", []
        ca = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                ca.answer(self, None)

            def do_POST(self):
                ca.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls_ca[1], self.tls_ca[0])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def options(self):
        return ("--est", self.url, "--est-ca", self.tls_ca[1], "--est-user", USER, "--est-password-file", self.password_file)

    def send(self, h, status, body=b""):
        h.send_response(status)
        h.send_header("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
        if status == 401:
            h.send_header("WWW-Authenticate", 'Basic realm="est"')
        if status == 202:
            h.send_header("Retry-After", "60")
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    def certs(self, *certs):
        return base64.encodebytes(pkcs7.serialize_certificates(list(certs), serialization.Encoding.DER))

    def answer(self, h, body):
        self.asked.append((h.command, h.path))
        if h.path.endswith("/cacerts"):
            return self.send(h, 200, self.certs(self.cert))
        if h.headers.get("Authorization") != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            return self.send(h, 401, b"who are you?")
        if self.mood == "later":
            return self.send(h, 202)
        if self.mood == "garbage":
            return self.send(h, 200, b"AAAA")
        csr = x509.load_der_x509_csr(base64.b64decode(body))
        key = pki.self_signed("x")[0].public_key() if self.mood == "other key" else csr.public_key()
        issuer, signer = (self.other, self.other_key) if self.mood == "other CA" else (self.cert, self.key)
        b = (x509.CertificateBuilder().subject_name(csr.subject).issuer_name(issuer.subject).public_key(key)
             .serial_number(x509.random_serial_number()).not_valid_before(pki.NOW - pki.DAY).not_valid_after(pki.NOW + 90 * pki.DAY))
        for e in csr.extensions:
            b = b.add_extension(e.value, e.critical)
        return self.send(h, 200, self.certs(b.sign(signer, hashes.SHA256()), issuer))
