"""Calls applications as clients of Ray Serve do, by stubs made from the protos of protos/ray; tests have the ids of Ray's cases."""
import base64
import os
import re
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

import grpc

import fruit_pb2
import fruit_pb2_grpc
import predict_pb2
import predict_pb2_grpc
import serve_pb2
import serve_pb2_grpc
import servers
import user_defined_protos_pb2
import user_defined_protos_pb2_grpc
from client import ChannelTest, Code, http, values

Message = user_defined_protos_pb2.UserDefinedMessage
FOO = Message(name='foo', num=30, origin='bar')
PING = 'Ping /ray.serve.RayServeAPIService/ListApplications for available applications.'


def application(name, **metadata):
    return [('application', name), *metadata.items()]


def numbered(*nums):
    """A stream of messages of as many users."""
    return iter([Message(name=f'user_{i}', num=num) for i, num in enumerate(nums)])


def text_of(url):
    """Status and body of what answers in plain text."""
    try:
        response = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.status, response.read().decode()


class UserDefinedTest(ChannelTest):
    def setUp(self):
        self.stub = user_defined_protos_pb2_grpc.UserDefinedServiceStub(self.channel)
        self.api = serve_pb2_grpc.RayServeAPIServiceStub(self.channel)
        # Python gives the name __call__ a meaning of its own, but the stub's attribute is the RPC.
        self.call = self.stub.__call__

    def calls(self, **options):
        """A call of each kind of RPC."""
        yield 'unary', lambda: self.call(FOO, **options)
        yield 'server stream', lambda: list(self.stub.Streaming(FOO, **options))
        yield 'client stream', lambda: self.stub.ClientStreaming(numbered(1), **options)
        yield 'both streams', lambda: list(self.stub.BidiStreaming(numbered(1), **options))

    def assert_request_id(self, metadata):
        [request_id] = values(metadata, 'request_id')
        self.assertEqual(uuid.UUID(request_id).version, 4)


