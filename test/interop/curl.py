"""Calls the servers with curl: HTTP as a person meets it."""
import base64
import json
import os
import re
import tempfile
import threading
import uuid
from urllib.parse import unquote

from command import run, start
from servers import ServerTest

JSON = ['-H', 'content-type: application/json']
NDJSON = ['-H', 'content-type: application/x-ndjson']
LONGEST_CALL_SECONDS = '20'
# What curl ends with.
TLS_FAILED = 35


class Response:
    """What curl has printed with `-i`: interim responses, the response, its trailers."""

    def __init__(self, result):
        self.exit_status = result.returncode
        text = result.stdout
        self.interim = []
        while True:
            head, _, text = text.partition(b'\r\n\r\n')
            first, *lines = head.decode('latin-1').split('\r\n')
            self.version, self.status = first.split()[0], int(first.split()[1])
            if self.status >= 200:
                break
            self.interim.append(self.status)
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(':')
            self.headers.setdefault(name.lower(), []).append(value.strip())
        self.body = text

    def header(self, name):
        return ', '.join(self.headers.get(name, []))

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.decode().splitlines()]


def command(url, *arguments):
    return ['curl', '-sS', '--noproxy', '*', '--max-time', LONGEST_CALL_SECONDS, url, *arguments]


def request(url, *arguments, data=''):
    return Response(run(*command(url, '-i', *arguments), data=data))


class CurlTest(ServerTest):
    options = []

    def command(self, path, *arguments):
        return command(f'{self.url}{path}', *self.options, *arguments)

    def curl(self, path, *arguments, data=''):
        return request(f'{self.url}{path}', *self.options, *arguments, data=data)

    def post(self, path, message, *arguments):
        return self.curl(path, *JSON, '--data-binary', '@-', *arguments, data=json.dumps(message))

    def assert_problem(self, response, status, title, detail):
        self.assertEqual((response.status, response.header('content-type')), (status, 'application/problem+json; charset=utf-8'), response.body)
        self.assertEqual((response.json['status'], response.json['title']), (status, title))
        self.assertRegex(response.json['detail'], detail)
        self.assertNotEqual(response.header('x-request-id'), '')


class Unary(CurlTest):
    server = 'interop'
    ECHO = '/grpc/interop.Interop/Echo'

    def test_message(self):
        response = self.post(self.ECHO, {'data': 'AAEC'})
        self.assertEqual((response.status, response.json), (200, {'data': 'AAEC'}))
        self.assertEqual(response.header('content-type'), 'application/json; charset=utf-8')

    def test_request_id_of_the_client(self):
        response = self.post(self.ECHO, {}, '-H', 'x-request-id: of-the-client')
        self.assertEqual(response.header('x-request-id'), 'of-the-client')

    def test_request_id_that_is_made(self):
        ids = {self.post(self.ECHO, {}).header('x-request-id') for _ in range(3)}
        self.assertEqual(len({uuid.UUID(text) for text in ids}), 3)

    def test_metadata_both_ways(self):
        every_byte = base64.b64encode(bytes(range(256))).decode()
        response = self.post('/grpc/interop/echometadata', {}, '-H', 'echo-a: one', '-H', f'echo-b-bin: {every_byte}')
        self.assertEqual({entry['key']: entry for entry in response.json['entries']}, {
            'echo-a': {'key': 'echo-a', 'texts': ['one']},
            'echo-b-bin': {'key': 'echo-b-bin', 'binaries': [every_byte]},
        })
        for prefix in '', 'grpc-trailer-':
            self.assertEqual(response.header(f'{prefix}echo-a'), 'one')
            self.assertEqual(response.header(f'{prefix}echo-b-bin').rstrip('='), every_byte.rstrip('='))

    def test_several_calls_on_one_connection(self):
        urls = [f'{self.url}{self.ECHO}'] * 2
        result = run('curl', '-sS', '--noproxy', '*', *self.options, *JSON, '-d', '{}', '-w', '%{num_connects} %{http_code}\n', *[f'{self.url}{self.ECHO}', *urls])
        self.assertEqual(re.findall(r'\d \d{3}', result.stdout.decode()), ['1 200', '0 200', '0 200'])

    def test_upload_of_3_megabytes(self):
        data = base64.b64encode(os.urandom(3_000_000)).decode()
        response = self.post(self.ECHO, {'data': data})
        self.assertEqual((response.status, response.json), (200, {'data': data}))
        # Before it sends much over HTTP/1.1, curl asks whether it may.
        self.assertEqual(response.interim, [100] if response.version == 'HTTP/1.1' else [])

    def test_upload_in_chunks(self):
        data = base64.b64encode(os.urandom(300_000)).decode()
        response = self.curl(self.ECHO, *JSON, '-X', 'POST', '-T', '-', data=json.dumps({'data': data}))
        self.assertEqual((response.status, response.json), (200, {'data': data}))

    def test_deadline(self):
        call_id = str(uuid.uuid4())
        response = self.post('/grpc/interop/blockunary', {}, '-H', 'grpc-timeout: 200m', '-H', f'call-id: {call_id}')
        self.assert_problem(response, 504, 'DEADLINE_EXCEEDED', 'eadline')
        self.assert_aborted(call_id)

    def test_client_that_gives_up(self):
        call_id = str(uuid.uuid4())
        result = run(*self.command('/grpc/interop/blockunary', *JSON, '-d', '{}', '-H', f'call-id: {call_id}', '--max-time', '0.5'))
        self.assertEqual(result.returncode, 28)
        self.assert_aborted(call_id)

    def assert_aborted(self, call_id):
        outcome = self.post('/grpc/interop/outcome', {'callId': call_id, 'waitMs': 5000}).json
        self.assertEqual((outcome['ended'], outcome['aborted']), (True, True))


