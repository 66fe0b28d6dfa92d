"""Which rules make a network namespace track connections: this kernel, the image's hooks and the
specification say the same of every extension."""

import pytest

from dataplane.image.nodes import tracks_connections as image_tracks
from dataplane.node import iptables
from dataplane.reference.tracking import tracks_connections
from tests.kernel.netns import Namespace
from tests.kernel.rule_texts import MATCHES, TARGETS, filled

pytestmark = pytest.mark.kernel

TABLES = ("filter", "mangle", "raw", "nat")


def texts(family):
    """One rule of each extension: the first that is written."""
    found = {}
    for text in [*MATCHES, *TARGETS]:
        words = text.split()
        names = [words[at + 1] for at, word in enumerate(words) if word in ("-m", "-j")]
        found.setdefault(tuple(names), filled(text, family))
    return [*found.values(), "-j CT --notrack"]


def tracked(family, table, rule):
    """Is there a connection after a packet of the loopback's?  None if the rule is refused."""
    tool, address = ("iptables", "127.0.0.1") if family == 4 else ("ip6tables", "::1")
    namespace = Namespace("tracking")
    try:
        namespace.run("ip", "link", "set", "lo", "up")
        namespace.run("ipset", "create", "s", "list:set")
        namespace.run(f"{tool}-restore", stdin=f"*{table}\n:U -\n-A U {rule}\nCOMMIT\n")
        namespace.run("ping", "-c1", "-W1", address)
        listed = namespace.run("conntrack", "-L", "-f", f"ipv{family}", check=False)
        return bool(listed.strip())
    except RuntimeError:
        return None
    finally:
        namespace.close()


@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_tracks_where_we_do(family):
    asked = 0
    for rule in texts(family):
        for table in TABLES:
            found = tracked(family, table, rule)
            if found is None:
                continue
            ruleset = iptables.parse(f"*{table}\n:U -\n-A U {rule}\nCOMMIT\n", "rule", family)
            assert tracks_connections(ruleset) is found, rule
            assert image_tracks(ruleset) is found, rule
            asked += 1
            break
    assert asked > 60