class Applications(UserDefinedTest):
    server = 'serving'

    def test_B1_call(self):
        response, call = self.call.with_call(FOO, metadata=application('app1'))
        self.assertEqual((response.greeting, response.num), ('Hello foo from bar', 60))
        self.assert_request_id(call.trailing_metadata())
        body = {'name': 'foo', 'num': 30, 'origin': 'bar'}
        for path in '/app1', '/app1/userdefinedservice/__call__':
            with self.subTest(path):
                status, reply, _ = http(self.url + path, body)
                self.assertEqual((status, reply), (200, {'greeting': 'Hello foo from bar', 'num': '60'}))

    def test_B1_call_by_path(self):
        call = self.channel.unary_unary(
            '/userdefinedprotos.UserDefinedService/__call__', Message.SerializeToString,
            user_defined_protos_pb2.UserDefinedResponse.FromString
        )
        self.assertEqual(call(FOO, metadata=application('app1')).num, 60)

    def test_B2_multiplexing(self):
        metadata = application('app1', request_id='123', multiplexed_model_id='999')
        request = user_defined_protos_pb2.UserDefinedMessage2()
        response, call = self.stub.Multiplexing.with_call(request, metadata=metadata)
        self.assertEqual(response.greeting, 'Method2 called model, loading model: 999')
        self.assertEqual(values(call.trailing_metadata(), 'request_id'), ['123'])
        url = f'{self.url}/app1/userdefinedservice/multiplexing'
        _, reply, _ = http(url, {}, serve_multiplexed_model_id='998')
        self.assertEqual(reply, {'greeting': 'Method2 called model, loading model: 998'})

    def test_B3_streaming(self):
        responses = list(self.stub.Streaming(FOO, metadata=application('app1')))
        expected = [(f'{i}: Hello foo from bar', 60 + i) for i in range(10)]
        self.assertEqual([(response.greeting, response.num) for response in responses], expected)

    def test_B4_healthz_and_list_applications(self):
        def names():
            return list(self.api.ListApplications(serve_pb2.ListApplicationsRequest()).application_names)

        self.assertEqual(names(), ['app1', 'app2'])
        http(f'{self.url}/test/delete/app2', {})
        try:
            self.assertEqual(names(), ['app1'])
            self.assertEqual(self.call(FOO).num, 60, 'one application needs no name')
        finally:
            http(f'{self.url}/test/run/app2', {})
        self.assertEqual(names(), ['app1', 'app2'])
        self.assertEqual(self.api.Healthz(serve_pb2.HealthzRequest()).message, 'success')
        self.assertEqual(text_of(f'{self.url}/-/routes'), (200, '{"/app1":"app1","/app2":"app2"}'))

    def test_B5_no_application_is_named(self):
        for kind, call in self.calls():
            with self.subTest(kind):
                error = self.assert_fails(Code.NOT_FOUND, call, f'Application metadata not set. {PING}')
                self.assert_request_id(error.trailing_metadata())

    def test_B6_no_such_application(self):
        for kind, call in self.calls(metadata=application('zzz')):
            with self.subTest(kind):
                self.assert_fails(Code.NOT_FOUND, call, f"Application 'zzz' not found. {PING}")

    def test_B13_message_of_6_million_characters(self):
        name = 'x' * 6_000_000
        options = [('grpc.max_receive_message_length', -1), ('grpc.enable_http_proxy', 0)]
        with grpc.insecure_channel(self.address, options) as channel:
            stub = user_defined_protos_pb2_grpc.UserDefinedServiceStub(channel)
            response = stub.__call__(Message(name=name), metadata=application('app1'), timeout=20)
        self.assertEqual(len(response.greeting), len(f'Hello {name} from '))

    def test_B14_client_streaming(self):
        for nums, expected in ((1, 2, 3, 4, 5), ('Received 5 messages', 30)), ((), ('Received 0 messages', 0)):
            with self.subTest(nums):
                response = self.stub.ClientStreaming(numbered(*nums), metadata=application('app1'))
                self.assertEqual((response.greeting, response.num), expected)

    def test_B15_bidi_streaming(self):
        responses = self.stub.BidiStreaming(numbered(0, 10, 20), metadata=application('app1'))
        expected = [('Hello user_0', 0), ('Hello user_1', 20), ('Hello user_2', 40)]
        self.assertEqual([(response.greeting, response.num) for response in responses], expected)
        self.assertEqual(list(self.stub.BidiStreaming(numbered(), metadata=application('app1'))), [])

    def test_B20_draining(self):
        text = 'This node is being drained.'
        http(f'{self.url}/test/drain', {})
        try:
            healthz = lambda: self.api.Healthz(serve_pb2.HealthzRequest())
            self.assert_fails(Code.UNAVAILABLE, healthz, text)
            self.assert_fails(Code.UNAVAILABLE, lambda: self.api.ListApplications(serve_pb2.ListApplicationsRequest()), text)
            for path in '/-/healthz', '/-/routes':
                self.assertEqual(text_of(self.url + path), (503, text))
            self.assertEqual(self.call(FOO, metadata=application('app1')).num, 60)
        finally:
            http(f'{self.url}/test/undrain', {})
        self.assertEqual(healthz().message, 'success')
        self.assertEqual(text_of(f'{self.url}/-/healthz'), (200, 'success'))

    def test_B22_request_id_over_http(self):
        _, _, headers = http(f'{self.url}/app1', {}, x_request_id='rid-1')
        self.assertEqual(headers['x-request-id'], 'rid-1')
        _, _, headers = http(f'{self.url}/app1', {})
        self.assertEqual(uuid.UUID(headers['x-request-id']).version, 4)

    def test_B26_model_composition(self):
        stub = user_defined_protos_pb2_grpc.ImageClassificationServiceStub(self.channel)
        with open(os.path.join(servers.ROOT, 'examples/image-classifier/images/cross.png'), 'rb') as image:
            url = f'data:image/png;base64,{base64.b64encode(image.read()).decode()}'
        request = user_defined_protos_pb2.ImageData(url=url)
        response = stub.Predict(request, metadata=application('app2'))
        self.assertEqual(response.classes[0], 'cross')
        self.assertEqual(len(response.classes), len(response.probabilities))
        self.assertEqual(list(response.probabilities), sorted(response.probabilities, reverse=True))
        self.assertLessEqual(sum(response.probabilities), 1)
        self.assert_fails(Code.NOT_FOUND, lambda: stub.Predict(request))

    def test_B27_unknown_method(self):
        call = self.channel.unary_unary('/userdefinedprotos.UserDefinedService/Nothing')
        self.assert_fails(Code.UNIMPLEMENTED, lambda: call(b'', metadata=application('app1')))
        request = user_defined_protos_pb2.ImageData()
        stub = user_defined_protos_pb2_grpc.ImageClassificationServiceStub(self.channel)
        self.assert_fails(Code.UNIMPLEMENTED, lambda: stub.Predict(request, metadata=application('app1')))


