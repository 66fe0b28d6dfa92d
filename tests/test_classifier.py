"""Long chains, indexed: the walk meets what it meets rule by rule."""

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.classifier import find_many
from benchmarks.access_lists import LENGTHS, access_list, first_match, headers
from dataplane.image.image import assemble
from dataplane.replay.after import counters
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .reference.one_node import CLIENT, SERVER, node, send, table
from .test_netfilter import MATCHES, check_walks_equal, packets

PREFIXES = ["", "10.0.0.2/32", "10.0.0.2/255.0.255.255", "10.0.0.0/24", "10.0.0.0/20",
            "10.0.0.0/13", "10.0.1.2/32", "10.0.1.0/25", "0.0.0.0/0", "10.0.2.0/24"]  # fmt: skip
PORTS = ["", "-p tcp", "-p tcp -m tcp --sport 1000:40000 --dport 80:95",
         "-p tcp -m mark --mark 0x1 -m tcp --dport 80",
         "-p tcp -m conntrack --ctstate NEW -m tcp ! --sport 1000 --dport 80", "-p udp",
         "! -p tcp", "-p tcp -m tcp --dport 80", "-p udp -m udp --dport 80",
         "-p tcp -m tcp --dport 80:90", "-p tcp -m tcp ! --dport 80", "-p tcp -m tcp --dport 443",
         "-p tcp -m comment --comment x -m tcp --sport 1000 --dport 85",
         "-p tcp -m statistic --mode nth --every 2 --packet 0 -m tcp --dport 80",
         "-p udp -m cpu --cpu 0 -m udp --dport 80"]  # fmt: skip
TARGETS = ["", "", "-j LOG", "-j MARK --set-xmark 0x1/0x1", "-j A", "-g A", "-j RETURN", "-j DROP"]


@st.composite
def prefixes(draw, flag):
    prefix = draw(st.sampled_from(PREFIXES))
    return f"{draw(st.sampled_from(['', '', '! ']))}{flag} {prefix}" if prefix else ""


def rules(chain, targets):
    return st.builds(
        lambda *words: " ".join(filter(None, (chain, *words))),
        prefixes("-s"), prefixes("-d"), st.sampled_from(PORTS), st.sampled_from(targets),
    )  # fmt: skip


CHAINS = st.tuples(
    st.lists(rules("FORWARD", TARGETS), min_size=8, max_size=20).map(lambda rules: 2 * rules),
    st.lists(rules("A", TARGETS[:4]), min_size=0, max_size=20),
).map(lambda chains: table("filter", *chains[0], *chains[1], chains="A"))


@settings(max_examples=100)
@given(CHAINS, st.lists(packets(), min_size=1, max_size=4), st.sampled_from([0, 0, 0x2000, 1, 2]))
def test_an_indexed_walk_equals_the_specification(text, traffic, fragment):
    check_walks_equal(text, traffic, fragment)


@given(st.lists(st.sampled_from(MATCHES), min_size=16, max_size=40), packets())
def test_chains_of_all_matches(matches, packet):
    check_walks_equal(table("filter", *(f"FORWARD {match}" for match in matches)), [packet])


def test_a_chain_of_services_is_found_by_address_and_port():
    """And the index is what finds it: without, the same rules are met."""
    services = [ip_address("10.0.1.2") + number for number in range(200)]
    lines = [f"FORWARD -d {service}/32 -p tcp -m tcp --dport 80" for service in services]
    lines += ["FORWARD -m mark --mark 0x9", "FORWARD -d 10.0.1.9/32 -p tcp -m tcp --dport 80"]
    nodes = {"n": node(table("filter", *lines))}
    indexed, linear = FastEngine(nodes), FastEngine(nodes)
    assert indexed.image.arrays["rule_classifiers"].any()
    linear.image.arrays["rule_classifiers"][:] = 0
    for destination in (SERVER, services[0], services[150], services[199]):
        body = fr.tcp(CLIENT, 1000, destination, 80)
        found = [send(engine, 6, body, dst=destination) for engine in (indexed, linear)]
        assert list(found[0].steps) == list(found[1].steps)
    counts = counters(indexed.image, indexed.state)
    assert counts == counters(linear.image, linear.state)
    assert counts["n", 4, "filter", "FORWARD", 151] == (1, 40)


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("count", [100, 300, 2000])
def test_an_access_list_finds_no_rule_too_late(kind, count):
    """A candidate may come before the first rule that matches, and is then walked for nothing."""
    rules = access_list(kind, count, seed=1)
    packets = headers(rules, 300, seed=1)
    image = assemble({"n": node(table("filter", *rules.rules("FORWARD")))})
    start = next(i for i, name in enumerate(image.names.rules) if name.chain == "FORWARD")
    columns = (packets.src, packets.dst, packets.sport, packets.dport, packets.proto)
    found = np.zeros(len(packets), np.uint32)
    find_many(image.arrays, *columns, start, found)
    wanted = first_match(rules, packets) + start
    assert (found <= wanted).all()
    assert (found == wanted).mean() > 0.5
