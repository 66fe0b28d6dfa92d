"""dataplane version"""

import platform
from importlib.metadata import PackageNotFoundError, version

import click


@click.command()
def command() -> None:
    """Print versions."""
    click.echo(f"dataplane {own()}")
    click.echo(f"python {platform.python_version()} ({platform.machine()})")
    for name in ("numpy", "msgspec", "click"):
        click.echo(f"{name} {version(name)}")


def own() -> str:
    """The command's version."""
    try:
        return version("kube-dataplane")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"
