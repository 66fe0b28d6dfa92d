"""What is programmed on one Linux node, and the standard texts it is read from and printed to.

One module per dialect, each with a `parse` and a `render` that are inverses.  Nothing
here knows Kubernetes or packets.
"""
