"""Asks for the servers' health with grpc_health_probe, grpcurl and curl, as Kubernetes and load balancers do."""
import servers
from command import run, start
from curl import JSON, CurlTest, request
from grpcurl import GrpcurlTest, read_message

SERVICES = {
    'helloworld': ['helloworld.Greeter'],
    'start': ['helloworld.Greeter', 'routeguide.RouteGuide'],
    'existing-app': ['helloworld.Greeter'],
    'adopted': ['counter.Counter'],
    'browser': ['live.Chat', 'live.Ticker'],
    'interop': ['interop.Interop'],
}
HEALTH = ['-import-path', 'protos', '-proto', 'grpc/health/v1/health.proto']

# What grpc_health_probe ends with.
SERVING, CANNOT_CONNECT, RPC_FAILED, NOT_SERVING = 0, 2, 3, 4


def probe(address, *options):
    """Returns the status with which the probe ends, and what it says."""
    result = run('grpc-health-probe', '-addr', address, '-connect-timeout', '5s', '-rpc-timeout', '5s', *options)
    return result.returncode, result.stderr.decode().strip()


class ProbeTest(servers.ServerTest):
    def security(self):
        return []

    def assert_serving(self, *options, address=None):
        self.assertEqual(probe(address or self.address, *self.security(), *options), (SERVING, 'status: SERVING'))

    def assert_fails(self, expected, text, *options, address=None):
        status, output = probe(address or self.address, *self.security(), *options)
        self.assertEqual(status, expected, output)
        self.assertIn(text, output)


class Probe(ProbeTest):
    server = 'helloworld'

    def test_every_server_and_service(self):
        for server, services in SERVICES.items():
            address, _ = servers.addresses[server]
            for service in ['', *services]:
                with self.subTest(server, service=service):
                    self.assert_serving('-service', service, address=address)

    def test_unknown_service(self):
        for service in 'helloworld.Nobody', 'helloworld', 'Greeter':
            with self.subTest(service):
                self.assert_fails(RPC_FAILED, 'NotFound', '-service', service)

    def test_compressed_request(self):
        self.assert_serving('-gzip')

    def test_no_server(self):
        self.assert_fails(CANNOT_CONNECT, 'failed to connect', '-connect-timeout', '500ms', address='127.0.0.1:1')


class ProbeOverTls(ProbeTest):
    server = 'tls'

    def security(self):
        return ['-tls', '-tls-ca-cert', self.certificate('server.pem')]

    def test_server_and_service(self):
        self.assert_serving()
        self.assert_serving('-service', 'interop.Interop')

    def test_server_that_is_not_trusted(self):
        self.assert_fails(CANNOT_CONNECT, 'failed to connect', '-connect-timeout', '500ms', '-tls-ca-cert', self.certificate('client.pem'))


class ProbeOverMutualTls(ProbeTest):
    server = 'mutual-tls'

    def security(self):
        return [
            '-tls', '-tls-ca-cert', self.certificate('ca.pem'),
            '-tls-client-cert', self.certificate('client.pem'), '-tls-client-key', self.certificate('client-key.pem'),
        ]

    def test_server_and_service(self):
        self.assert_serving()
        self.assert_serving('-service', 'helloworld.Greeter')


class HealthService(GrpcurlTest):
    server = 'start'
    schema = HEALTH

    def test_check(self):
        self.assertEqual(self.replies('grpc.health.v1.Health/Check', {'service': 'routeguide.RouteGuide'}), [{'status': 'SERVING'}])

    def test_list(self):
        [reply] = self.replies('grpc.health.v1.Health/List')
        for service in ['', *SERVICES['start']]:
            self.assertEqual(reply['statuses'][service], {'status': 'SERVING'})

    def test_watch_of_an_unknown_service(self):
        with start(*self.command('grpc.health.v1.Health/Watch', options=['-d', '{"service":"nobody"}'])) as client:
            self.assertEqual(read_message(client.stdout), {'status': 'SERVICE_UNKNOWN'})
            client.kill()


class HttpProbes(CurlTest):
    server = 'helloworld'

    def test_live(self):
        response = self.curl('/healthz')
        self.assertEqual((response.status, response.json), (200, {'status': 'ok'}))

    def test_ready(self):
        response = self.curl('/readyz')
        self.assertEqual((response.status, response.json['status'], response.json['state']), (200, 'SERVING', 'serving'))


class Draining(GrpcurlTest):
    """A server that has been asked to drain says so, and serves on."""
    server = 'interop'

    def set_draining(self, draining):
        self.replies('interop.Interop/SetDraining', {'draining': draining})

    def setUp(self):
        self.addCleanup(self.set_draining, False)

    def test_probes(self):
        self.set_draining(True)
        for service in '', 'interop.Interop':
            status, output = probe(self.address, '-service', service)
            self.assertEqual(status, NOT_SERVING, output)
            self.assertIn('NOT_SERVING', output)
        ready = request(f'{self.url}/readyz')
        self.assertEqual((ready.status, ready.json['state']), (503, 'draining'))
        self.assertEqual(request(f'{self.url}/healthz').status, 200)
        self.set_draining(False)
        self.assertEqual(probe(self.address)[0], SERVING)
        self.assertEqual(request(f'{self.url}/readyz').status, 200)

    def test_calls_go_on(self):
        self.set_draining(True)
        self.assertEqual(self.replies('interop.Interop/Echo', {'data': 'AAEC'}), [{'data': 'AAEC'}])
        response = request(f'{self.url}/grpc/interop/echo', *JSON, '-d', '{"data":"AAEC"}')
        self.assertEqual((response.status, response.json, response.header('connection')), (200, {'data': 'AAEC'}, 'close'))

    def test_watch(self):
        with start(*self.command('grpc.health.v1.Health/Watch', options=['-d', '{"service":"interop.Interop"}'])) as client:
            self.assertEqual(read_message(client.stdout), {'status': 'SERVING'})
            for draining, status in (True, 'NOT_SERVING'), (False, 'SERVING'):
                self.set_draining(draining)
                self.assertEqual(read_message(client.stdout), {'status': status})
            client.kill()
