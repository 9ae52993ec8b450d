"""What is measured: speed (bench/), a model's error rates (evaluation.py), and what is installed and works (doctor.py).

The commands ``xlsr-ref bench``, ``evaluate`` and ``doctor`` call them.
"""
