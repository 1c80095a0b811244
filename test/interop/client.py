"""Calls the examples and server.ts over gRPC with grpcio, and over HTTP with the standard library."""
import base64
import json
import os
import queue
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2

import counter_pb2
import counter_pb2_grpc
import helloworld_pb2
import helloworld_pb2_grpc
import interop_pb2
import interop_pb2_grpc
import route_guide_pb2
import route_guide_pb2_grpc
import servers

# A call that hangs fails.
LONGEST_CALL = '20s'

CHANNEL_OPTIONS = [
    ('grpc.enable_http_proxy', 0),
    ('grpc.service_config', json.dumps({'methodConfig': [{'name': [{}], 'timeout': LONGEST_CALL}]})),
]

Code = grpc.StatusCode


def http(url, message, **headers):
    """Posts a JSON message; returns status, JSON body and headers of the response."""
    headers = {name.replace('_', '-'): value for name, value in headers.items()}
    request = urllib.request.Request(url, json.dumps(message).encode(), {'content-type': 'application/json', **headers})
    try:
        response = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.status, json.load(response), response.headers


def values(metadata, key):
    """Every value of one key. Other entries, such as `date`, are the server's own."""
    return [value for name, value in metadata if name == key]


class Requests:
    """A stream of requests that is open until it is closed."""

    def __init__(self, *messages):
        self.queue = queue.Queue()
        for message in messages:
            self.send(message)

    def send(self, message):
        self.queue.put(message)

    def close(self):
        self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


class ChannelTest(servers.ServerTest):
    """Tests of one server, over one channel."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.channel = cls.open_channel()
        cls.addClassCleanup(cls.channel.close)

    @classmethod
    def open_channel(cls):
        return grpc.insecure_channel(cls.address, CHANNEL_OPTIONS)

    def assert_fails(self, code, call, details=None):
        """Makes a call that has to fail; returns the error."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        if details is not None:
            self.assertEqual(error.details(), details)
        return error


class HelloWorld(ChannelTest):
    server = 'helloworld'

    def setUp(self):
        self.stub = helloworld_pb2_grpc.GreeterStub(self.channel)
        self.request = helloworld_pb2.HelloRequest(name='you')

    def test_E1_say_hello(self):
        self.assertEqual(self.stub.SayHello(self.request).message, 'Hello, you!')
        self.assertEqual(self.stub.SayHelloAgain(self.request).message, 'Hello again, you!')

    def test_text_beyond_ascii(self):
        request = helloworld_pb2.HelloRequest(name='Zoë 世界 🌍')
        self.assertEqual(self.stub.SayHello(request).message, 'Hello, Zoë 世界 🌍!')

    def test_default_values(self):
        self.assertEqual(self.stub.SayHello(helloworld_pb2.HelloRequest()).message, 'Hello, !')

    def test_trailing_metadata(self):
        _, call = self.stub.SayHelloAgain.with_call(self.request)
        self.assertEqual(values(call.trailing_metadata(), 'greeted-over'), ['grpc'])

    def test_many_calls_at_once(self):
        names = [f'number {i}' for i in range(200)]
        calls = [self.stub.SayHello.future(helloworld_pb2.HelloRequest(name=name)) for name in names]
        self.assertEqual([call.result().message for call in calls], [f'Hello, {name}!' for name in names])

    def test_error_of_the_handler(self):
        request = helloworld_pb2.HelloRequest(name='error')
        self.assert_fails(Code.INVALID_ARGUMENT, lambda: self.stub.SayHello(request), 'Invalid request')

    def test_unknown_method_and_service(self):
        for path in '/helloworld.Greeter/SayGoodbye', '/helloworld.Nobody/SayHello':
            with self.subTest(path):
                self.assert_fails(Code.UNIMPLEMENTED, lambda: self.channel.unary_unary(path)(b''))

    def test_request_that_is_no_message(self):
        self.assert_fails(Code.INTERNAL, lambda: self.channel.unary_unary('/helloworld.Greeter/SayHello')(b'\xff'))

    def test_http(self):
        for method in 'SayHello', 'SayHelloAgain':
            with self.subTest(method):
                status, body, _ = http(f'{self.url}/grpc/helloworld.Greeter/{method}', {'name': 'you'})
                self.assertEqual((status, body), (200, {'message': getattr(self.stub, method)(self.request).message}))

    def test_http_error(self):
        status, body, _ = http(f'{self.url}/grpc/greeterservice/sayhello', {'name': 'error'})
        self.assertEqual((status, body['title'], body['detail']), (400, 'INVALID_ARGUMENT', 'Invalid request'))


