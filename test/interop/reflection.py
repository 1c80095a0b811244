"""Asks the servers by grpcurl what they offer, compiles what they answer, and calls by it alone."""
import glob
import os
import subprocess
import sys
import tempfile

import servers
from command import run
from google.protobuf import descriptor_pb2, descriptor_pool
from grpcurl import AdoptedCalls, GreeterCalls, GrpcurlTest, InteropCalls, LiveCalls, MutualTlsCalls, RouteGuideCalls
from health import SERVICES


class GreeterByReflection(GreeterCalls, GrpcurlTest):
    server = 'helloworld'


class RouteGuideByReflection(RouteGuideCalls, GrpcurlTest):
    server = 'start'


class AdoptedByReflection(AdoptedCalls, GrpcurlTest):
    server = 'adopted'


class LiveByReflection(LiveCalls, GrpcurlTest):
    server = 'browser'


class InteropByReflection(InteropCalls, GrpcurlTest):
    server = 'interop'


class TlsByReflection(GrpcurlTest):
    server = 'tls'

    def security(self):
        return ['-cacert', self.certificate('server.pem')]

    def test_call(self):
        self.assertEqual(self.replies('interop.Interop/EchoRecord', InteropCalls.RECORD), [InteropCalls.RECORD])


class MutualTlsByReflection(MutualTlsCalls, GrpcurlTest):
    server = 'mutual-tls'


class Listing(GrpcurlTest):
    server = 'start'

    def output(self, *arguments, server=None, options=()):
        self.address, _ = servers.addresses[server or self.server]
        result = run(*self.command(*arguments, options=options))
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()

    def test_services(self):
        for server, services in SERVICES.items():
            with self.subTest(server):
                listed = self.output('list', server=server).split()
                self.assertEqual([name for name in listed if not name.startswith('grpc.')], services)
                self.assertIn('grpc.health.v1.Health', listed)
                self.assertIn('grpc.reflection.v1.ServerReflection', listed)

    def test_methods(self):
        methods = ['GetFeature', 'ListFeatures', 'RecordRoute', 'RouteChat']
        self.assertEqual(self.output('list', 'routeguide.RouteGuide').split(), [f'routeguide.RouteGuide.{method}' for method in methods])

    def test_description_of_a_service(self):
        text = self.output('describe', 'routeguide.RouteGuide')
        self.assertIn('rpc RouteChat ( stream .routeguide.RouteNote ) returns ( stream .routeguide.RouteNote );', text)

    def test_description_of_maps_and_other_fields(self):
        text = self.output('describe', 'interop.Record', server='interop')
        for line in (
            'map<string, int64> counts = 1;', 'map<int32, .interop.Record.Entry> entries = 2;', 'map<bool, .interop.Record.Color> colors = 3;',
            'optional string note = 4;', 'oneof choice {', 'repeated sint64 numbers = 7;', '.google.protobuf.Timestamp at = 8;',
            '.interop.Legacy legacy = 10;', 'message Entry {', 'enum Color {',
        ):
            self.assertIn(line, text)

    def test_description_of_proto2(self):
        text = self.output('describe', 'interop.Legacy', server='interop')
        for line in 'required string name = 1;', 'optional int32 size = 2 [default = 7];', 'extensions 100 to 199;':
            self.assertIn(line, text)

    def test_description_of_a_custom_option(self):
        text = self.output('describe', 'interop.Interop.EchoRecord', server='interop')
        self.assertIn('option (.interop.purpose) = "reflection";', text)

    def test_template_of_a_message(self):
        text = self.output('describe', 'interop.Record', server='interop', options=['-msg-template'])
        self.assertIn('"counts": {\n    "": "0"\n  }', text)

    def test_unknown_symbol(self):
        result = run(*self.command('describe', 'routeguide.Nothing'))
        self.assertEqual(result.returncode, 1)
        self.assertIn('not found', result.stderr.decode())


class Compiled(GrpcurlTest):
    """What a server answers is complete and right: protoc makes of it what it makes of the .proto files."""
    server = 'interop'
    FILES = {
        'helloworld': ['helloworld.proto'], 'start': ['helloworld.proto', 'route_guide.proto'], 'adopted': ['counter.proto'],
        'browser': ['live.proto'], 'interop': ['interop.proto', 'record.proto', 'legacy.proto'],
    }
    INCLUDES = ['-I', 'protos', '-I', 'examples/adopted', '-I', 'examples/browser', '-I', 'test/interop']

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def protoc(self, *arguments):
        subprocess.run([sys.executable, '-m', 'grpc_tools.protoc', *arguments], cwd=servers.ROOT, check=True)

    def descriptors(self, path):
        result = descriptor_pb2.FileDescriptorSet()
        with open(path, 'rb') as file:
            result.ParseFromString(file.read())
        return result

    def served(self, server):
        """The descriptors of all services, as a set."""
        self.address, _ = servers.addresses[server]
        path = os.path.join(self.folder.name, f'{server}.served')
        result = run(*self.command('describe', options=['-protoset-out', path]))
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return self.descriptors(path)

    def test_descriptors_are_valid(self):
        for server in self.FILES:
            with self.subTest(server):
                pool = descriptor_pool.DescriptorPool()
                for file in self.served(server).file:
                    pool.Add(file)
                for service in SERVICES[server]:
                    self.assertEqual(pool.FindServiceByName(service).full_name, service)

    def test_descriptors_are_those_of_protoc(self):
        for server, files in self.FILES.items():
            path = os.path.join(self.folder.name, f'{server}.compiled')
            self.protoc(*self.INCLUDES, '--descriptor_set_out', path, *files)
            served = {file.name: file for file in self.served(server).file}
            for compiled in self.descriptors(path).file:
                with self.subTest(server, file=compiled.name):
                    self.assertEqual(bare(served[compiled.name]), bare(compiled))

    def test_proto_files_are_valid(self):
        for server in self.FILES:
            with self.subTest(server):
                self.address, _ = servers.addresses[server]
                folder = os.path.join(self.folder.name, server)
                for service in SERVICES[server]:
                    result = run(*self.command('describe', service, options=['-proto-out-dir', folder]))
                    self.assertEqual(result.returncode, 0, result.stderr.decode())
                files = glob.glob(f'{folder}/**/*.proto', recursive=True)
                self.protoc('-I', folder, '--descriptor_set_out', os.devnull, *files)


def bare(file):
    """A descriptor without what may or may not be said: comments, and that proto2 is proto2."""
    result = descriptor_pb2.FileDescriptorProto()
    result.CopyFrom(file)
    result.ClearField('source_code_info')
    if result.syntax == 'proto2':
        result.ClearField('syntax')
    return result
