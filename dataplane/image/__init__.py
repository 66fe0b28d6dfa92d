"""Image: the NodeStates of a cluster as flat arrays, ready for the kernels to walk.

Python assembles, kernels only walk.  Names become indices here and nowhere else, and
everything is checked here, so that the kernels can trust it.
"""
