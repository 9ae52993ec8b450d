"""What is measured: the speed of this machine (bench/), the error rates of a model (evaluation.py), and what is installed
and works (doctor.py). The commands ``xlsr-ref bench``, ``evaluate`` and ``doctor`` call them."""
