"""The version of the package, for whoever writes it down: the front door, the compiled kernels' folder, results."""

__version__ = "0.1.0"