class ExistingApp(ChannelTest):
    server = 'existing-app'

    def test_same_service_on_both_protocols(self):
        reply = helloworld_pb2_grpc.GreeterStub(self.channel).SayHello(helloworld_pb2.HelloRequest(name='you'))
        self.assertEqual(reply.message, 'Hello, you!')
        path = f'{self.url}/api/grpc/greeterservice/sayhello'
        status, body, _ = http(path, {'name': 'you'}, x_api_key='secret')
        self.assertEqual((status, body), (200, {'message': reply.message}))
        self.assertEqual(http(path, {'name': 'you'})[0], 401)


class RouteGuide(ChannelTest):
    server = 'start'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(os.path.join(servers.ROOT, 'examples', 'route-guide', 'features.json'), encoding='utf-8') as file:
            cls.points = [point(latitude, longitude) for latitude, longitude, _ in json.load(file)]

    def setUp(self):
        self.stub = route_guide_pb2_grpc.RouteGuideStub(self.channel)

    def test_E2_get_feature(self):
        feature = self.stub.GetFeature(point(409146138, -746188906))
        self.assertEqual(feature.name, 'Berkshire Valley Management Area Trail, Jefferson, NJ, USA')
        self.assertEqual(feature.location, point(409146138, -746188906))

    def test_E2_get_feature_where_there_is_none(self):
        feature = self.stub.GetFeature(point(0, 0))
        self.assertEqual(feature, route_guide_pb2.Feature(name='', location=point(0, 0)))
        self.assertTrue(feature.HasField('location'))

    def test_E3_list_features(self):
        low, high = point(400000000, -750000000), point(420000000, -730000000)
        for corners in {'lo': low, 'hi': high}, {'lo': high, 'hi': low}:
            with self.subTest(corners):
                features = list(self.stub.ListFeatures(route_guide_pb2.Rectangle(**corners)))
                self.assertEqual(len(features), 100)
                self.assertEqual(len([feature for feature in features if feature.name]), 64)
                self.assertEqual([feature.location for feature in features], self.points)

    def test_E3_no_features(self):
        self.assertEqual(list(self.stub.ListFeatures(route_guide_pb2.Rectangle())), [])

    def test_E4_record_route(self):
        self.assert_route(3, feature_count=3, distance=92589)
        self.assert_route(5, feature_count=5, distance=266396)

    def assert_route(self, count, feature_count, distance):
        summary = self.stub.RecordRoute(iter(self.points[:count]))
        self.assertEqual(summary.point_count, count)
        self.assertEqual(summary.feature_count, feature_count)
        self.assertEqual(summary.distance, distance)

    def test_E4_route_without_points(self):
        self.assertEqual(self.stub.RecordRoute(iter([])), route_guide_pb2.RouteSummary())

    def test_E5_route_chat(self):
        places = [('First', 0, 0), ('Second', 0, 1), ('Third', 1, 0), ('Fourth', 0, 0), ('Fifth', 1, 0)]
        notes = [route_guide_pb2.RouteNote(message=f'{name} message', location=point(*at)) for name, *at in places]
        replies = [note.message for note in self.stub.RouteChat(iter(notes))]
        self.assertEqual(replies, ['First message', 'Third message'])

    def test_other_service_of_the_gateway(self):
        reply = helloworld_pb2_grpc.GreeterStub(self.channel).SayHello(helloworld_pb2.HelloRequest(name='you'))
        self.assertEqual(reply.message, 'Hello, you!')

    def test_http(self):
        feature = self.stub.GetFeature(point(409146138, -746188906))
        path = f'{self.url}/api/v1/grpc/routeguideservice/getfeature'
        status, body, _ = http(path, {'latitude': 409146138, 'longitude': -746188906})
        location = {'latitude': feature.location.latitude, 'longitude': feature.location.longitude}
        self.assertEqual((status, body), (200, {'name': feature.name, 'location': location}))


