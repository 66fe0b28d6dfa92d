"""Record pcaps/two-nodes again: a cluster of real kernels, real programs, taps everywhere.

    make record        (as root: network namespaces)

Loads two-nodes/cluster.yaml, programs the nodes, builds them in network namespaces, and writes
what every tap saw and what every node held afterwards.  See README.md beside this file.
"""

import json
import sys
import time
from collections.abc import Mapping
from ipaddress import IPv4Interface
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataplane.cluster.load import load
from dataplane.control.program import program
from dataplane.node.state import NodeState
from tests.kernel.dumps import dump
from tests.kernel.namespaces import Host, Lab, Pod, build, reset
from tests.kernel.netns import Namespace
from tests.kernel.taps import Frame, Taps, write_pcap

FOLDER = Path(__file__).resolve().parent / "two-nodes"
OUTSIDE = Host("outside", "0a:58:c0:a8:32:64", IPv4Interface("192.168.50.100/24"))
WEB = "http://10.96.10.10/"
EMPTY = "http://10.96.10.99/"
NODE_PORT = "http://192.168.50.11:30080/"
DNS = "10.96.0.10"
IPV4 = b"\x08\x00"
ENOUGH, TOO_MANY = 8, 60  # connections per client: endpoints are chosen at random
PodNames = Mapping[str, str]  # address -> namespace/name


def record(nodes: Mapping[str, NodeState], names: PodNames, folder: Path) -> None:
    with build(nodes, [OUTSIDE]) as lab:
        pods = named(lab, names)
        set_offloads(lab, pods)
        start_servers(pods)
        warm_up(lab)
        places, notes = tap_places(lab, pods)
        reset(lab)
        with Taps(places, frames=4096) as taps:
            talk(lab, pods)
            frames = taps.drain(quiet_seconds=0.5)
        check_quiet(frames)
        for name, node in lab.nodes.items():
            dump(node, folder / name, nodes[name].iptables.flavour)
        write_captures(folder, frames, notes)


def named(lab: Lab, names: PodNames) -> dict[str, Pod]:
    pods = {names[str(pod.address.ip)]: pod for pod in lab.pods.values() if pod.address}
    for name, pod in pods.items():
        pod.namespace.name = name
    return pods


def set_offloads(lab: Lab, pods: Mapping[str, Pod]) -> None:
    """No frame above the MTU.  Checksums stay partial where pods usually leave them so."""
    for namespace in lab.namespaces():
        for link in json.loads(namespace.run("ip", "-j", "link")):
            if link["ifname"] != "lo":
                offload(namespace, link["ifname"], "tso", "gso", "gro")
    offload(pods["kube-system/coredns-1"].namespace, "eth0", "tx")
    offload(lab.hosts["outside"], "eth0", "tx")


def offload(namespace: Namespace, device: str, *features: str) -> None:
    words = [word for feature in features for word in (feature, "off")]
    namespace.run("ethtool", "-K", device, *words)


def start_servers(pods: Mapping[str, Pod]) -> None:
    for name, pod in pods.items():
        short = name.partition("/")[2]
        if short.startswith("web"):
            server = str(Path(__file__).with_name("web.py"))
            pod.namespace.start(sys.executable, server, short)
            wait_listening(pod.namespace, "-Hltn", 8080)
        elif short.startswith("coredns"):
            assert pod.address
            pod.namespace.start(*dns_server(str(pod.address.ip)))
            wait_listening(pod.namespace, "-Hlun", 53)


def dns_server(address: str) -> list[str]:
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--no-hosts",
        "--no-resolv",
        "--pid-file",
        "--bind-interfaces",
        f"--listen-address={address}",
        "--local=/cluster.local/",
        "--address=/web.default.svc.cluster.local/10.96.10.10",
    ]


def warm_up(lab: Lab) -> None:
    """Each node has spoken to each of its pods before, as a node that lives has.

    The first frame to a neighbour builds its cached header.  Until then br_netfilter sends what
    it redirects to a pod out by the bridge device, and a tap there sees that one frame.
    (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish_bridge)
    """
    for pod in lab.pods.values():
        assert pod.address
        lab.nodes[pod.node].run("ping", "-n", "-q", "-c", "1", str(pod.address.ip))