class UnaryOverTls(Unary):
    """Over HTTP/2, which curl and the server agree on."""
    server = 'tls'

    @property
    def options(self):
        return ['--cacert', self.certificate('server.pem')]

    def test_version(self):
        for option, version in ('--http2', 'HTTP/2'), ('--http1.1', 'HTTP/1.1'):
            with self.subTest(version):
                self.assertEqual(self.post(self.ECHO, {}, option).version, version)

    def test_oldest_version_of_tls(self):
        # Low enough for curl to try.
        any_cipher = ['--ciphers', 'DEFAULT@SECLEVEL=0']
        for port, url in ('HTTP', self.url), ('gRPC', f'https://{self.address}'):
            for version, status in ('1.1', TLS_FAILED), ('1.2', 0):
                with self.subTest(port, version=version):
                    command = ['curl', '-sS', '--noproxy', '*', *self.options, *any_cipher, '--tlsv1.0', '--tls-max', version, '--http2', url]
                    self.assertEqual(run(*command).returncode, status)


class UnaryOnOnePort(Unary):
    server = 'one-port'

    def test_version(self):
        self.assertEqual(self.address, self.url.removeprefix('http://'))
        for option, version in ('--http2-prior-knowledge', 'HTTP/2'), ('--http1.1', 'HTTP/1.1'):
            with self.subTest(version):
                self.assertEqual(self.post(self.ECHO, {}, option).version, version)


class UnaryOnOnePortOverTls(UnaryOverTls):
    server = 'one-port-tls'


