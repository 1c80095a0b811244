"""Calls the servers with grpcurl, which learns what they offer from .proto files or by reflection."""
import base64
import json
import random
import re
import time
import uuid

from command import json_values, run, start
from servers import ServerTest

# grpcurl ends with 64 + the code of the status.
STATUS = 64
INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 3, 4, 5, 11, 12, 13, 14
LONGEST_CALL_SECONDS = '20'

HELLOWORLD = ['-import-path', 'protos', '-proto', 'helloworld.proto']
INTEROP = ['-import-path', 'protos', '-import-path', 'test/interop', '-proto', 'interop.proto']


class GrpcurlTest(ServerTest):
    """Tests of one server."""
    # How grpcurl learns what the server offers: options for .proto files; none for reflection.
    schema = []

    def security(self):
        return ['-plaintext']

    def command(self, *arguments, options=(), security=None):
        return ['grpcurl', *(security or self.security()), *self.schema, '-max-time', LONGEST_CALL_SECONDS, '-format-error', *options, self.address, *arguments]

    def call(self, method, *requests, options=()):
        """Calls with request messages; returns how the command has ended."""
        data = ''.join(json.dumps(request) for request in requests)
        return run(*self.command(method, options=['-d', '@', *options]), data=data)

    def replies(self, method, *requests, options=()):
        """The response messages of a call that has to succeed."""
        result = self.call(method, *requests, options=options)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return json_values(result.stdout.decode())

    def assert_fails(self, code, method, *requests, options=()):
        """Makes a call that has to fail; returns the error, as google.rpc.Status."""
        result = self.call(method, *requests, options=options)
        self.assertEqual(result.returncode, STATUS + code, result.stderr.decode())
        return json.loads(result.stderr)


class GreeterCalls:
    def test_say_hello(self):
        self.assertEqual(self.replies('helloworld.Greeter/SayHello', {'name': 'Zoë 🌍'}), [{'message': 'Hello, Zoë 🌍!'}])

    def test_error_of_the_handler(self):
        error = self.assert_fails(INVALID_ARGUMENT, 'helloworld.Greeter/SayHello', {'name': 'error'})
        self.assertEqual(error, {'code': INVALID_ARGUMENT, 'message': 'Invalid request'})


class GreeterByProtoFiles(GreeterCalls, GrpcurlTest):
    server = 'helloworld'
    schema = HELLOWORLD


class ExistingAppByProtoFiles(GreeterCalls, GrpcurlTest):
    server = 'existing-app'
    schema = HELLOWORLD


class RouteGuideCalls:
    FIRST = {'latitude': 407838351, 'longitude': -746143763}
    SECOND = {'latitude': 408122808, 'longitude': -743999179}
    THIRD = {'latitude': 413628156, 'longitude': -749015468}

    def test_unary(self):
        [feature] = self.replies('routeguide.RouteGuide/GetFeature', {'latitude': 409146138, 'longitude': -746188906})
        self.assertEqual(feature['name'], 'Berkshire Valley Management Area Trail, Jefferson, NJ, USA')

    def test_server_stream(self):
        corners = {'lo': {'latitude': 400000000, 'longitude': -750000000}, 'hi': {'latitude': 420000000, 'longitude': -730000000}}
        features = self.replies('routeguide.RouteGuide/ListFeatures', corners)
        self.assertEqual((len(features), features[0]['location']), (100, self.FIRST))

    def test_client_stream(self):
        [summary] = self.replies('routeguide.RouteGuide/RecordRoute', self.FIRST, self.SECOND, self.THIRD)
        self.assertEqual((summary['pointCount'], summary['distance']), (3, 92589))

    def test_client_stream_without_messages(self):
        self.assertEqual(self.replies('routeguide.RouteGuide/RecordRoute'), [{}])

    def test_both_streams(self):
        # The server keeps notes: here nobody has left one.
        here = random.randrange(1, 900_000_000)
        places = [('First', 0, 0), ('Second', 0, 1), ('Third', 1, 0), ('Fourth', 0, 0), ('Fifth', 1, 0)]
        notes = [{'message': f'{name} message', 'location': {'latitude': here + x, 'longitude': y}} for name, x, y in places]
        replies = self.replies('routeguide.RouteGuide/RouteChat', *notes)
        self.assertEqual([note['message'] for note in replies], ['First message', 'Third message'])


class RouteGuideByProtoFiles(RouteGuideCalls, GrpcurlTest):
    server = 'start'
    schema = ['-import-path', 'protos', '-proto', 'route_guide.proto']


