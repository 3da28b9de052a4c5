"""A real S3 endpoint on this machine, for tests and benchmarks: moto's server in its own process.

As a pytest plugin (`tests/conftest.py` registers it): ask for the fixture `s3_url`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest

BUCKET = "icefleet-test"
_START_S = 60.0


@contextmanager
def s3_server(bucket: str = BUCKET) -> Iterator[str]:
    """Start a server on a free port, point AWS_* at it, make a bucket; yields `s3://bucket` and restores all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wanted = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    dropped = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_NO_SIGN_REQUEST", "AWS_ENDPOINT_URL_S3")
    before = {name: os.environ.get(name) for name in (*wanted, *dropped)}
    try:
        _wait(port, server)
        for name in dropped:
            os.environ.pop(name, None)
        os.environ.update(wanted)
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}"
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """`s3://bucket` on a server of this session."""
    with s3_server() as url:
        yield url


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"moto_server ended with exit code {server.returncode}; is moto[server] installed?")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"moto_server did not answer on port {port} within {_START_S:.0f} s")
