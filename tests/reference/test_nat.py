"""Translation: which tuple a connection gets, and what its packets look like then."""

from ipaddress import ip_address, ip_network

import pytest

from _fastpath.reason import Reason
from dataplane.node.state import InterfaceAddress, Route
from dataplane.reference.choice import ChoiceKind, Fields, choice_key, identity
from dataplane.reference.packet import Packet
from tests import frames as fr
from tests.reference.one_node import CLIENT, OUTSIDE, SECOND, SERVER, engine, nat, send

VIP = ip_address("10.9.9.9")
DNAT = f"PREROUTING -d {VIP} -p tcp -j DNAT --to-destination {SERVER}:8080"
MASQUERADE = "POSTROUTING -o b -j MASQUERADE"


def ends(record):
    return f"{record.end_src}:{record.end_sport} {record.end_dst}:{record.end_dport}"


def open_tcp(translating, sport=1000, dport=80, src=CLIENT, dst=SERVER, **how):
    return ends(send(translating, 6, fr.tcp(src, sport, dst, dport), src, dst, **how))


@pytest.mark.parametrize(
    ("rules", "dst", "expected"),
    [
        ([], SERVER, "10.0.0.2:1000 10.0.1.2:80"),
        ([DNAT], VIP, "10.0.0.2:1000 10.0.1.2:8080"),
        ([DNAT.replace("8080", "90-99/78")], VIP, "10.0.0.2:1000 10.0.1.2:92"),
        ([DNAT.replace("8080", "90-99/83")], VIP, "10.0.0.2:1000 10.0.1.2:93"),  # 65533 % 10
        ([DNAT.replace("8080", "70-99/80")], VIP, "10.0.0.2:1000 10.0.1.2:70"),
        ([DNAT.replace(":8080", "")], VIP, "10.0.0.2:1000 10.0.1.2:80"),
        ([DNAT.replace("8080", "90-95")], VIP, "10.0.0.2:1000 10.0.1.2:90"),
        ([DNAT.replace("8080", "70-95")], VIP, "10.0.0.2:1000 10.0.1.2:80"),
        ([MASQUERADE], SERVER, "10.0.1.1:1000 10.0.1.2:80"),
        ([DNAT, MASQUERADE], VIP, "10.0.1.1:1000 10.0.1.2:8080"),
        (["POSTROUTING -j SNAT --to-source 10.0.1.9"], SERVER, "10.0.1.9:1000 10.0.1.2:80"),
        (["POSTROUTING -p tcp -j SNAT --to-source 10.0.1.9:7"], SERVER, "10.0.1.9:7 10.0.1.2:80"),
        (["POSTROUTING -p tcp -j SNAT --to-source :7"], SERVER, "10.0.0.2:7 10.0.1.2:80"),
        (["PREROUTING -p tcp -j REDIRECT --to-ports 99"], SERVER, "10.0.0.2:1000 10.0.0.1:99"),
        (["PREROUTING -j ACCEPT", DNAT], SERVER, "10.0.0.2:1000 10.0.1.2:80"),
    ],
)
def test_first_packet(rules, dst, expected):
    assert open_tcp(engine(nat(*rules)), dst=dst) == expected


def test_replies_are_turned_back_and_later_packets_follow():
    translating = engine(nat(DNAT, MASQUERADE))
    open_tcp(translating, dst=VIP)
    reply = send(translating, 6, fr.tcp(SERVER, 8080, OUTSIDE, 1000, 18), SERVER, OUTSIDE)
    assert ends(reply) == "10.9.9.9:80 10.0.0.2:1000"
    later = send(translating, 6, fr.tcp(CLIENT, 1000, VIP, 80, 16), dst=VIP)
    assert ends(later) == "10.0.1.1:1000 10.0.1.2:8080"
    (entry,) = translating.conntrack("n", 0)
    assert (str(entry.reply.dst), entry.reply.dport) == ("10.0.1.1", 1000)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("protocol", [6, 17])
def test_checksums_stay_what_they_were(protocol, partial):
    translating = engine(nat(DNAT.replace("-p tcp", f"-p {protocol}"), MASQUERADE))
    make = fr.tcp if protocol == 6 else fr.udp
    record = send(translating, protocol, make(CLIENT, 1000, VIP, 80, partial=partial), dst=VIP)
    last = Packet(record.taps[-1].frame)
    assert ends(record) == "10.0.1.1:1000 10.0.1.2:8080"
    assert (last.is_partial, last.is_checksum_wrong()) == (partial, False)


def test_a_wrong_checksum_stays_wrong():
    """Conntrack does not look at it here; the receiver shall see what was sent."""
    body = bytearray(fr.tcp(CLIENT, 1000, VIP, 80))
    body[16] ^= 0x40
    settings = {"net.netfilter.nf_conntrack_checksum": "0"}
    record = send(engine(nat(DNAT), sysctls=settings), 6, bytes(body), dst=VIP)
    assert Packet(record.taps[-1].frame).is_checksum_wrong()