class AdoptedCalls:
    """The handlers are those of grpc-js."""

    def test_all_four_kinds(self):
        [before] = self.replies('counter.Counter/Add', {'value': 1})
        self.assertEqual(self.replies('counter.Counter/CountTo', {'value': 3}), [{'value': '1'}, {'value': '2'}, {'value': '3'}])
        self.assertEqual(self.replies('counter.Counter/AddAll', {'value': 1}, {'value': 2}), [{'value': str(int(before['value']) + 3)}])
        self.assertEqual(self.replies('counter.Counter/RunningTotal', {'value': 1}, {'value': 2}), [{'value': '1'}, {'value': '3'}])

    def test_long_server_stream(self):
        totals = self.replies('counter.Counter/CountTo', {'value': 5000})
        self.assertEqual([total['value'] for total in totals], [str(value) for value in range(1, 5001)])

    def test_both_streams_in_turn(self):
        with start(*self.command('counter.Counter/RunningTotal', options=['-d', '@'])) as client:
            for value, total in (1, 1), (2, 3), (3, 6):
                client.stdin.write(json.dumps({'value': value}).encode())
                self.assertEqual(read_message(client.stdout), {'value': str(total)})
            client.stdin.close()
            self.assertEqual(client.stdout.read(), b'')
        self.assertEqual(client.returncode, 0)

    def test_error_of_the_callback(self):
        error = self.assert_fails(OUT_OF_RANGE, 'counter.Counter/Add', {'value': -1})
        self.assertEqual(error['message'], 'Amounts are positive')


class AdoptedByProtoFiles(AdoptedCalls, GrpcurlTest):
    server = 'adopted'
    schema = ['-import-path', 'examples/adopted', '-proto', 'counter.proto']


class LiveCalls:
    def test_server_stream_that_fails(self):
        result = self.call('live.Ticker/Follow', {'count': 5, 'failAfter': 2})
        self.assertEqual(result.returncode, STATUS + UNAVAILABLE)
        self.assertEqual([tick['number'] for tick in json_values(result.stdout.decode())], [1, 2])
        self.assertEqual(json.loads(result.stderr)['message'], 'The clock stopped after 2')

    def test_both_streams(self):
        result = self.call('live.Chat/Talk', {'name': 'Ada'}, {'text': 'hello'}, options=['-v'])
        self.assertEqual(json_values(section(result, 'Response contents')), [{'name': 'Ada', 'text': 'hello'}])
        self.assertIn('said: 1', section(result, 'Response trailers received'))


class LiveByProtoFiles(LiveCalls, GrpcurlTest):
    server = 'browser'
    schema = ['-import-path', 'examples/browser', '-proto', 'live.proto']


class InteropCalls:
    EVERY_BYTE = base64.b64encode(bytes(range(256))).decode()
    RECORD = {
        'counts': {'a': '1', '': '-9223372036854775808'},
        'entries': {'-1': {'data': EVERY_BYTE}, '7': {'records': [{'note': 'within'}, {}]}},
        'colors': {'true': 'COLOR_RED', 'false': 'COLOR_UNSPECIFIED'},
        'note': '',
        'entry': {},
        'numbers': ['-1', '0', '9007199254740993'],
        'at': '2020-02-29T12:00:00.000000001Z',
        'anything': {'list': [1, 'two', None, True], 'within': {'x': 1.5}},
        'legacy': {'name': 'old', 'size': 5, '[interop.extra]': 'more'}
    }

    def test_maps_and_other_fields(self):
        self.assertEqual(self.replies('interop.Interop/EchoRecord', self.RECORD), [self.RECORD])

    def test_metadata_both_ways(self):
        sent = ['echo-a: one', f'echo-b-bin: {self.EVERY_BYTE}']
        result = self.call('interop.Interop/EchoMetadata', options=['-v', *header_options(sent)])
        [seen] = json_values(section(result, 'Response contents'))
        entries = {entry['key']: entry for entry in seen['entries']}
        self.assertEqual(entries['echo-a']['texts'], ['one'])
        self.assertEqual(entries['echo-b-bin']['binaries'], [self.EVERY_BYTE])
        for title in 'Response headers received', 'Response trailers received':
            for entry in sent:
                self.assertIn(entry.rstrip('='), section(result, title))

    def test_every_code(self):
        for code in range(1, 17):
            with self.subTest(code):
                error = self.assert_fails(code, 'interop.Interop/Fail', {'code': code, 'details': f'Größe {code}'})
                self.assertEqual(error, {'code': code, 'message': f'Größe {code}'})

    def test_error_with_details(self):
        violations = [{'field': 'items[3].price', 'description': 'must be positive'}, {'field': 'name', 'description': 'zu kurz für „uns“'}]
        request = {'code': INVALID_ARGUMENT, 'details': 'Ungültig', 'badRequest': {'fieldViolations': violations}}
        for method in 'Fail', 'FailLate':
            with self.subTest(method):
                error = self.assert_fails(INVALID_ARGUMENT, f'interop.Interop/{method}', request)
                self.assertEqual(error['details'], [{'@type': 'type.googleapis.com/google.rpc.BadRequest', 'fieldViolations': violations}])

    def test_unexpected_error_tells_nothing(self):
        error = self.assert_fails(INTERNAL, 'interop.Interop/Fail', {'details': 'the password is 1234'})
        self.assertEqual(error['message'], 'Internal error')

    def test_deadline(self):
        for method in 'BlockUnary', 'BlockServerStream':
            with self.subTest(method):
                call_id = str(uuid.uuid4())
                begin = time.monotonic()
                self.assert_fails(DEADLINE_EXCEEDED, f'interop.Interop/{method}', options=['-max-time', '0.5', '-H', f'call-id: {call_id}'])
                self.assertLess(time.monotonic() - begin, 10)
                [outcome] = self.replies('interop.Interop/Outcome', {'callId': call_id, 'waitMs': 5000})
                self.assertEqual((outcome['ended'], outcome['aborted']), (True, True))
                self.assertTrue(0 < outcome['remainingMs'] <= 500, outcome)

    def test_killed_client(self):
        call_id = str(uuid.uuid4())
        with start(*self.command('interop.Interop/BlockServerStream', options=['-H', f'call-id: {call_id}'])) as client:
            self.assertEqual(read_message(client.stdout), {})
            client.kill()
        [outcome] = self.replies('interop.Interop/Outcome', {'callId': call_id, 'waitMs': 5000})
        self.assertEqual((outcome['ended'], outcome['aborted']), (True, True))

    def test_large_messages(self):
        data = base64.b64encode(bytes(3_000_000)).decode()
        self.assertEqual(self.replies('interop.Interop/Echo', {'data': data}), [{'data': data}])
        data = base64.b64encode(bytes(5_000_000)).decode()
        self.assert_fails(8, 'interop.Interop/Echo', {'data': data})

    def test_gzip(self):
        result = self.call('interop.Interop/Echo', {'data': self.EVERY_BYTE}, options=['-v', '-H', 'grpc-accept-encoding: gzip'])
        self.assertEqual(json_values(section(result, 'Response contents')), [{'data': self.EVERY_BYTE}])


