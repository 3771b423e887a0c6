#!/usr/bin/env python3
"""ClickHouse's HTTP interface over the engine of chDB, for tests: `clickhouse.py DIRECTORY [--port PORT]`.

The port is printed on standard output once the server answers; port 0 takes a free one. SIGTERM and SIGINT end it.
What the official Rust client sends works, without compression: queries in the URL, in the body or in multipart fields,
databases, settings, parameters, chunked bodies, the exception's code and status. `X-ClickHouse-User: readonly` (or basic
authentication) may only read; `default` may do everything; there are no other users.

Faults, one request each (or `count`):
  POST /-/fault?mode=error500      answers 500 without executing; `code` and `text` choose the exception
  POST /-/fault?mode=slow          executes and keeps the answer back for `seconds` (60), or until the client is gone
  POST /-/fault?mode=away          closes the connection without executing
  … &count=3&after=2&database=NAME&match=TEXT   how often, after how many that go well, only for this database, only for
                                   queries that contain the text
  GET /-/fault lists what is still pending, DELETE /-/fault[?database=NAME] forgets it.
"""

import argparse
import base64
import dataclasses
import email.parser
import email.policy
import json
import os
import pathlib
import re
import select
import shutil
import signal
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

# What the interface itself understands; everything else in a URL is a setting.
NOT_SETTINGS = {
    "buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format", "password",
    "query", "query_id", "quota_key", "role", "session_check", "session_id", "session_timeout", "stacktrace", "user",
    "wait_end_of_query",
}
# The server's table of statuses, as far as tests look at them; the others are 500.
STATUS = {
    36: 400, 46: 404, 47: 404, 53: 400, 60: 404, 62: 400, 81: 404, 115: 404, 159: 408, 164: 403, 194: 401, 241: 500,
    252: 500, 497: 403, 516: 403,
}


@dataclasses.dataclass
class Fault:
    mode: str
    count: int = 1
    after: int = 0
    database: str = ""
    match: str = ""
    seconds: float = 60.0
    code: int = 1000
    text: str = "asked for by a test"


class Faults:
    """What is to go wrong, in the order that it was asked for."""

    MODES = ("error500", "slow", "away")

    def __init__(self):
        self.lock, self.pending = threading.Lock(), []

    def add(self, fields):
        types = {field.name: field.type for field in dataclasses.fields(Fault)}
        if unknown := set(fields) - set(types):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if fields.get("mode") not in self.MODES:
            raise ValueError(f"mode is one of {', '.join(self.MODES)}")
        with self.lock:
            self.pending.append(Fault(**{name: types[name](value) for name, value in fields.items()}))

    def take(self, database, sql):
        with self.lock:
            for fault in self.pending:
                if fault.database in ("", database) and fault.match.encode() in sql:
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.count -= 1
                    self.pending = [one for one in self.pending if one.count > 0]
                    return fault
        return None

    def list(self):
        with self.lock:
            return [dataclasses.asdict(fault) for fault in self.pending]

    def clear(self, database):
        with self.lock:
            self.pending = [one for one in self.pending if database not in ("", one.database)]


class Refused(Exception):
    """The engine's or our own error text, beginning with `Code: N.`"""

    @property
    def code(self):
        found = re.match(r"Code: (\d+)", str(self))
        return int(found[1]) if found else 1002


class Files:
    """Binary rows of inserts: the engine takes them for text that ends at an empty line, but not those of a file."""

    ROWS = re.compile(rb"(INSERT INTO .{1,4000}?) (FORMAT RowBinary\w*)\n", re.DOTALL)

    def __init__(self):
        self.folder, self.thread = tempfile.TemporaryDirectory(prefix="sonde-rows-"), threading.local()

    def moved(self, sql):
        found = self.ROWS.match(sql)
        if not found:
            return sql
        self.thread.path = os.path.join(self.folder.name, f"{threading.get_ident()}.rows")
        with open(self.thread.path, "wb") as rows:
            rows.write(sql[found.end():])
        insert, form = found[1].decode(), found[2].decode()
        return f"{insert} FROM INFILE {literal(self.thread.path)} COMPRESSION 'none' {form}"

    def forget(self):
        if path := self.thread.__dict__.pop("path", None):
            os.unlink(path)


