import pytest

from dataplane.cli.options import repeated


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("-f a", "-f a"),
        ("-f a b c", "-f a -f b -f c"),
        ("-f a b -r x y -q", "-f a -f b -r x -r y -q"),
        ("-f - b -o text", "-f - -f b -o text"),
        ("-o text -f a", "-o text -f a"),
        ("-o text b", "-o text b"),
        ("-f a -q b", "-f a -q b"),  # after another option nothing belongs to -f
        ("", ""),
    ],
)
def test_several_values_after_one_option(args: str, expected: str) -> None:
    assert repeated(args.split(), ["-f", "-r"]) == expected.split()
