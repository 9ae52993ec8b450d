"""The exercises, a file for each room of the library: solutions as students might write them, and known mistakes."""
