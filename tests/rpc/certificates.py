# SPDX-License-Identifier: ISC
"""Certificates for the tests of TLS, and clients that use them."""
import os
import ssl
import subprocess

import grpc

from kit import Api
from servers import ROOT


class Files:
    """The certificates of tests/support/certificates."""

    def __init__(self, folder):
        self.folder = str(folder)
        subprocess.run([ROOT / "tests/support/certificates", self.folder], check=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def settings(self, ca=None, name="server"):
        env = {"TWOSTEP_TLS_CERT_FILE": self.path(name + ".pem"),
               "TWOSTEP_TLS_KEY_FILE": self.path(name + ".key")}
        if ca:
            env["TWOSTEP_TLS_CLIENT_CA_FILE"] = self.path(ca)
        return env

    def credentials(self, name=None, ca="ca.pem"):
        """For grpcio; name is the client's certificate."""
        own = (self.read(name + ".key"), self.read(name + ".pem")) if name else (None, None)
        return grpc.ssl_channel_credentials(self.read(ca), *own)

    def context(self, name=None, alpn=("h2",), version=None):
        """For the ssl module."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if name:
            context.load_cert_chain(self.path(name + ".pem"), self.path(name + ".key"))
        if version:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        return context


def api(daemon, credentials, token=None, address=None):
    """The calls of one caller, over a connection of its own."""
    channel = grpc.secure_channel(address or daemon.address, credentials, options=[
        ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])
    daemon.channels.append(channel)
    return Api(channel, token)