# The search for a free tuple.


def test_a_port_is_kept_while_its_reply_is_unique():
    """Two clients' port 1000 to one server: the second gets another."""
    translating = engine(nat(MASQUERADE))
    first = open_tcp(translating)
    second = open_tcp(translating, src="10.0.0.3")
    assert first == "10.0.1.1:1000 10.0.1.2:80"
    port = int(second.split()[0].split(":")[1])
    assert 600 <= port <= 1023 and port != 1000
    # To another port of the server it is unique again.
    assert open_tcp(translating, src="10.0.0.3", dport=81) == f"10.0.1.1:{port} 10.0.1.2:81"


@pytest.mark.parametrize(
    ("sport", "low", "high"), [(53, 1, 511), (600, 600, 1023), (1024, 1024, 65535)]
)
def test_ports_stay_in_their_class(sport, low, high):
    for seed in range(5):
        translating = engine(nat(MASQUERADE + " --random-fully"), seed=seed)
        found = int(open_tcp(translating, sport).split()[0].split(":")[1])
        assert low <= found <= high


def test_random_fully_draws_for_each_flow():
    translating = engine(nat(MASQUERADE + " --random-fully"))
    found = {open_tcp(translating, sport).split()[0] for sport in range(2000, 2020)}
    assert len(found) == 20


def test_an_untranslated_flow_gives_way():
    """10.0.1.1:1000 is in use for a masqueraded flow: the node's own flow is moved."""
    translating = engine(nat("POSTROUTING -s 10.0.0.0/24 -j MASQUERADE"))
    open_tcp(translating)
    own = open_tcp(translating, src=OUTSIDE, device="")
    assert own != "10.0.1.1:1000 10.0.1.2:80"
    assert own.startswith("10.0.1.1:")


def test_a_small_range_runs_out():
    rule = "POSTROUTING -p tcp -j SNAT --to-source 10.0.1.9:40-41"
    translating = engine(nat(rule))
    got = [
        send(translating, 6, fr.tcp(f"10.0.0.{host}", 1000, SERVER, 80), f"10.0.0.{host}")
        for host in (2, 3, 4)
    ]
    assert {record.end_sport for record in got[:2]} == {40, 41}
    assert got[2].reason == Reason.CONNTRACK_CLASH
    # When the others have expired there is room again.
    later = open_tcp(translating, src="10.0.0.4", time=121 * SECOND)
    assert later.split()[0] in ("10.0.1.9:40", "10.0.1.9:41")


ONE_PORT = "POSTROUTING -p tcp -j SNAT --to-source 10.0.1.9:7000"


def close(translating, last):
    """10.0.0.2:1000 and the server say what they have to say."""
    there, back = ("10.0.0.2", 1000, SERVER, 80), (SERVER, 80, "10.0.1.9", 7000)
    for source, flags, seq, ack in (
        (there, fr.SYN, 1000, 0), (back, fr.SYN | fr.ACK, 5000, 1001), (there, fr.ACK, 1001, 5001),
        (there, fr.FIN | fr.ACK, 1001, 5001), (back, fr.FIN | fr.ACK, 5001, 1002),
        (there, last, 1002, 5002),
    ):  # fmt: skip
        send(translating, 6, fr.tcp(*source, flags, seq=seq, ack=ack), source[0], source[2])


@pytest.mark.parametrize(
    ("last", "seq", "expected"),
    [
        (fr.ACK, 2000, Reason.LEFT_BY_DEVICE),  # TIME_WAIT: its late segments will be out of window
        (fr.ACK, 1000, Reason.CONNTRACK_CLASH),
        (fr.RST | fr.ACK, 2000, Reason.LEFT_BY_DEVICE),
        (fr.PSH | fr.ACK, 2000, Reason.LEFT_BY_DEVICE),
    ],
)
def test_a_closed_connection_gives_way(last, seq, expected):
    translating = engine(nat(ONE_PORT))
    close(translating, last)
    second = send(translating, 6, fr.tcp("10.0.0.3", 1000, SERVER, 80, seq=seq), "10.0.0.3")
    assert second.reason == expected
    sources = [str(entry.original.src) for entry in translating.conntrack("n", 0)]
    assert sources == ["10.0.0.3" if expected == Reason.LEFT_BY_DEVICE else "10.0.0.2"]


def test_an_established_connection_does_not_give_way():
    translating = engine(nat(ONE_PORT))
    open_tcp(translating)
    second = send(translating, 6, fr.tcp("10.0.0.3", 1000, SERVER, 80, seq=2000), "10.0.0.3")
    assert second.reason == Reason.CONNTRACK_CLASH


