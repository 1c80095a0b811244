"""The servers that `run` has started: where they listen, and a test case that knows one of them."""
import os
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')

addresses = {}  # by the name of the server: its gRPC address and its HTTP URL
certificates = ''  # a folder that has one for each server with certificates


class ServerTest(unittest.TestCase):
    """Tests of one server."""
    server = None

    @classmethod
    def setUpClass(cls):
        cls.address, cls.url = addresses[cls.server]

    @classmethod
    def certificate(cls, name):
        """The path of a PEM file: `ca.pem`, and for the server and a client `…-key.pem` and `….pem`."""
        return os.path.join(certificates, cls.server, name)
