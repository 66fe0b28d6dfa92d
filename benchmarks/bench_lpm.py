"""Longest-prefix match: a batch of addresses in tables of three sizes."""

from ipaddress import IPv4Network

import numpy as np
import pytest

from _fastpath import lpm
from benchmarks.report import report
from benchmarks.traffic import SEED
from dataplane.image.lpm import assemble_lpm

LOOKUPS = 1_000_000


def table(size, random):
    lengths = random.choice([16, 20, 24, 26, 32], size)  # node, pod and service ranges
    prefixes = zip(random.integers(0, 2**32, size).tolist(), lengths.tolist(), strict=True)
    return assemble_lpm({IPv4Network(prefix, strict=False): 1 for prefix in prefixes})


@pytest.mark.parametrize("routes", [10, 1_000, 100_000])
def test_lookup(benchmark, routes):
    random = np.random.default_rng(SEED)
    nodes = table(routes, random)
    addresses = random.integers(0, 2**32, LOOKUPS, dtype=np.uint64)
    values = np.empty(LOOKUPS, np.int32)
    benchmark(lpm.lookup_many, nodes, addresses, values)
    report(benchmark, LOOKUPS, values)