def point(latitude, longitude):
    return route_guide_pb2.Point(latitude=latitude, longitude=longitude)


class Adopted(ChannelTest):
    """The handlers are those of grpc-js."""
    server = 'adopted'

    def setUp(self):
        self.stub = counter_pb2_grpc.CounterStub(self.channel)
        self.total = self.stub.Add(amount(1)).value

    def test_unary(self):
        self.assertEqual(self.stub.Add(amount(5)).value, self.total + 5)

    def test_server_stream(self):
        self.assertEqual([total.value for total in self.stub.CountTo(amount(3))], [1, 2, 3])
        self.assertEqual(list(self.stub.CountTo(amount(0))), [])

    def test_long_server_stream(self):
        totals = self.stub.CountTo(amount(10000))
        time.sleep(0.1)
        self.assertEqual([total.value for total in totals], list(range(1, 10001)))

    def test_client_stream(self):
        self.assertEqual(self.stub.AddAll(map(amount, [1, 2, 3])).value, self.total + 6)
        self.assertEqual(self.stub.AddAll(iter([])).value, self.total + 6)

    def test_both_streams_in_turn(self):
        requests = Requests()
        totals = self.stub.RunningTotal(iter(requests))
        for value, expected in (1, 1), (2, 3), (3, 6):
            requests.send(amount(value))
            self.assertEqual(next(totals).value, expected)
        requests.close()
        self.assertEqual(list(totals), [])

    def test_error_of_the_callback(self):
        self.assert_fails(Code.OUT_OF_RANGE, lambda: self.stub.Add(amount(-1)), 'Amounts are positive')

    def test_zero(self):
        self.assertEqual(self.stub.Add(amount(0)).value, self.total)
        self.assertEqual(self.stub.Add(amount(1)).value, self.total + 1)

    def test_http_shares_the_state(self):
        status, body, _ = http(f'{self.url}/grpc/counterservice/add', {'value': 2})
        self.assertEqual((status, body), (200, {'value': str(self.total + 2)}))
        self.assertEqual(self.stub.Add(amount(1)).value, self.total + 3)


def amount(value):
    return counter_pb2.Amount(value=value)


class MutualTls(ChannelTest):
    server = 'mutual-tls'

    @classmethod
    def open_channel(cls):
        return cls.secure_channel('client-key.pem', 'client.pem')

    @classmethod
    def secure_channel(cls, key=None, certificate=None):
        credentials = grpc.ssl_channel_credentials(cls.pem('ca.pem'), key and cls.pem(key), certificate and cls.pem(certificate))
        return grpc.secure_channel(cls.address, credentials, CHANNEL_OPTIONS)

    @classmethod
    def pem(cls, name):
        with open(cls.certificate(name), 'rb') as file:
            return file.read()

    def greet(self, channel):
        return helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest(name='you')).message

    def test_client_with_a_certificate_is_known_by_its_name(self):
        self.assertEqual(self.greet(self.channel), 'Hello, billing!')

    def test_clients_without_a_client_certificate_are_refused(self):
        channels = {
            'no certificate': self.secure_channel(),
            'certificate of a server': self.secure_channel('server-key.pem', 'server.pem'),
            'no TLS': grpc.insecure_channel(self.address, CHANNEL_OPTIONS),
        }
        for name, channel in channels.items():
            with self.subTest(name), channel:
                self.assert_fails(Code.UNAVAILABLE, lambda: self.greet(channel))

    def test_http_has_no_certificate(self):
        status, body, _ = http(f'{self.url}/grpc/helloworld.Greeter/SayHello', {'name': 'you'})
        self.assertEqual((status, body['title']), (401, 'UNAUTHENTICATED'))


