"""Heads: context vectors become scores. Each is `y, cache = head(x, p)` and its backward pass, one file each."""
