"""``python -m xlsr_ref`` is ``xlsr-ref``."""

from __future__ import annotations

import sys

from xlsr_ref.cli import main

if __name__ == "__main__":
    sys.exit(main())