class InteropTest(ChannelTest):
    server = 'interop'

    def setUp(self):
        self.stub = interop_pb2_grpc.InteropStub(self.channel)


EVERY_BYTE = bytes(range(256))


class MetadataBothWays(InteropTest):
    def echo(self, *metadata):
        """Returns what the server has seen as {key: values}, and the call."""
        seen, call = self.stub.EchoMetadata.with_call(interop_pb2.Nothing(), metadata=metadata)
        return {entry.key: list(entry.texts) + list(entry.binaries) for entry in seen.entries}, call

    def test_text(self):
        seen, call = self.echo(('echo-a', 'one'), ('echo-b', 'spaces and !"#$%&\'()*+-./:;<=>?@[]^_`{|}~'))
        self.assertEqual(seen, {'echo-a': ['one'], 'echo-b': ['spaces and !"#$%&\'()*+-./:;<=>?@[]^_`{|}~']})
        for metadata in call.initial_metadata(), call.trailing_metadata():
            self.assertEqual(values(metadata, 'echo-a'), seen['echo-a'])
            self.assertEqual(values(metadata, 'echo-b'), seen['echo-b'])

    def test_several_text_values(self):
        seen, call = self.echo(('echo-a', 'one'), ('echo-a', 'two'))
        # Node.js joins them by commas, as HTTP allows.
        self.assertEqual(', '.join(seen['echo-a']), 'one, two')
        for metadata in call.initial_metadata(), call.trailing_metadata():
            self.assertEqual(', '.join(values(metadata, 'echo-a')), 'one, two')

    def test_E7_bytes(self):
        for data in EVERY_BYTE, b'', b'\x00', b'ab', b'abc', os.urandom(1000):
            with self.subTest(data):
                seen, call = self.echo(('echo-a-bin', data))
                self.assertEqual(seen, {'echo-a-bin': [data]})
                self.assertEqual(values(call.initial_metadata(), 'echo-a-bin'), [data])
                self.assertEqual(values(call.trailing_metadata(), 'echo-a-bin'), [data])

    def test_E7_several_values_of_bytes(self):
        seen, call = self.echo(('echo-a-bin', EVERY_BYTE), ('echo-a-bin', b'\x00'), ('echo-a-bin', b','))
        self.assertEqual(seen, {'echo-a-bin': [EVERY_BYTE, b'\x00', b',']})
        self.assertEqual(values(call.initial_metadata(), 'echo-a-bin'), [EVERY_BYTE, b'\x00', b','])
        self.assertEqual(values(call.trailing_metadata(), 'echo-a-bin'), [EVERY_BYTE, b'\x00', b','])

    def test_several_values_of_an_error(self):
        failure = interop_pb2.Failure(code=10, details='Try again')
        error = self.assert_fails(Code.ABORTED, lambda: self.stub.Fail(failure), 'Try again')
        self.assertEqual(values(error.trailing_metadata(), 'failed-by'), ['request', 'design'])

    def test_http(self):
        encoded = base64.b64encode(EVERY_BYTE).decode()
        status, body, headers = http(f'{self.url}/grpc/interop/echometadata', {}, echo_a='one', echo_a_bin=encoded)
        self.assertEqual(status, 200)
        entries = {entry['key']: entry for entry in body['entries']}
        self.assertEqual(entries['echo-a']['texts'], ['one'])
        self.assertEqual(entries['echo-a-bin']['binaries'], [encoded])
        for prefix in '', 'grpc-trailer-':
            self.assertEqual(headers[f'{prefix}echo-a'], 'one')
            self.assertEqual(base64.b64decode(headers[f'{prefix}echo-a-bin'] + '=='), EVERY_BYTE)