class Codes(UserDefinedTest):
    server = 'serving-codes'

    def test_B7_code_and_details_of_the_deployment(self):
        name = str(uuid.uuid4())
        error = self.assert_fails(Code.INVALID_ARGUMENT, lambda: self.call(Message(name=name)), f'{name} not found, adding to nums.')
        self.assertEqual(values(error.trailing_metadata(), 'num'), ['0'])
        self.assert_request_id(error.trailing_metadata())
        response, call = self.call.with_call(Message(name=name))
        self.assertEqual((response.greeting, call.code()), (name, Code.OK))
        self.assertEqual(values(call.trailing_metadata(), 'num'), ['0'])
        self.assert_request_id(call.trailing_metadata())

    def test_B8_data_loss(self):
        call = lambda: self.stub.Multiplexing(user_defined_protos_pb2.UserDefinedMessage2())
        self.assert_lost(self.assert_fails(Code.DATA_LOSS, call, 'what was lost'))

    def test_B8_data_loss_in_a_stream(self):
        responses = self.stub.Streaming(FOO)
        self.assertEqual(next(responses).greeting, 'first')
        self.assert_lost(self.assert_fails(Code.DATA_LOSS, lambda: next(responses), 'what was lost'))

    def assert_lost(self, error):
        self.assertEqual(values(error.trailing_metadata(), 'foo'), ['bar'])
        self.assert_request_id(error.trailing_metadata())


class Timeouts(UserDefinedTest):
    server = 'serving-timeouts'

    def test_B11_deadline_of_the_server(self):
        for kind, call in self.calls():
            with self.subTest(kind):
                error = self.assert_fails(Code.DEADLINE_EXCEEDED, call)
                self.assertIn('timed out after 0.1s.', error.details())


class Fruit(ChannelTest):
    server = 'fruit'

    def test_B18_fruit_stand(self):
        stub = fruit_pb2_grpc.FruitServiceStub(self.channel)
        for amounts, costs in ({'orange': 4, 'apple': 8}, 32), ({'banana': 5}, 0):
            with self.subTest(amounts):
                self.assertEqual(stub.FruitStand(fruit_pb2.FruitAmounts(**amounts), metadata=application('fruit')).costs, costs)


class Predict(ChannelTest):
    server = 'predict'

    def test_C1_predict(self):
        stub = predict_pb2_grpc.PredictAPIsServiceStub(self.channel)
        request = predict_pb2.PredictRequest(input={'ORANGE': b'10', 'APPLE': b'3'})
        prediction = stub.Predict(request).prediction
        self.assertEqual((prediction, struct.unpack('<f', prediction)), (b'\x00\x00\xe8\x41', (29.0,)))
        _, reply, _ = http(f'{self.url}/predict', {'input': {'ORANGE': 'MTA=', 'APPLE': 'Mw=='}})
        self.assertEqual(reply, {'prediction': 'AADoQQ=='})


class ReadmeTest:
    """The program in the README of an example works."""

    def test_python_of_the_readme(self):
        with open(os.path.join(servers.ROOT, 'examples', self.server, 'README.md'), encoding='utf-8') as readme:
            program = re.search(r'```python\n(.*?)```', readme.read(), re.DOTALL)[1]
        command = [sys.executable, '-c', program.replace('localhost:50051', self.address)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=servers.ROOT, timeout=30, check=False)
        self.assertRegex(result.stdout, f'^{self.output}$', result.stderr)


class FruitReadme(ReadmeTest, servers.ServerTest):
    server = 'fruit'
    output = '32.0\n'


class ImageClassifierReadme(ReadmeTest, servers.ServerTest):
    server = 'image-classifier'
    output = 'triangle\n'


class PredictReadme(ReadmeTest, servers.ServerTest):
    server = 'predict'
    output = '29.0\n'


class MultiplexingReadme(ReadmeTest, servers.ServerTest):
    server = 'multiplexing'
    output = r'en positive [\d.]+\nfr negative [\d.]+\n'
