"""The import rules of ARCHITECTURE.md, kept by a machine: arrows point down only."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A room may import itself and the rooms listed below it.
ROOMS = [
    "dataplane/cli",
    "dataplane/replay",
    "dataplane/trace",
    "dataplane/control",
    "dataplane/cluster",
    "dataplane/image",
    "dataplane/reference",
    "dataplane/node",
    "dataplane/errors",
]
MODULES = sorted(ROOT.glob("dataplane/*/**/*.py"))
KERNELS = sorted(ROOT.glob("_fastpath/*.pyx"))
HEADERS = sorted(ROOT.glob("_fastpath/*.pxd"))


def name(path):
    return path.relative_to(ROOT).as_posix()


def room_of(module):
    path = module.replace(".", "/")
    return next((i for i, room in enumerate(ROOMS) if path.startswith(room)), None)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_is_in_a_room():
    assert MODULES and KERNELS and HEADERS
    assert [name(path) for path in MODULES if room_of(name(path)) is None] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_down(path):
    here = room_of(name(path))
    for module in imports(path):
        if module.startswith("dataplane."):
            above = room_of(module)
            assert above is not None and above >= here, f"{name(path)} imports {module}, above it"


@pytest.mark.parametrize("room", ["node", "cluster", "control"])
def test_rooms_that_know_no_arrays(room):
    """Start-up stays light, and names become indices in image/ only."""
    for path in ROOT.glob(f"dataplane/{room}/*.py"):
        assert not [m for m in imports(path) if m.split(".")[0] in ("numpy", "rich", "dpkt")], path


def test_the_specification_uses_the_standard_library_only():
    allowed = {"_fastpath", "dataplane"}
    for path in ROOT.glob("dataplane/reference/*.py"):
        roots = {module.split(".")[0] for module in imports(path)}
        foreign = {r for r in roots - allowed if r not in __import__("sys").stdlib_module_names}
        assert not foreign, f"{name(path)}: {foreign}"


@pytest.mark.parametrize("path", KERNELS + HEADERS, ids=name)
def test_kernels_know_nothing_of_dataplane(path):
    assert not re.search(r"^\s*(from|import|cimport) dataplane", path.read_text(), re.M)


def functions(text):
    """Headers of cdef functions, classes' methods included."""
    pattern = (
        r"^ *cdef (?!class|enum|struct|packed|extern|readonly|object|public)"
        r"([^=\n]*?\w\((?:[^()]|\([^()]*\))*\)[^:\n]*)(?::|$)"
    )
    return [" ".join(found.split()) for found in re.findall(pattern, text, re.M)]


# They hold Python objects on purpose: construction, before any packet.
WITH_THE_GIL = {"void point_packets(self)", "check_connections(array)"}


@pytest.mark.parametrize("path", KERNELS + HEADERS, ids=name)
def test_kernels_are_noexcept_nogil(path):
    """Without noexcept, Cython takes the GIL after each call to look for an exception."""
    slow = [
        header
        for header in functions(path.read_text())
        if not header.endswith("noexcept nogil") and header not in WITH_THE_GIL
    ]
    assert slow == []


def test_the_search_for_functions_finds_them():
    text = (
        "cdef int f(int a,\n           int b) noexcept nogil:\n    cdef int x = g(1)\n"
        "cdef bint h() nogil:\n"
    )
    assert functions(text) == ["int f(int a, int b) noexcept nogil", "bint h() nogil"]


# A kernel and its executable specification bear the same name.
TWINS = [
    "answers", "bridge", "capture", "capture_tuples", "checksum", "choice", "conntrack",
    "conntrack_datagram", "conntrack_icmp", "conntrack_sctp", "conntrack_table", "conntrack_tcp",
    "conntrack_tuple", "conntrack_window", "cuts", "distinct", "duplicate", "fdb", "fib_rules",
    "fib_select", "forwarding", "fragment_queues", "fragments", "hooks", "icmp", "icmp_rate",
    "inject", "ip_options", "lines", "lpm",
    "match_bytes", "match_connlimit", "match_conntrack", "match_dccp", "match_device",
    "match_extension", "match_hashlimit", "match_header", "match_memory", "match_packet",
    "match_place", "match_recent", "match_route", "match_time", "matches", "nat", "nat_icmp",
    "nat_range", "nat_tuple", "neighbour", "netfilter", "packet", "path", "realms", "set_probe",
    "sets", "source_address", "target_edit", "target_hash", "targets", "tunnel", "vxlan", "ways",
]  # fmt: skip


@pytest.mark.parametrize("kernel", TWINS)
def test_each_kernel_has_its_twin(kernel):
    assert (ROOT / "_fastpath" / f"{kernel}.pyx").exists()
    assert (ROOT / "dataplane" / "reference" / f"{kernel}.py").exists()