class Errors(InteropTest):
    VIOLATIONS = {'items[3].price': 'must be positive', 'name': 'ist zu kurz für „uns“'}

    def bad_request(self):
        violation = error_details_pb2.BadRequest.FieldViolation
        violations = [violation(field=field, description=text) for field, text in self.VIOLATIONS.items()]
        return error_details_pb2.BadRequest(field_violations=violations)

    def test_every_code(self):
        for code in Code:
            number = code.value[0]
            if number == 0:
                continue
            with self.subTest(code):
                failure = interop_pb2.Failure(code=number, details=f'code {number}')
                self.assert_fails(code, lambda: self.stub.Fail(failure), f'code {number}')

    def test_details_of_any_text(self):
        for details in '', '100 % sure', 'Größe, 世界, 🌍', 'two\nlines', 'x' * 4096:
            with self.subTest(details):
                failure = interop_pb2.Failure(code=9, details=details)
                self.assert_fails(Code.FAILED_PRECONDITION, lambda: self.stub.Fail(failure), details)

    def test_long_details_are_cut(self):
        failure = interop_pb2.Failure(code=9, details='x' * 5000)
        error = self.assert_fails(Code.FAILED_PRECONDITION, lambda: self.stub.Fail(failure))
        self.assertEqual(len(error.details()), 4096)
        self.assertTrue(error.details().endswith('... [truncated]'))

    def test_unexpected_error_tells_nothing(self):
        failure = interop_pb2.Failure(details='the password is 1234')
        self.assert_fails(Code.INTERNAL, lambda: self.stub.Fail(failure), 'Internal error')

    def test_structured_details(self):
        failure = interop_pb2.Failure(code=3, details='Ungültig', bad_request=self.bad_request())
        error = self.assert_fails(Code.INVALID_ARGUMENT, lambda: self.stub.Fail(failure), 'Ungültig')
        self.assert_bad_request(error)

    def assert_bad_request(self, error):
        [data] = values(error.trailing_metadata(), 'grpc-status-details-bin')
        status = status_pb2.Status.FromString(data)
        self.assertEqual((status.code, status.message), (3, 'Ungültig'))
        [detail] = status.details
        self.assertEqual(detail.type_url, 'type.googleapis.com/google.rpc.BadRequest')
        unpacked = error_details_pb2.BadRequest()
        self.assertTrue(detail.Unpack(unpacked))
        self.assertEqual(unpacked, self.bad_request())

    def test_error_after_a_message(self):
        failure = interop_pb2.Failure(code=3, details='Ungültig', bad_request=self.bad_request())
        call = self.stub.FailLate(failure)
        self.assertEqual(next(call), interop_pb2.Nothing())
        error = self.assert_fails(Code.INVALID_ARGUMENT, lambda: next(call), 'Ungültig')
        self.assertEqual(values(error.trailing_metadata(), 'failed-by'), ['request', 'design'])
        self.assert_bad_request(error)

    def test_unexpected_error_after_a_message(self):
        call = self.stub.FailLate(interop_pb2.Failure(details='the password is 1234'))
        self.assertEqual(next(call), interop_pb2.Nothing())
        self.assert_fails(Code.INTERNAL, lambda: next(call), 'Internal error')

    def test_http(self):
        violations = [{'field': field, 'description': text} for field, text in self.VIOLATIONS.items()]
        request = {'code': 3, 'details': 'Ungültig', 'badRequest': {'fieldViolations': violations}}
        status, body, headers = http(f'{self.url}/grpc/interop.Interop/Fail', request)
        self.assertEqual((status, body['title'], body['detail']), (400, 'INVALID_ARGUMENT', 'Ungültig'))
        type_url = 'type.googleapis.com/google.rpc.BadRequest'
        self.assertEqual(body['details'], [{'@type': type_url, 'fieldViolations': violations}])
        self.assertEqual(', '.join(headers.get_all('grpc-trailer-failed-by')), 'request, design')


