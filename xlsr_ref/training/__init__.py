"""Training: from a recipe and a corpus to a model folder. loop.py is the whole run; the other files are its parts."""
