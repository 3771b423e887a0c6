#!/usr/bin/env python3
"""A mail server that delivers nothing, for tests: `smtp.py PORT CERTIFICATE KEY`.

On 127.0.0.1: PORT is HTTP, PORT + 1 SMTP, PORT + 2 SMTP that wants STARTTLS and then user and password (sonde, hunter2), PORT + 3
the same in TLS from the beginning. SIGTERM ends it.

  GET /mails      what came, oldest first, as JSON: `answer` (what the server said to it), `tls`, `user`, `from`, `to` (of the
                  envelope), `headers` (each once), `text`, `html`
  POST /answer?command=DATA&answer=451+later&count=1[&to=ADDRESS]
                  answers so to the next DATA or RCPT commands instead of taking them; RCPT only of this receiver
"""

import email.policy
import http.server
import json
import ssl
import sys
import threading
import urllib.parse

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

LOCK = threading.Lock()
MAILS = []
ANSWERS = []


def answer(command, to=None):
    """The next answer that was asked for, if any."""
    with LOCK:
        for wanted in ANSWERS:
            if wanted["command"] == command and wanted["to"] in (None, to) and wanted["count"] > 0:
                wanted["count"] -= 1
                return wanted["answer"]
    return None


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        refusal = answer("RCPT", address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        said = answer("DATA") or "250 taken"
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in parsed.walk() if not part.is_multipart()}
        mail = {
            "answer": said,
            "tls": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in parsed.items()},
            "type": parsed.get_content_type(),
            "defects": [str(defect) for part in parsed.walk() for defect in part.defects],
            "text": parts.get("text/plain"),
            "html": parts.get("text/html"),
        }
        with LOCK:
            MAILS.append(mail)
        return said


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"sonde", b"hunter2")
    return AuthResult(success=good, handled=False, auth_data="sonde" if good else None)


class Control(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with LOCK:
            self.reply(json.dumps(MAILS))

    def do_POST(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        wanted = {name: asked.get(name) for name in ("command", "answer", "to")}
        with LOCK:
            ANSWERS.append(wanted | {"count": int(asked.get("count", 1))})
        self.reply("")

    def reply(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        pass


def main():
    port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    wants_password = {"authenticator": authenticate, "auth_required": True}
    kinds = [
        {},
        {"tls_context": tls, "require_starttls": True} | wants_password,
        {"ssl_context": tls, "auth_require_tls": False} | wants_password,
    ]
    for number, kind in enumerate(kinds, start=1):
        Controller(Sink(), hostname="127.0.0.1", port=port + number, **kind).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Control).serve_forever()


main()
