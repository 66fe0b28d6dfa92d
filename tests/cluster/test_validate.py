from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster import validate

ACCEPTED = [
    (validate.dns_label, ["a", "web-1", "9", "a" * 63]),
    (validate.dns_subdomain, ["a", "node-a.example.com", "a" * 253]),
    (validate.port_name, ["http", "a", "8-tcp", "dns-tcp", "x" * 15]),
    (validate.label_key, ["app", "k8s-app", "App_1.x", "kubernetes.io/name", "a" * 63]),
    (validate.label_value, ["", "web", "v1.2_3-x", "A" * 63]),
    (validate.kind_name, ["Pod", "EndpointSlice", "X509"]),
]
REFUSED = [
    (validate.dns_label, ["", "A", "-a", "a-", "a.b", "a_b", "a" * 64, "é", "a\n"]),
    (validate.dns_subdomain, ["", "A.b", "a..b", ".a", "a.", "a" * 254, "a\n"]),
    (validate.port_name, ["", "80", "8-0", "-a", "a--b", "HTTP", "x" * 16, "a\n"]),
    (validate.label_key, ["", "/a", "a/", "A.com/x", "a/b/c", "-a", "a" * 64, "a b", "a\n"]),
    (validate.label_value, ["-a", "a-", "a b", "a/b", "a" * 64, "{{ x }}", "a\n"]),
    (validate.kind_name, ["", "a b", "9", "Pod\n", "{{"]),
    (validate.address, ["", "10.0.0", "10.0.0.256", "10.0.0.1/24", "fe80::1%eth0", "::g", "x\n"]),
    (validate.network, ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129"]),
    (validate.network, ["10.0.0.0/255.255.255.0", "10.0.0.0/٨", "fe80::%1/64"]),
    (validate.endpoint_address, ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.5", "::"]),
    (validate.endpoint_address, ["::1", "fe80::1", "ff02::1", "web.example.com"]),
    (validate.port_number, [0, -1, 65536]),
]


@pytest.mark.parametrize(("rule", "values"), ACCEPTED)
def test_accepted_as_written(rule, values):
    assert [rule(value) for value in values] == values


@pytest.mark.parametrize(("rule", "values"), REFUSED)
def test_refused(rule, values):
    for value in values:
        with pytest.raises(ValueError) as error:
            rule(value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rule", "text", "parsed"),
    [
        (validate.address, "010.0.00.9", ip_address("10.0.0.9")),  # decimal, not octal
        (validate.address, "::ffff:10.0.0.1", ip_address("10.0.0.1")),
        (validate.address, "FD00:0::10", ip_address("fd00::10")),
        (validate.endpoint_address, "224.0.1.1", ip_address("224.0.1.1")),
        (validate.network, "10.244.1.7/24", ip_network("10.244.1.0/24")),
        (validate.network, "fd00:10::1/64", ip_network("fd00:10::/64")),
        (validate.network, "0.0.0.0/0", ip_network("0.0.0.0/0")),
    ],
)
def test_parsed(rule, text, parsed):
    assert rule(text) == parsed


RULES = [rule for rule, _ in ACCEPTED] + [validate.address, validate.network]


@given(st.sampled_from(RULES), st.text() | st.text("aA0.-_/:%1\n", max_size=12))
def test_rules_raise_nothing_but_value_error(rule, text):
    try:
        rule(text)
    except ValueError:
        pass
    else:
        assert "\n" not in text
