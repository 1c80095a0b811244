"""Loads the servers with h2load, over gRPC and over both versions of HTTP: every call has to succeed."""
import json
import os
import re
import struct
import tempfile

from command import run
from servers import ServerTest

REQUESTS = 5000
CONNECTIONS = 8
STREAMS = 16  # at once on each connection of HTTP/2


class LoadTest(ServerTest):
    def load(self, url, body, headers, *options, requests=REQUESTS):
        """Sends a body many times; asserts that every response has the status 2xx."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            result = run('h2load', '-n', str(requests), '-c', str(CONNECTIONS), '-d', file.name, *headers, *options, url)
        output = result.stdout.decode()
        self.assertEqual(result.returncode, 0, output)
        self.assertIn(f'{requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout', output)
        self.assertIn(f'status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx', output)
        return output

    def load_grpc(self, url, message, **options):
        headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers']
        return self.load(url, struct.pack('>BI', 0, len(message)) + message, headers, '-m', str(STREAMS), **options)

    def load_http(self, url, body, *options, **settings):
        return self.load(url, json.dumps(body).encode(), ['-H', 'content-type: application/json'], *options, **settings)


class Counted(LoadTest):
    """Each call adds one to a total: that of the status in the trailers, which h2load does not read."""
    server = 'adopted'

    def setUp(self):
        self.total = self.add(0)

    def add(self, value):
        result = run('curl', '-s', '--noproxy', '*', f'{self.url}/grpc/counterservice/add', '-H', 'content-type: application/json', '-d', json.dumps({'value': value}))
        return int(json.loads(result.stdout).get('value', 0))

    def assert_counted(self, calls=REQUESTS):
        self.assertEqual(self.add(0), self.total + calls)

    def test_grpc(self):
        self.load_grpc(f'http://{self.address}/counter.Counter/Add', b'\x08\x01')
        self.assert_counted()

    def test_http_1(self):
        self.load_http(f'{self.url}/grpc/counterservice/add', {'value': 1}, '--h1')
        self.assert_counted()

    def test_streams(self):
        output = self.load_http(f'{self.url}/grpc/counterservice/countto', {'value': 100}, '--h1', requests=500)
        # Each response is {"value":"1"}⏎ … {"value":"100"}⏎, in chunks.
        self.assertGreaterEqual(data_bytes(output), 500 * sum(len(f'{{"value":"{value}"}}\n') for value in range(1, 101)))


class Large(LoadTest):
    server = 'interop'
    DATA = os.urandom(100_000)

    def test_grpc(self):
        message = b'\x0a\xa0\x8d\x06' + self.DATA
        output = self.load_grpc(f'http://{self.address}/interop.Interop/Echo', message, requests=400)
        self.assertEqual(data_bytes(output), 400 * (5 + len(message)))


class OverTls(LoadTest):
    server = 'tls'

    def test_grpc(self):
        output = self.load_grpc(f'https://{self.address}/interop.Interop/Echo', b'\x0a\x03abc')
        self.assertEqual(data_bytes(output), REQUESTS * 10)

    def test_http_1(self):
        output = self.load_http(f'{self.url}/grpc/interop/echo', {'data': 'YWJj'}, '--h1')
        self.assertIn('Application protocol: http/1.1', output)

    def test_http_2(self):
        output = self.load_http(f'{self.url}/grpc/interop/echo', {'data': 'YWJj'}, '-m', str(STREAMS))
        self.assertIn('Application protocol: h2', output)


class OnOnePortOverTls(OverTls):
    server = 'one-port-tls'


def data_bytes(output):
    """The bytes of all bodies."""
    return int(re.search(r'\((\d+)\) data', output).group(1))