class CallsThatAreGivenUp(InteropTest):
    """The server's handler has to hear of it, by its signal or by the end of its request stream."""

    def setUp(self):
        super().setUp()
        self.call_id = str(uuid.uuid4())

    def start(self, kind, channel=None, **settings):
        """Starts a call that blocks."""
        requests = Requests(interop_pb2.Nothing())
        self.addCleanup(requests.close)
        stub = self.stub if channel is None else interop_pb2_grpc.InteropStub(channel)
        call = {
            'unary': lambda **settings: stub.BlockUnary.future(interop_pb2.Nothing(), **settings),
            'server stream': lambda **settings: stub.BlockServerStream(interop_pb2.Nothing(), **settings),
            'client stream': lambda **settings: stub.BlockClientStream.future(iter(requests), **settings),
            'both streams': lambda **settings: stub.BlockBidi(iter(requests), **settings),
        }[kind]
        return call(metadata=[('call-id', self.call_id)], **settings)

    def block(self, kind, channel=None):
        """Starts a call that blocks; returns when it has begun at the server."""
        call = self.start(kind, channel)
        self.await_begin()
        if kind in ('server stream', 'both streams'):
            self.assertEqual(next(call), interop_pb2.Nothing())
        return call

    def await_begin(self):
        patience = time.monotonic() + 10
        while True:
            try:
                return self.outcome(wait_ms=0)
            except grpc.RpcError as error:
                if error.code() != Code.NOT_FOUND or time.monotonic() > patience:
                    raise
            time.sleep(0.01)

    def outcome(self, wait_ms):
        return self.stub.Outcome(interop_pb2.OutcomeRequest(call_id=self.call_id, wait_ms=wait_ms))

    def assert_aborted(self, *codes):
        outcome = self.outcome(wait_ms=5000)
        self.assertTrue(outcome.aborted, 'the signal has aborted')
        self.assertTrue(outcome.ended, 'the handler has come to an end')
        self.assertIn(outcome.abort_code, [code.value[0] for code in codes])
        return outcome

    def assert_deadline(self, kind):
        start = time.monotonic()
        call = self.start(kind, timeout=0.3)
        self.assert_fails(Code.DEADLINE_EXCEEDED, lambda: wait_for(call))
        seconds = time.monotonic() - start
        self.assertTrue(0.25 <= seconds < 1.5, f'after {seconds} s')
        # Whichever comes first, the deadline at the server or the cancellation that the client sends at its own.
        outcome = self.assert_aborted(Code.DEADLINE_EXCEEDED, Code.CANCELLED)
        self.assertTrue(0 < outcome.remaining_ms <= 350, f'{outcome.remaining_ms} ms remained')
        self.assertTrue(50 <= outcome.aborted_after_ms < 1500, f'aborted after {outcome.aborted_after_ms} ms')

    def test_E6_deadline_of_a_unary_call(self):
        self.assert_deadline('unary')

    def test_E6_deadline_of_a_server_stream(self):
        self.assert_deadline('server stream')

    def test_E6_deadline_of_a_client_stream(self):
        self.assert_deadline('client stream')

    def test_E6_deadline_of_both_streams(self):
        self.assert_deadline('both streams')

    def assert_cancelled(self, kind):
        call = self.block(kind)
        call.cancel()
        self.assertEqual(call.code(), Code.CANCELLED)
        self.assert_aborted(Code.CANCELLED)

    def test_cancelled_unary_call(self):
        self.assert_cancelled('unary')

    def test_cancelled_server_stream(self):
        self.assert_cancelled('server stream')

    def test_cancelled_client_stream(self):
        self.assert_cancelled('client stream')

    def test_cancelled_both_streams(self):
        self.assert_cancelled('both streams')

    def test_closed_channel(self):
        channel = self.open_channel()
        call = self.block('both streams', channel)
        channel.close()
        self.assertEqual(call.code(), Code.CANCELLED)
        self.assert_aborted(Code.CANCELLED)

    def test_killed_client(self):
        program = (
            'import sys, grpc, interop_pb2, interop_pb2_grpc\n'
            'stub = interop_pb2_grpc.InteropStub(grpc.insecure_channel(sys.argv[1]))\n'
            'call = stub.BlockUnary.future(interop_pb2.Nothing(), metadata=[("call-id", sys.argv[2])])\n'
            'call.result()\n'
        )
        command = [sys.executable, '-c', program, self.address, self.call_id]
        with subprocess.Popen(command) as client:
            try:
                self.await_begin()
            finally:
                client.kill()
        self.assert_aborted(Code.CANCELLED)

    def test_answered_call_does_not_abort(self):
        requests = Requests(interop_pb2.Nothing())
        call = self.stub.BlockClientStream.future(iter(requests), metadata=[('call-id', self.call_id)])
        call.initial_metadata()
        requests.close()
        self.assertEqual(call.result(), interop_pb2.Nothing())
        outcome = self.outcome(wait_ms=200)
        self.assertEqual((outcome.ended, outcome.aborted), (True, False))