def wait_listening(namespace: Namespace, option: str, port: int) -> None:
    deadline = time.monotonic() + 10
    while f":{port} " not in namespace.run("ss", option):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{namespace.name}: nobody listens on port {port}")
        time.sleep(0.02)


Places = dict[str, tuple[Namespace, str]]
Notes = dict[str, dict[str, str]]


def tap_places(lab: Lab, pods: Mapping[str, Pod]) -> tuple[Places, Notes]:
    """Where to capture, and for each capture what taps.json says of it."""
    places: Places = {"outside": (lab.hosts["outside"], "eth0")}
    notes: Notes = {"outside": {"host": "outside", "device": "eth0", "mac": OUTSIDE.mac}}
    notes["outside"]["address"] = str(OUTSIDE.address)
    for name, pod in pods.items():
        short = name.partition("/")[2]
        places[short] = (pod.namespace, "eth0")
        notes[short] = {"node": pod.node, "pod": name, "device": "eth0", "port": pod.port}
    for name, node in lab.nodes.items():
        for device in ("cni0", "flannel.1", "eth0"):
            places[f"{name}-{device}"] = (node, device)
            notes[f"{name}-{device}"] = {"node": name, "device": device}
    return places, notes


def talk(lab: Lab, pods: Mapping[str, Pod]) -> None:
    """One conversation after the other, so that their frames never interleave."""
    client = pods["default/client"].namespace
    web_1 = pods["default/web-1"].namespace
    every_endpoint = {"web-1", "web-2", "web-3"}
    get_until(client, WEB, every_endpoint, ENOUGH)
    get_until(client, WEB + "large", {"web-1", "web-2"}, 2)  # bridged, and through the tunnel
    resolve(client, "web.default.svc.cluster.local")
    resolve(client, "absent.default.svc.cluster.local")
    say(client.run("ping", "-n", "-c", "3", "-i", "0.2", "10.244.2.2"))
    get(client, EMPTY)
    get_until(lab.hosts["outside"], NODE_PORT, every_endpoint, ENOUGH)
    get_until(web_1, WEB, {"web-1"}, 1)


def get_until(namespace: Namespace, url: str, wanted: set[str], enough: int) -> None:
    """At least `enough` connections, and more until each of `wanted` has answered."""
    answers = [get(namespace, url) for _ in range(enough)]
    while not wanted <= set(answers) and len(answers) < TOO_MANY:
        answers.append(get(namespace, url))
    if not wanted <= set(answers):
        raise RuntimeError(f"{url}: {wanted - set(answers)} never answered")


def get(namespace: Namespace, url: str) -> str:
    """The first line of the answer; "" if the connection was refused."""
    answer = namespace.run(
        "curl", "--silent", "--noproxy", "*", "--max-time", "5", url, check=False
    )
    time.sleep(0.03)  # the last FIN and ACK, before the next SYN
    first = answer.partition("\n")[0]
    say(f"{namespace.name}: {url}: {first or 'refused'}")
    return first


def resolve(namespace: Namespace, name: str) -> None:
    say(namespace.run("dig", "+notcp", "+short", "+tries=1", "+time=2", f"@{DNS}", name))
    time.sleep(0.03)


def say(text: str) -> None:
    print(text.strip(), flush=True)


def check_quiet(frames: Mapping[str, list[Frame]]) -> None:
    """Nothing but what was sent on purpose, and that is all IPv4."""
    for name, captured in frames.items():
        for frame in captured:
            if frame.data[12:14] != IPV4:
                raise RuntimeError(f"{name}: a frame that is not IPv4: {frame.data.hex(' ')}")


def write_captures(folder: Path, frames: Mapping[str, list[Frame]], notes: Notes) -> None:
    for name, captured in frames.items():
        write_pcap(folder / f"{name}.pcap", captured)
        say(f"{name}.pcap: {len(captured)} frames")
    taps = {f"{name}.pcap": notes[name] for name in sorted(notes)}
    (folder / "taps.json").write_text(json.dumps(taps, indent=2) + "\n")


def main() -> None:
    cluster = load([str(FOLDER / "cluster.yaml")], warn=say)
    names = {
        str(address): f"{namespace}/{name}"
        for (namespace, name), pod in cluster.pods.items()
        for address in pod.ips
    }
    record(program(cluster, warn=say), names, FOLDER)


if __name__ == "__main__":
    main()