class Engine:
    """A session per request, so that databases and settings of requests never mix and requests run side by side."""

    def __init__(self, directory):
        self.connection = str(pathlib.Path(directory).resolve())
        self.files = Files()
        # Keeps the engine alive between requests.
        self.first = session.Session(self.connection)

    def run(self, request):
        own = session.Session(self.connection)
        try:
            # Our own users stand before the engine's, because it has none that could be told apart.
            own.query(f"USE {quoted(request.database)}")
            for name, value in request.settings.items():
                own.query(f"SET {quoted(name)} = {literal(value)}")
            if request.user == "readonly":
                own.query("SET readonly = 2")
            result = own.query(self.files.moved(request.sql), request.format, params=request.parameters)
            return result.bytes() if result else b""
        except Exception as error:
            raise Refused(str(error)) from None
        finally:
            own.close()
            self.files.forget()


def quoted(name):
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value):
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Request:
    """What a client asks for, wherever it put it."""

    def __init__(self, handler, body):
        url = urlsplit(handler.path)
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        if (kind := handler.headers.get("Content-Type", "")).startswith("multipart/form-data"):
            arguments |= form_fields(kind, body)
            body = b""
        if arguments.get("decompress", "0") != "0":
            raise Refused("Code: 48. DB::Exception: bodies cannot be compressed here. (NOT_IMPLEMENTED)")
        query = arguments.get("query", "").encode()
        self.sql = query + (b"\n" if query and body else b"") + body
        self.database = arguments.get("database") or handler.headers.get("X-ClickHouse-Database") or "default"
        self.format = arguments.get("default_format", "TabSeparated")
        self.parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
        self.settings = {
            name: value
            for name, value in arguments.items()
            if name not in NOT_SETTINGS and not name.startswith(("param_", "http_"))
        }
        self.user = user_of(handler.headers, arguments)
        if self.user not in ("default", "readonly"):
            raise Refused(
                f"Code: 516. DB::Exception: {self.user}: Authentication failed: password is incorrect, or there is "
                "no user with such name. (AUTHENTICATION_FAILED)"
            )


def form_fields(kind, body):
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        fields[name] = part.get_payload(decode=True).decode()
    return fields


def user_of(headers, arguments):
    if name := headers.get("X-ClickHouse-User") or arguments.get("user"):
        return name
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return base64.b64decode(credentials).decode().partition(":")[0]
    return "default"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers are not worth waiting for more.
    disable_nagle_algorithm = True

    def do_GET(self):
        path = urlsplit(self.path).path
        if path == "/ping":
            self.answer(200, b"Ok.\n")
        elif path == "/-/fault":
            self.answer(200, json.dumps(self.server.faults.list()).encode())
        else:
            self.do_POST()

    def do_DELETE(self):
        self.server.faults.clear(dict(parse_qsl(urlsplit(self.path).query)).get("database", ""))
        self.answer(200, b"")

    def do_POST(self):
        body = self.body()
        if urlsplit(self.path).path == "/-/fault":
            return self.fault()
        try:
            self.query(Request(self, body))
        except Refused as error:
            self.refuse(error)

    def fault(self):
        try:
            self.server.faults.add(dict(parse_qsl(urlsplit(self.path).query)))
        except ValueError as error:
            return self.answer(400, f"{error}\n".encode())
        self.answer(200, b"")

    def query(self, request):
        fault = self.server.faults.take(request.database, request.sql)
        if fault and fault.mode == "away":
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if fault and fault.mode == "error500":
            raise Refused(f"Code: {fault.code}. DB::Exception: {fault.text}. (FAULT)")
        answer = self.server.engine.run(request)
        if fault and fault.mode == "slow":
            # Readable means that the client is gone: it sends nothing more before it has its answer.
            select.select([self.connection], [], [], fault.seconds)
            self.close_connection = True
        self.answer(200, answer)

    def refuse(self, error):
        text = str(error)
        if "(version" not in text:
            text += " (version 26.9.2.1)"
        self.answer(STATUS.get(error.code, 500), text.encode() + b"\n", {"X-ClickHouse-Exception-Code": error.code})

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(whole)

    def answer(self, status, data, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, directory):
        super().__init__(("127.0.0.1", port), Handler)
        self.engine, self.faults = Engine(directory), Faults()

    def handle_error(self, request, client_address):
        # A client that left is no news; everything else is.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError, ValueError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="where the data is kept")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--fresh", action="store_true", help="delete the directory's content first")
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(options.directory, ignore_errors=True)
    os.makedirs(options.directory, exist_ok=True)
    server = Server(options.port, options.directory)
    # `shutdown` waits for the loop, which this handler interrupts: it has to come from another thread.
    stop = threading.Thread(target=server.shutdown)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.is_alive() or stop.start())
    print(server.server_address[1], flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    server.engine.files.folder.cleanup()
    # The engine writes each part as it comes; closing it can hang while requests are under way.
    os._exit(0)


if __name__ == "__main__":
    main()
