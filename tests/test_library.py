"""`import dataplane`: the nine names of the library."""

import subprocess
import sys
from pathlib import Path

import pytest

import dataplane
from dataplane.errors import UsageError

from . import frames as fr
from .two_nodes import CLIENT, WEB, mac, two_nodes

CASE = Path(__file__).parent.parent / "pcaps" / "two-nodes"


def test_a_capture_from_manifests_to_a_trace():
    cluster = dataplane.load_cluster([str(CASE / "cluster.yaml")])
    nodes = dataplane.program(cluster)
    result = dataplane.replay_captures(nodes, [str(CASE / "client.pcap")], cluster=cluster)
    assert len(result) == len(result.columns) > 100
    assert result.columns["verdict"].min() >= 0
    text = str(result.trace(0))
    assert "pod/default/client → svc/default/web:http" in text
    assert "DELIVERED" in text


def test_nodes_of_dumps_are_the_same_to_replay():
    nodes = {n: dataplane.load_node(n, str(CASE / n), print) for n in ("node-a", "node-b")}
    result = dataplane.replay_captures(nodes, [str(CASE / "client.pcap")])
    assert "DELIVERED" in result.trace(0).minimal()


def test_one_packet():
    frame = fr.ether(mac(CLIENT), mac("10.244.1.1"), b"\x08\x00",
                     fr.ipv4(CLIENT, WEB, 6, fr.tcp(CLIENT, 40000, WEB, 80)))  # fmt: skip
    trace = dataplane.trace_packet(two_nodes(), frame, ("node-a", "veth-client"))
    assert trace.minimal().splitlines()[-1].startswith("= DELIVERED HOST")
    with pytest.raises(UsageError, match="no device 'eth7'"):
        dataplane.trace_packet(two_nodes(), frame, ("node-a", "eth7"))


def test_an_image_is_assembled_once_and_can_be_looked_at():
    image = dataplane.assemble(two_nodes())
    assert len(image.arrays["rules"]) == len(image.names.rules)


def test_every_name_that_is_promised_is_there():
    for name in dataplane.__all__:
        assert callable(getattr(dataplane, name))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dataplane.nonsense


def test_importing_it_loads_nothing_heavy():
    heavy = "('numpy', 'yaml', 'rich')"
    code = f"import sys, dataplane; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
