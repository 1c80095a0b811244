"""Runs the tests of the modules below against the servers that `run` has started.

The last line of the output is `N passed, N failed`; the rest is on stderr.
"""
import argparse
import faulthandler
import sys
import unittest

import servers

MODULES = ['client', 'grpcurl', 'reflection', 'health', 'curl', 'load', 'serving']
# A call that hangs fails by its own deadline; should a test hang all the same, this ends.
LONGEST_RUN_SECONDS = 300


class Result(unittest.TextTestResult):
    """Counts what has passed, too."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--server', action='append', nargs=3, metavar=('NAME', 'GRPC', 'HTTP'), required=True)
    parser.add_argument('--certificates', required=True, help='the folder of ca.pem, client.pem and client-key.pem')
    parser.add_argument('tests', nargs='*', default=MODULES, help='modules, classes or tests, such as curl.Unary; default all')
    options = parser.parse_args()
    servers.certificates = options.certificates
    servers.addresses.update({name: (address, url) for name, address, url in options.server})

    faulthandler.dump_traceback_later(LONGEST_RUN_SECONDS, exit=True)
    suite = unittest.defaultTestLoader.loadTestsFromNames(options.tests)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    failed = suite.countTestCases() - result.passed
    print(f'{result.passed} passed, {failed} failed')
    return 0 if failed == 0 and result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