class Errors(CurlTest):
    server = 'interop'
    ECHO = '/grpc/interop.Interop/Echo'

    def test_error_of_the_handler(self):
        violations = [{'field': 'name', 'description': 'zu kurz für „uns“'}]
        request = {'code': 3, 'details': 'Ungültig', 'badRequest': {'fieldViolations': violations}}
        response = self.post('/grpc/interop/fail', request, '-H', 'x-request-id: mine')
        self.assert_problem(response, 400, 'INVALID_ARGUMENT', 'Ungültig')
        self.assertEqual(response.json['details'], [{'@type': 'type.googleapis.com/google.rpc.BadRequest', 'fieldViolations': violations}])
        self.assertEqual((response.header('x-request-id'), response.header('grpc-trailer-failed-by')), ('mine', 'request, design'))

    def test_unexpected_error_tells_nothing(self):
        response = self.post('/grpc/interop/fail', {'details': 'the password is 1234'})
        self.assert_problem(response, 500, 'INTERNAL', '^Internal error$')

    def test_every_code(self):
        statuses = [499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
        codes = range(1, 17)
        self.assertEqual([self.post('/grpc/interop/fail', {'code': code}).status for code in codes], statuses)

    def test_body_that_is_no_json(self):
        self.assert_problem(self.curl(self.ECHO, *JSON, '-d', '{"data":'), 400, 'INVALID_ARGUMENT', 'not valid JSON')

    def test_unknown_and_wrong_fields(self):
        response = self.post(self.ECHO, {'nothing': 1, 'data': 7})
        self.assert_problem(response, 400, 'INVALID_ARGUMENT', 'nothing')
        [details] = response.json['details']
        self.assertEqual({violation['field'] for violation in details['fieldViolations']}, {'nothing', 'data'})

    def test_unknown_rpc(self):
        self.assert_problem(self.post('/grpc/interop.Interop/Nothing', {}), 404, 'NOT_FOUND', 'No RPC answers')

    def test_wrong_method(self):
        response = self.curl(self.ECHO, '-X', 'DELETE')
        self.assert_problem(response, 405, 'UNIMPLEMENTED', 'DELETE')
        self.assertIn('POST', response.header('allow'))

    def test_wrong_content_type(self):
        self.assert_problem(self.curl(self.ECHO, '-H', 'content-type: text/plain', '-d', '{}'), 415, 'INVALID_ARGUMENT', 'text/plain')

    def test_body_that_is_too_large(self):
        data = base64.b64encode(bytes(6_000_000)).decode()
        self.assert_problem(self.post(self.ECHO, {'data': data}), 413, 'RESOURCE_EXHAUSTED', '4194304')


class Streams(CurlTest):
    server = 'adopted'

    def test_ndjson(self):
        response = self.post('/grpc/counterservice/countto', {'value': 3}, '-N')
        self.assertEqual(response.header('content-type'), 'application/x-ndjson')
        self.assertEqual(response.lines, [{'value': '1'}, {'value': '2'}, {'value': '3'}])

    def test_long_ndjson(self):
        lines = self.post('/grpc/counterservice/countto', {'value': 20_000}).lines
        self.assertEqual([int(line['value']) for line in lines], list(range(1, 20_001)))

    def test_json_array(self):
        response = self.post('/grpc/counterservice/countto', {'value': 2}, '-H', 'accept: application/json')
        self.assertEqual(response.json, [{'value': '1'}, {'value': '2'}])

    def test_server_sent_events(self):
        response = self.post('/grpc/counterservice/countto', {'value': 2}, '-N', '-H', 'accept: text/event-stream')
        self.assertEqual(response.header('content-type'), 'text/event-stream; charset=utf-8')
        events = response.body.decode().strip().split('\n\n')
        self.assertEqual(events[:2], ['id: 1\ndata: {"value":"1"}', 'id: 2\ndata: {"value":"2"}'])
        self.assertRegex(events[2], r'^event: end\ndata: {"code":0,"status":"OK"')

    def test_uploads(self):
        for name, options, data in ('NDJSON', NDJSON, '{"value":1}\n{"value":2}\n'), ('array', JSON, '[{"value":1},{"value":2}]'):
            for way in ['--data-binary', '@-'], ['-X', 'POST', '-T', '-']:
                with self.subTest(name, way=way):
                    before = int(self.post('/grpc/counterservice/add', {'value': 1}).json['value'])
                    response = self.curl('/grpc/counterservice/addall', *options, *way, data=data)
                    self.assertEqual((response.status, response.json), (200, {'value': str(before + 3)}))

    def test_both_ways_at_once(self):
        # With `-T .`, curl looks for what has come each time that it has something to send.
        with start(*self.command('/grpc/counterservice/runningtotal', '--no-progress-meter', '-N', '-X', 'POST', '-T', '.', *NDJSON)) as client:
            client.stdin.write(b'{"value":1}\n')
            awaited = threading.Event()
            sender = threading.Thread(target=send_empty_lines, args=(client.stdin, awaited))
            sender.start()
            self.assertEqual(client.stdout.readline(), b'{"value":"1"}\n')
            awaited.set()
            sender.join()
            client.stdin.write(b'{"value":2}\n')
            client.stdin.close()
            self.assertEqual(client.stdout.read(), b'{"value":"3"}\n')
        self.assertEqual(client.returncode, 0)


class StreamsThatFail(CurlTest):
    server = 'interop'
    FAIL_LATE = '/grpc/interop/faillate'
    FAILURE = {'code': 9, 'details': 'Not now'}

    def test_ndjson(self):
        response = self.post(self.FAIL_LATE, self.FAILURE)
        self.assertEqual(response.lines, [{}, {'error': {'status': 400, 'title': 'FAILED_PRECONDITION', 'detail': 'Not now', 'code': 9}}])
        self.assertEqual(response.exit_status, 0)

    def test_server_sent_events(self):
        events = self.post(self.FAIL_LATE, self.FAILURE, '-H', 'accept: text/event-stream').body.decode().strip().split('\n\n')
        self.assertEqual(events[0], 'id: 1\ndata: {}')
        self.assertRegex(events[1], r'^event: error\ndata: {"status":400,"title":"FAILED_PRECONDITION"')
        self.assertRegex(events[2], r'^event: end\ndata: {"code":9,"status":"FAILED_PRECONDITION"')

    def test_array_is_cut_off(self):
        response = self.post(self.FAIL_LATE, self.FAILURE, '-H', 'accept: application/json')
        self.assertNotEqual(response.exit_status, 0)
        self.assertEqual(response.body.strip(), b'[{}')

    def test_trailers(self):
        with tempfile.NamedTemporaryFile() as head:
            run(*self.command(self.FAIL_LATE, *JSON, '-d', json.dumps(self.FAILURE), '-H', 'te: trailers', '-D', head.name))
            self.assertIn(b'grpc-status: 9\r\n', head.read())

    def test_client_that_goes_away(self):
        call_id = str(uuid.uuid4())
        with start(*self.command('/grpc/interop/blockserverstream', '-N', *JSON, '-d', '{}', '-H', f'call-id: {call_id}')) as client:
            self.assertEqual(client.stdout.readline(), b'{}\n')
            client.kill()
        outcome = self.post('/grpc/interop/outcome', {'callId': call_id, 'waitMs': 5000}).json
        self.assertEqual((outcome['ended'], outcome['aborted']), (True, True))


class AsGrpcClient(ServerTest):
    """curl speaks HTTP/2, so that it can call the gRPC port."""
    server = 'helloworld'

    def call(self, path, message):
        with tempfile.NamedTemporaryFile() as head:
            body = b'\0' + len(message).to_bytes(4, 'big') + message
            headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers']
            result = run(
                'curl', '-sS', '--noproxy', '*', '--http2-prior-knowledge', '--max-time', LONGEST_CALL_SECONDS,
                f'http://{self.address}{path}', *headers, '--data-binary', '@-', '-D', head.name, data=body
            )
            return result.stdout, head.read().decode()

    def test_call(self):
        body, head = self.call('/helloworld.Greeter/SayHello', b'\x0a\x03you')
        self.assertEqual(body, b'\0\0\0\0\x0d\x0a\x0bHello, you!')
        self.assertRegex(head, r'^HTTP/2 200 ')
        self.assertRegex(head, r'(?m)^grpc-status: 0\r$')

    def test_error(self):
        body, head = self.call('/helloworld.Greeter/SayHello', b'\x0a\x05error')
        self.assertEqual(body, b'')
        self.assertRegex(head, r'(?m)^grpc-status: 3\r$')
        self.assertRegex(unquote(head), r'(?m)^grpc-message: Invalid request\r$')


def send_empty_lines(file, until):
    while not until.wait(0.1):
        file.write(b'\n')
