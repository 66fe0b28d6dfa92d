"""Tests marked `kernel` are skipped, with the reason, where there is no Linux to ask.

With REQUIRE_KERNEL=1 in the environment they fail instead: a machine that is there to run them
must not pass by leaving them out.
"""

import functools
import os
import shutil

import pytest

from tests.kernel.netns import Namespace

TOOLS = (
    "ip bridge conntrack ping setpriv iptables-nft-save iptables-nft-restore "
    "ip6tables-nft-save ip6tables-nft-restore"
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and (reason := missing()):
        (pytest.fail if os.environ.get("REQUIRE_KERNEL") else pytest.skip)(reason)


@functools.cache
def missing() -> str:
    """What this machine lacks; "" if nothing."""
    if os.geteuid():
        return "network namespaces need root"
    if tools := [tool for tool in TOOLS.split() if not shutil.which(tool)]:
        return f"not installed: {' '.join(tools)}"
    try:
        return missing_in_kernel(Namespace("probe"))
    except OSError as error:
        return str(error)


def missing_in_kernel(probe: Namespace) -> str:
    try:
        for device in (
            "veth0 type veth peer veth1",
            "cni0 type bridge",
            "flannel.1 type vxlan id 1 dstport 8472",
        ):
            probe.run("ip", "link", "add", *device.split())
        probe.run("iptables-nft-restore", stdin="*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n")
        if probe.sysctl("net.bridge.bridge-nf-call-iptables") is None:
            return "this kernel has no br_netfilter"
    except RuntimeError as error:
        return str(error)
    finally:
        probe.close()
    return ""
