"""Heads: what makes scores of context vectors. Each is `y, cache = head(x, p)` and its backward pass, one file each."""