def wait_for(call):
    """Waits for the end of a call, of whichever kind."""
    return call.result() if hasattr(call, 'result') else list(call)


class Messages(InteropTest):
    MEGABYTE = 1000 * 1000

    def test_3_megabytes(self):
        data = os.urandom(3 * self.MEGABYTE)
        self.assertEqual(self.stub.Echo(interop_pb2.Payload(data=data)).data, data)

    def test_3_megabytes_in_a_stream(self):
        payloads = [interop_pb2.Payload(data=os.urandom(3 * self.MEGABYTE)) for _ in range(3)]
        self.assertEqual(list(self.stub.EchoEach(iter(payloads))), payloads)

    def test_6_megabytes_are_too_many(self):
        payload = interop_pb2.Payload(data=os.urandom(6 * self.MEGABYTE))
        self.assert_fails(Code.RESOURCE_EXHAUSTED, lambda: self.stub.Echo(payload))
        self.assert_fails(Code.RESOURCE_EXHAUSTED, lambda: list(self.stub.EchoEach(iter([payload]))))
        self.assertEqual(self.stub.Echo(interop_pb2.Payload(data=b'as before')).data, b'as before')

    def test_6_megabytes_are_too_many_compressed_too(self):
        payload = interop_pb2.Payload(data=bytes(6 * self.MEGABYTE))
        gzip = grpc.Compression.Gzip
        error = self.assert_fails(Code.RESOURCE_EXHAUSTED, lambda: self.stub.Echo(payload, compression=gzip))
        self.assertIn('decompresses', error.details())

    def test_compressed_requests(self):
        payload = interop_pb2.Payload(data=bytes(self.MEGABYTE))
        for compression in grpc.Compression.Gzip, grpc.Compression.Deflate:
            with self.subTest(compression):
                self.assertEqual(self.stub.Echo(payload, compression=compression), payload)
                replies = self.stub.EchoEach(iter([payload] * 3), compression=compression)
                self.assertEqual(list(replies), [payload] * 3)

    def test_empty_messages(self):
        empty = interop_pb2.Payload()
        self.assertEqual(self.stub.Echo(empty), empty)
        self.assertEqual(list(self.stub.EchoEach(iter([empty, empty]))), [empty, empty])

    def test_http(self):
        data = base64.b64encode(EVERY_BYTE).decode()
        self.assertEqual(self.stub.Echo(interop_pb2.Payload(data=EVERY_BYTE)).data, EVERY_BYTE)
        status, body, _ = http(f'{self.url}/grpc/interop.Interop/Echo', {'data': data})
        self.assertEqual((status, body), (200, {'data': data}))
