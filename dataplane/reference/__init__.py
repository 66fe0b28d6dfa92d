"""The executable specification: the whole walk once more, slow and obvious.

It works on the declared NodeStates, never on the image, so it tests the assembler as well
as the kernels.  Only the standard library; no performance goals.
"""
