"""Learning: from a recipe and a corpus to a model folder. loop.py is the whole of it; the other rooms are its parts."""
