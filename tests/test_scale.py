"""The growth curves measure what they say."""

from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import plot, scale, services
from benchmarks.access_lists import LENGTHS, access_list, first_match, headers
from benchmarks.traffic import Walker
from dataplane.replay.after import counters


def test_first_packets_are_connections_of_their_own_spread_evenly_over_services():
    walker = Walker(services.nodes(20))
    found = services.first_packets(20, 200, seed=1)
    walker.run(services.ENTRY, found)
    counts = counters(walker.image, walker.state)
    chains = Counter()
    for (node, _, table, chain, number), (packets, _) in counts.items():
        if node == "node-a" and table == "nat" and number:
            chains[chain[:8]] += packets
            if chain == "KUBE-SERVICES" and number <= 20:
                assert packets == 10
    assert chains["KUBE-SVC"] == 200
    assert chains["KUBE-SEP"] == 200


@pytest.mark.parametrize("kind", LENGTHS)
def test_an_access_list_has_no_rule_twice_and_packets_that_meet_most_of_them(kind):
    found = access_list(kind, 500, seed=1)
    assert len(set(found.rules("FORWARD"))) == 500
    met = np.unique(first_match(found, headers(found, 2000, seed=1)))
    assert len(met) > 200


def test_listed_packets_pass_the_router():
    some = scale.Listed("acl", 50)
    some.walk()
    assert len(some.records) == len(some.packets)


def test_a_plot_has_a_point_for_each_size_higher_up_for_more():
    curves = {"a <b>": [(10, 100.0), (1000, 400.0)], "c": [(10, 90.0)]}
    root = ElementTree.fromstring("\n".join(plot.svg("title", "rules", curves)))
    points = [
        (float(circle.get("cx", "")), float(circle.get("cy", "")))
        for circle in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    assert len(points) == 3
    assert points[0][0] < points[1][0]
    assert points[0][1] > points[1][1]
