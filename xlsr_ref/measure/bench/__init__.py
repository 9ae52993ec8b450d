"""How fast is this machine, stage by stage, and beside other programs? What ``xlsr-ref bench`` does; start at run.py.

A measurement is only as good as what it is compared with. So the peers, and the matrix product that says what the
machine can do at best, run in the same minutes, each in a process of its own, and they take turns (turns.py).
"""