def test_echoes_that_clash_at_their_destination_begin_at_identifier_0():
    translating = engine(nat("PREROUTING -d 10.9.9.9 -j DNAT --to-destination 10.0.1.2"))
    assert send(translating, 1, fr.echo(7), dst=VIP).end_sport == 7
    assert send(translating, 1, fr.echo(7)).end_sport == 0


def test_a_port_may_be_fed():
    flow = Fields(4, 6, CLIENT, 1000, SERVER, 80)
    key = choice_key(0, ChoiceKind.NAT_PORT, identity("n"), flow, 0)
    translating = engine(nat(MASQUERADE + " --random-fully"), choices={key: [777]})
    assert open_tcp(translating).split()[0] == "10.0.1.1:777"


def test_echo_identifiers_are_ports():
    translating = engine(nat(MASQUERADE))
    sent = [send(translating, 1, fr.echo(7), f"10.0.0.{host}") for host in (2, 3)]
    assert sent[0].end_sport == 7
    assert sent[1].end_sport != 7
    back = fr.echo(sent[1].end_sport, reply=True)
    reply = send(translating, 1, back, SERVER, OUTSIDE)
    assert (str(reply.end_dst), reply.end_sport) == ("10.0.0.3", 7)
    assert not Packet(reply.taps[-1].frame).is_checksum_wrong()


# The address of MASQUERADE.


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([("b", "10.0.1.1", 24, {})], "10.0.1.1"),
        ([("b", "10.5.0.1", 24, {}), ("b", "10.0.1.1", 24, {})], "10.0.1.1"),  # holds next hop
        ([("b", "10.5.0.1", 32, {}), ("b", "10.6.0.1", 32, {})], "10.5.0.1"),  # else the first
        ([("b", "10.0.1.1", 24, {"secondary": True}), ("b", "10.5.0.1", 32, {})], "10.5.0.1"),
        ([("b", "10.0.1.1", 24, {"scope": "link"}), ("a", "10.0.0.1", 24, {})], "10.0.0.1"),
        ([("a", "10.0.0.1", 24, {})], "10.0.0.1"),  # of another device: measured, Linux 6.18
        ([], None),
    ],
)
def test_masquerade_address(addresses, expected):
    own = tuple(
        InterfaceAddress(dev, ip_address(address), length, **more)
        for dev, address, length, more in addresses
    )
    record = send(
        engine(nat("POSTROUTING -j MASQUERADE"), addresses=own, routes=routes()),
        6,
        fr.tcp(CLIENT, 1000, SERVER, 80),
    )
    if expected is None:
        assert record.reason == Reason.NAT_NO_ADDRESS
    else:
        assert str(record.end_src) == expected


def routes():
    return (Route(ip_network("10.0.1.0/24"), dev="b"), Route(ip_network("10.0.0.0/24"), dev="a"))


# ICMP errors about translated connections.


def test_an_error_about_a_translated_connection_is_translated():
    """nf_nat_icmp_reply_translation: outside it is from the address that the client knows, and
    inside it quotes what the client sent."""
    translating = engine(nat(DNAT, MASQUERADE))
    sent = send(translating, 6, fr.tcp(CLIENT, 1000, VIP, 80), dst=VIP)
    as_sent = sent.taps[-1].frame[14:]
    error = fr.icmp_error(3, 3, as_sent)
    record = send(translating, 1, error, SERVER, OUTSIDE)
    out = Packet(record.taps[-1].frame)
    quoted = Packet(out.frame[:14] + out.payload[8:])
    assert (str(out.src), str(out.dst)) == ("10.9.9.9", "10.0.0.2")
    assert (str(quoted.src), quoted.sport) == ("10.0.0.2", 1000)
    assert (str(quoted.dst), quoted.dport) == ("10.9.9.9", 80)
    assert not out.is_checksum_wrong() and not quoted.is_checksum_wrong()


def test_an_error_that_quotes_eight_bytes():
    translating = engine(nat(DNAT))
    sent = send(translating, 6, fr.tcp(CLIENT, 1000, VIP, 80), dst=VIP)
    error = fr.icmp_error(3, 1, sent.taps[-1].frame[14 : 14 + 28])
    out = Packet(send(translating, 1, error, SERVER, CLIENT).taps[-1].frame)
    assert str(out.src) == "10.9.9.9"
    assert out.payload[8 + 16 : 8 + 20] == VIP.packed
    assert out.payload[8 + 22 : 8 + 24] == (80).to_bytes(2)
    assert not out.is_checksum_wrong()


def test_a_damaged_error_is_dropped():
    translating = engine(nat(DNAT), sysctls={"net.netfilter.nf_conntrack_checksum": "0"})
    sent = send(translating, 6, fr.tcp(CLIENT, 1000, VIP, 80), dst=VIP)
    error = bytearray(fr.icmp_error(3, 3, sent.taps[-1].frame[14:]))
    error[2] ^= 1
    record = send(translating, 1, bytes(error), SERVER, CLIENT)
    assert record.reason == Reason.NETFILTER_DROP
