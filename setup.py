"""Build every kernel in _fastpath/.  All compiler choices live in this file."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

KERNELS = sorted(Path("_fastpath").glob("*.pyx"))

# Portable flags only: -march=native, LTO and PGO gained nothing where they were measured.
FLAGS = ["-O3", "-fno-strict-aliasing", "-Wno-unused-function"]
LINK: list[str] = []
if os.environ.get("DATAPLANE_SANITIZE"):  # make sanitize
    sanitizers = "-fsanitize=address,undefined"
    FLAGS = ["-O1", "-g", sanitizers, "-fno-sanitize-recover=undefined", "-fno-strict-aliasing"]
    FLAGS += ["-Wno-unused-function"]
    LINK = [sanitizers]

setup(
    packages=[*find_packages(include=["dataplane", "dataplane.*"]), "_fastpath"],
    package_data={"_fastpath": ["*.pxd", "*.pyx"], "dataplane": ["py.typed"]},
    ext_modules=cythonize(
        [
            Extension(
                f"_fastpath.{kernel.stem}",
                [str(kernel)],
                extra_compile_args=FLAGS,
                extra_link_args=LINK,
                depends=[str(header) for header in Path("_fastpath").glob("*.pxd")],
            )
            for kernel in KERNELS
        ],
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,  # shapes are checked once, where Python calls in
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "embedsignature": True,
        },
    ),
)
