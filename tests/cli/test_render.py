from pathlib import Path

from dataplane.node.folder import read_node, texts
from tests.cli.commands import CLIENT_PCAP, MANIFEST, error, output, run
from tests.trace.records import two_nodes


def test_every_file_of_every_node_with_a_heading() -> None:
    nodes, _ = two_nodes()
    text = output("render", "-f", MANIFEST)
    for name, node in nodes.items():
        for file, content in texts(node).items():
            assert not content or f"# {name}/{file}\n{content}" in text


def test_one_node() -> None:
    text = output("render", "-f", MANIFEST, "--node", "node-b")
    assert "# node-b/iptables-save\n" in text
    assert "# node-a/" not in text


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    nodes, _ = two_nodes()
    assert output("render", "-f", MANIFEST, "-o", str(tmp_path)) == ""
    for name, node in nodes.items():
        assert read_node(name, tmp_path / name, lambda message: None) == node


def test_a_dump_is_rendered_too(tmp_path: Path) -> None:
    output("render", "-f", MANIFEST, "-o", str(tmp_path))
    again = output("render", "--node", f"node-a={tmp_path / 'node-a'}")
    assert again == output("render", "-f", MANIFEST, "--node", "node-a")


def test_manifests_from_standard_input() -> None:
    text = Path(MANIFEST).read_bytes()
    given = run("render", "-f", "-", "-q", stdin=text)
    assert (given.stdout, given.stderr) == (output("render", "-f", MANIFEST), "")


def test_errors() -> None:
    assert error("render") == (
        "dataplane: no cluster: give manifests (-f FILE) or nodes (--node NAME=FOLDER)"
    )
    said = error("render", "-f", MANIFEST, "--node", "node-z")
    assert said == "dataplane: no node 'node-z'; there are node-a, node-b"
    assert "No such file" in error("render", "-f", "absent.yaml")
    assert "ebpf" in error("render", "-f", MANIFEST, "--proxy-mode", "ebpf")


def test_an_image_is_replayed_and_traced_as_what_it_was_made_of(tmp_path: Path) -> None:
    image = str(tmp_path / "two.image")
    assert output("render", "-f", MANIFEST, "--image", image) == ""
    for verb in (("replay", "-r", CLIENT_PCAP), ("trace", "-r", CLIENT_PCAP, "17")):
        wanted = output(*verb, "-f", MANIFEST)
        assert output(*verb, "-f", MANIFEST, "--image", image) == wanted
        assert "DELIVERED" in output(*verb, "--image", image)
    both = ("replay", "-r", CLIENT_PCAP, "--engine", "both", "--image", image)
    assert "DELIVERED" in output(*both)


def test_an_image_that_is_none(tmp_path: Path) -> None:
    assert "not an image" in error("replay", "--image", MANIFEST, "-r", CLIENT_PCAP)
    image = str(tmp_path / "two.image")
    output("render", "-f", MANIFEST, "--image", image)
    said = error("replay", "--image", image, "--node", "a=b", "-r", CLIENT_PCAP)
    assert "--node does not go with it" in said
