"""The exercises, a file for each topic: solutions as students might write them, and known mistakes."""
