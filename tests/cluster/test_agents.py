import pytest

from dataplane.cluster.load import loads
from dataplane.errors import ObjectError

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-proxy, namespace: kube-system}
data:
  config.conf: |
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
"""
BARE = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
FLANNEL = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  net-conf.json: '%s'
"""


def test_kube_proxy_in_its_config_map_or_bare():
    assert loads(CONFIG_MAP + "    mode: ipvs\n").kube_proxy["mode"] == "ipvs"
    assert loads(BARE + "mode: nftables\n").kube_proxy["mode"] == "nftables"
    assert loads(CONFIG_MAP.replace("config.conf", "kubeconfig.conf")).kube_proxy == {}
    assert loads(BARE + "clusterCIDR: ''\nnodePortAddresses: [primary]\n").kube_proxy


def test_flannel():
    found = loads(FLANNEL % '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}').flannel
    assert found == {"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BARE + "mode: userspace\n", "3: KubeProxyConfiguration: mode: expected"),
        (BARE + "clusterCIDR: 10.0.0.0\n", '3: KubeProxyConfiguration: clusterCIDR: "10.0.0.0"'),
        (BARE + "clusterCIDR: 10\n", "3: KubeProxyConfiguration: clusterCIDR: expected a string"),
        (BARE + "nodePortAddresses: [x]\n", '3: KubeProxyConfiguration: nodePortAddresses[0]: "x"'),
        (BARE + "iptables:\n  masqueradeBit: 32\n", "4: KubeProxyConfiguration: masqueradeBit 32"),
        (BARE + "iptables: 1\n", "3: KubeProxyConfiguration: iptables: expected a mapping"),
        (BARE + "---\n" + BARE, "4: KubeProxyConfiguration: already given at m.yaml:1"),
        (CONFIG_MAP + "---\n" + BARE, "9: KubeProxyConfiguration: already given at m.yaml:5"),
        (CONFIG_MAP + "    mode: x\n", "5: ConfigMap kube-system/kube-proxy config.conf: mode"),
        (
            CONFIG_MAP.replace("kind: KubeProxy", "[: KubeProxy"),
            "5: ConfigMap kube-system/kube-proxy: config.conf: not YAML",
        ),
        (
            FLANNEL % '{"Network": "x"}',
            '5: ConfigMap kube-flannel/kube-flannel-cfg net-conf.json: Network: "x" is not a CIDR',
        ),
        (
            FLANNEL % '{"Network" 1}',
            "5: ConfigMap kube-flannel/kube-flannel-cfg: net",
        ),
        (FLANNEL % '{"Backend": {"VNI": "1"}}', "5: ConfigMap kube-flannel/kube-flannel-cfg"),
        (
            CONFIG_MAP[: CONFIG_MAP.index("\ndata:")] + "\ndata: [1]\n",
            "4: ConfigMap kube-system/kube-proxy: data: expected a mapping",
        ),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ObjectError) as error:
        loads(text, "m.yaml")
    assert str(error.value).startswith(f"m.yaml:{message}")
