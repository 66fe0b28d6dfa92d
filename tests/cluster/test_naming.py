import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.load import load, loads
from dataplane.cluster.naming import resolve
from dataplane.cluster.objects import Cluster
from dataplane.errors import UsageError
from tests.cluster.manifests import EVERY_FIELD, TWO_NODES, pod, service, stream

CLUSTER = load([str(TWO_NODES)])


@pytest.mark.parametrize(
    ("text", "kind", "name", "address", "port", "protocol"),
    [
        ("pod/default/client", "pod", "default/client", "10.244.1.2", 0, ""),
        ("pod/client", "pod", "default/client", "10.244.1.2", 0, ""),
        ("po/web-1:http", "pod", "default/web-1", "10.244.1.3", 8080, "TCP"),
        ("pod/web-1:9999", "pod", "default/web-1", "10.244.1.3", 9999, ""),
        ("pod/web-1:9999/udp", "pod", "default/web-1", "10.244.1.3", 9999, "UDP"),
        ("svc/default/web:80", "service", "default/web", "10.96.10.10", 80, "TCP"),
        ("svc/web:http", "service", "default/web", "10.96.10.10", 80, "TCP"),
        ("service/web", "service", "default/web", "10.96.10.10", 80, "TCP"),
        ("svc/kube-system/kube-dns", "service", "kube-system/kube-dns", "10.96.0.10", 0, ""),
        (
            "svc/kube-system/kube-dns:53/udp",
            "service",
            "kube-system/kube-dns",
            "10.96.0.10",
            53,
            "UDP",
        ),
        (
            "svc/kube-system/kube-dns:dns-tcp",
            "service",
            "kube-system/kube-dns",
            "10.96.0.10",
            53,
            "TCP",
        ),
        ("node/node-a", "node", "node-a", "192.168.50.11", 0, ""),
        ("node/node-b:30080/tcp", "node", "node-b", "192.168.50.12", 30080, "TCP"),
        ("ip/10.1.2.3", "ip", "10.1.2.3", "10.1.2.3", 0, ""),
        ("ip/10.1.2.3:80", "ip", "10.1.2.3", "10.1.2.3", 80, ""),
        ("10.1.2.3", "ip", "10.1.2.3", "10.1.2.3", 0, ""),
        ("10.1.2.3:53/UDP", "ip", "10.1.2.3", "10.1.2.3", 53, "UDP"),
        ("fd00::80", "ip", "fd00::80", "fd00::80", 0, ""),
        ("[fd00::1]:80", "ip", "fd00::1", "fd00::1", 80, ""),
        ("[fd00::1]", "ip", "fd00::1", "fd00::1", 0, ""),
        ("::1", "ip", "::1", "::1", 0, ""),
    ],
)
def test_what_texts_name(text, kind, name, address, port, protocol):
    found = resolve(text, CLUSTER)
    assert (found.kind, found.name, str(found.address)) == (kind, name, address)
    assert (found.port, found.protocol) == (port, protocol)
    assert (found.service_port is not None) == (kind == "service" and port != 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", '"" names nothing: expected pod/NS/NAME, svc/NS/NAME:PORT'),
        ("web", '"web" names nothing: expected'),
        ("deployment/web", '"deployment/web" names nothing'),
        ("pod/clinet", "no pod default/clinet; did you mean pod/default/client?"),
        ("pod/coredns-1", "no pod default/coredns-1; did you mean pod/kube-system/coredns-1?"),
        (
            "pod/default/zzzzzz",
            "no pod default/zzzzzz; there are pod/default/client, pod/default/web-1,",
        ),
        ("svc/kube-dns", "no service default/kube-dns; did you mean svc/kube-system/kube-dns?"),
        ("svc/wbe", "no service default/wbe; did you mean svc/default/web"),
        ("node/node-c", "no node node-c; did you mean node/node-"),
        ("svc/web:443", "Service default/web has no port 443; it has 80/tcp (http)"),
        ("svc/web:80/udp", "Service default/web has no port 80/udp; it has 80/tcp (http)"),
        (
            "svc/kube-system/kube-dns:53",
            "Service kube-system/kube-dns port 53 is more than one: write 53/udp or 53/tcp",
        ),
        ("pod/web-1:dns", "pod default/web-1 has no port dns; it has 8080/tcp (http)"),
        ("pod/client:http", "pod default/client has no port http"),
        ("node/node-a:http", '"node/node-a": port http, but a number expected'),
        ("ip/10.1.2", '"ip/10.1.2" names nothing: "10.1.2" is not an IP address'),
        ("10.1.2.3:0", '"10.1.2.3:0": port 0, but 1-65535 allowed'),
        ("10.1.2.3:70000", '"10.1.2.3:70000": port 70000, but 1-65535 allowed'),
        ("10.1.2.3:http", '"10.1.2.3:http": port http, but a number expected'),
        ("10.1.2.3:80/icmp", '"10.1.2.3:80/icmp": protocol icmp, but tcp, udp, sctp expected'),
        ("10.0.0.1:" + "9" * 5000, '"10.0.0.1:999'),
    ],
)
def test_what_names_nothing(text, message):
    with pytest.raises(UsageError) as error:
        resolve(text, CLUSTER)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("svc/headless", "Service default/headless has no cluster IP (it is headless)"),
        ("svc/name", "Service default/name has no cluster IP (it is an ExternalName)"),
        ("svc/new", "Service default/new has no cluster IP (spec.clusterIP is missing)"),
        ("pod/idle", "pod default/idle has no address (Pending, node none)"),
        ("node/n", "no node n; there are none"),
    ],
)
def test_what_has_no_address(text, message):
    cluster = loads(
        stream(
            service("headless", clusterIP="None"),
            service("new", clusterIP=None),
            service("name", type="ExternalName", externalName="x.example", clusterIP=None),
            pod("idle", status={"phase": "Pending"}),
        )
    )
    with pytest.raises(UsageError) as error:
        resolve(text, cluster)
    assert str(error.value) == message


def test_both_families_are_told():
    assert [str(ip) for ip in resolve("pod/shop/web-1", loads(EVERY_FIELD)).addresses] == [
        "10.244.1.3",
        "fd00:1::3",
    ]


def test_everything_in_a_cluster_can_be_named():
    for namespace, name in CLUSTER.pods:
        assert resolve(f"pod/{namespace}/{name}", CLUSTER).name == f"{namespace}/{name}"
    for (namespace, name), found in CLUSTER.services.items():
        for port in found.ports:
            text = f"svc/{namespace}/{name}:{port.port}/{port.protocol.lower()}"
            assert resolve(text, CLUSTER).service_port == port


PARTS = ["pod", "svc", "node", "ip", "/", ":", "default", "web", "http", "80", "10.0.0.1", "[", "]"]
PARTS += ["::1", "udp", "٣", "\n"]


START = st.sampled_from(["", "pod/", "svc/", "node/", "ip/", "pod/default/", "svc/default/web:"])


@given(START, st.lists(st.sampled_from(PARTS), max_size=6).map("".join) | st.text())
def test_hostile_text_raises_nothing_but_usage_error(start, text):
    for cluster in (CLUSTER, Cluster()):
        try:
            found = resolve(start + text, cluster)
        except UsageError as error:
            assert "\n" not in str(error)
        else:
            assert 0 <= found.port <= 65535
