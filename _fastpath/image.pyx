"""The enums of image.pxd, for Python."""
