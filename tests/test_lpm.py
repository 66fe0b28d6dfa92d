"""Longest-prefix match: the trie that is assembled answers as the specification says."""

from ipaddress import ip_address, ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath import lpm
from dataplane.image.lpm import Tries, assemble_lpm
from dataplane.node.state import Route
from dataplane.reference import lpm as reference

from .strategies import FAMILIES, addr, addresses, networks


@st.composite
def tables(draw):
    """(family, prefixes in the order in which they are added, an address)"""
    family = draw(FAMILIES)
    prefixes = draw(st.lists(networks(family), max_size=8))
    return family, prefixes, draw(addresses(family))


def longest(prefixes, address):
    """Index of the route that the specification chooses; -1 if none."""
    routes = [Route(prefix, metric=index) for index, prefix in enumerate(prefixes)]
    found = reference.longest(routes, address)
    return -1 if found is None else found.metric


def fill(tries, prefixes):
    root = tries.new()
    for index, prefix in enumerate(prefixes):
        tries.add(root, prefix, index)
    return root


@given(tables())
def test_lookup_equals_reference(case):
    family, prefixes, address = case
    tries = Tries()
    fill(tries, prefixes)
    assert lpm.lookup(tries.array(), addr(address), family) == longest(prefixes, address)


@given(st.lists(tables(), min_size=1, max_size=4))
def test_tries_of_one_array_do_not_meet(cases):
    tries = Tries()
    tries.new()  # node 0 is nobody's child
    roots = [fill(tries, prefixes) for _, prefixes, _ in cases]
    nodes = tries.array()
    for root, (family, prefixes, address) in zip(roots, cases, strict=True):
        assert lpm.lookup(nodes, addr(address), family, root) == longest(prefixes, address)


@given(st.dictionaries(networks(4), st.integers(0, 9)), st.lists(addresses(4)))
def test_lookup_many_equals_lookup(routes, wanted):
    nodes = assemble_lpm(routes)
    values = np.empty(len(wanted), np.int32)
    lpm.lookup_many(nodes, np.array([int(a) for a in wanted], np.uint64), values)
    assert values.tolist() == [lpm.lookup(nodes, addr(address)) for address in wanted]


def test_the_first_of_equal_prefixes_stays():
    """fib_table.c: the lowest metric, which is added first, is found."""
    tries = Tries()
    fill(tries, [ip_network("10.0.0.0/24")] * 2)
    assert lpm.lookup(tries.array(), addr(ip_address("10.0.0.7"))) == 0


def test_lookup_many_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="2 addresses but room for 1 values"):
        lpm.lookup_many(assemble_lpm({}), np.zeros(2, np.uint64), np.zeros(1, np.int32))


def test_an_array_of_another_layout_is_refused():
    wide = np.zeros(1, [("child", "<i4", (2,)), ("value", "<i8")])
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        lpm.lookup(wide, (0, 0))