class InteropByProtoFiles(InteropCalls, GrpcurlTest):
    server = 'interop'
    schema = INTEROP


class TlsByProtoFiles(InteropCalls, GrpcurlTest):
    server = 'tls'
    schema = INTEROP

    def security(self):
        return ['-cacert', self.certificate('server.pem')]


class OnePortByProtoFiles(InteropByProtoFiles):
    server = 'one-port'


class OnePortOverTlsByProtoFiles(TlsByProtoFiles):
    server = 'one-port-tls'


class MutualTlsCalls:
    def security(self):
        return ['-cacert', self.certificate('ca.pem'), '-cert', self.certificate('client.pem'), '-key', self.certificate('client-key.pem')]

    def test_client_with_a_certificate_is_known_by_its_name(self):
        self.assertEqual(self.replies('helloworld.Greeter/SayHello'), [{'message': 'Hello, billing!'}])

    def test_clients_without_a_client_certificate_are_refused(self):
        authority = ['-cacert', self.certificate('ca.pem')]
        strangers = {
            'no TLS': ['-plaintext'],
            'no certificate': authority,
            'certificate of a server': [*authority, '-cert', self.certificate('server.pem'), '-key', self.certificate('server-key.pem')],
        }
        for name, security in strangers.items():
            with self.subTest(name):
                result = run(*self.command('helloworld.Greeter/SayHello', options=['-connect-timeout', '2'], security=security))
                self.assertNotEqual(result.returncode, 0)
                self.assertEqual(result.stdout, b'')

    def test_servers_of_another_authority_are_refused(self):
        security = ['-cacert', self.certificate('client.pem')]
        result = run(*self.command('helloworld.Greeter/SayHello', options=['-connect-timeout', '2'], security=security))
        self.assertIn('certificate', result.stderr.decode())
        self.assertEqual((result.returncode, result.stdout), (1, b''))


class MutualTlsByProtoFiles(MutualTlsCalls, GrpcurlTest):
    server = 'mutual-tls'
    schema = HELLOWORLD


def header_options(headers):
    return [option for header in headers for option in ('-H', header)]


def section(result, title):
    """What the output of `-v` says under a title."""
    found = re.search(rf'^{title}:\n(.*?)\n(?:\n|Sent |\Z)', result.stdout.decode(), re.MULTILINE | re.DOTALL)
    return found.group(1) if found else f'no {title}: {result.stdout.decode()} {result.stderr.decode()}'


def read_message(output):
    """The next message of the output, in which a line with `}` alone, or `{}`, is the end of one."""
    text = ''
    while True:
        line = output.readline().decode()
        text += line
        if line in ('}\n', '{}\n', ''):
            return json.loads(text)
