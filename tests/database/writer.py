"""A client that counts what was committed: rows written through the proxy, as OpenStack's services write.

    python writer.py SECONDS RATE THREADS < connection        connection: a line of oslo.db, as in keystone.conf

Runs in a container that has PyMySQL and the CA. Each thread keeps a connection, asks whether it still lives before each
transaction (as oslo.db's pools do, and opens another one if not), and writes one row in each. An error of a transaction
is a failure; so is a row that was committed and is not there at the end. A file named /tmp/writer-stop ends it early.
Prints JSON.
"""

import itertools
import json
import pathlib
import sys
import threading
import time
import urllib.parse
import uuid

import pymysql

STOP = pathlib.Path("/tmp/writer-stop")
SLOW = 0.5


def connect(url):
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=urllib.parse.unquote(parts.username),
        password=urllib.parse.unquote(parts.password),
        database=parts.path.lstrip("/"),
        ssl_ca=query.get("ssl_ca"),
        ssl_verify_cert=True,
        connect_timeout=30,
        read_timeout=30,
        write_timeout=30,
    )


class Writer(threading.Thread):
    def __init__(self, url, run, number, rate, end):
        super().__init__()
        self.url, self.run_id, self.number, self.rate, self.end = url, run, number, rate, end
        self.committed, self.failures, self.slow, self.reconnects = [], [], [], 0
        self.connection = None

    def checkout(self):
        if self.connection is not None:
            try:
                self.connection.ping(reconnect=False)
                return self.connection
            except Exception:  # noqa: BLE001 - whatever it is, a pool opens another one
                self.reconnects += 1
        self.connection = connect(self.url)
        return self.connection

    def write(self, key):
        connection = self.checkout()
        connection.begin()
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM daybreak_writer WHERE run = ''")
            cursor.execute(
                "INSERT INTO daybreak_writer (run, id, host) VALUES (%s, %s, @@hostname)",
                (self.run_id, key),
            )
        connection.commit()

    def run(self):
        count, due = 0, time.time()
        while time.time() < self.end and not STOP.exists():
            due = max(due + 1 / self.rate, time.time() - 1)
            time.sleep(max(0.0, due - time.time()))
            key, began = f"{self.number}-{count}", time.time()
            count += 1
            try:
                self.write(key)
                self.committed.append((key, time.time()))
            except Exception as error:  # noqa: BLE001 - each one is counted
                code = error.args[0] if error.args else ""
                self.failures.append(
                    {"at": round(began, 2), "error": f"{type(error).__name__} {code}"}
                )
                self.connection = None
            if time.time() - began > SLOW:
                self.slow.append({"at": round(began, 2), "seconds": round(time.time() - began, 2)})


def main():
    url, run = sys.stdin.readline().strip(), uuid.uuid4().hex[:8]
    seconds, rate, threads = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    STOP.unlink(missing_ok=True)
    first = connect(url)
    with first.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS daybreak_writer"
            " (run CHAR(8), id VARCHAR(20), host VARCHAR(100), PRIMARY KEY (run, id))"
        )
    first.close()
    began = time.time()
    writers = [Writer(url, run, n, rate / threads, began + seconds) for n in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    last = None
    while last is None:
        try:
            last = connect(url)
        except pymysql.MySQLError:
            # Whether a row is there is asked when there is somebody to ask.
            time.sleep(1)
    with last.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        cursor.execute("SELECT id, host FROM daybreak_writer WHERE run = %s", (run,))
        there = dict(cursor.fetchall())
    committed = dict(pair for writer in writers for pair in writer.committed)
    times = sorted(committed.values())
    gaps = sorted(((b - a, a) for a, b in itertools.pairwise(times)), reverse=True)
    failures = [failure for writer in writers for failure in writer.failures]
    json.dump(
        {
            "began": round(began, 2),
            "seconds": round(time.time() - began, 1),
            "committed": len(committed),
            "lost": sorted(committed.keys() - there.keys()),
            "failed": len(failures),
            "failures": sorted(failures, key=lambda failure: failure["at"])[:50],
            "slow": sorted((s for w in writers for s in w.slow), key=lambda s: s["at"])[:50],
            "reconnects": sum(writer.reconnects for writer in writers),
            "longest without a commit": {
                "seconds": round(gaps[0][0], 2),
                "at": round(gaps[0][1], 2),
            }
            if gaps
            else None,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
