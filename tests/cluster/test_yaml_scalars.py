import math

import pytest

from dataplane.cluster.yaml_scalars import resolve


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        # what sigs.k8s.io/yaml (goyaml.v2) makes of plain scalars
        ("y", True),
        ("yes", True),
        ("On", True),
        ("n", False),
        ("off", False),
        ("true", True),
        ("yEs", "yEs"),
        ("~", None),
        ("null", None),
        ("", None),
        ("nULL", "nULL"),
        ("0", 0),
        ("-5", -5),
        ("+5", 5),
        ("0x1F", 31),
        ("0b11", 3),
        ("0o17", 15),
        ("017", 15),
        ("08", 8),  # not octal: a float, which JSON prints as 8
        ("1_000", 1000),
        ("1e3", 1000),
        ("80.0", 80),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5),
        (".inf", math.inf),
        ("1:30", "1:30"),  # PyYAML would say 90
        ("2001-01-01", "2001-01-01"),  # PyYAML would say a date
        ("10.0.0.1", "10.0.0.1"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        (".", "."),
        ("0x", "0x"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 18446744073709551616.0),
        ("8e:4b:0c:51:a1:0a", "8e:4b:0c:51:a1:0a"),
    ],
)
def test_plain_scalars_mean_what_they_mean_to_kubectl(text, meaning):
    found = resolve(text)
    assert found == meaning
    assert isinstance(found, bool) == isinstance(meaning, bool)
