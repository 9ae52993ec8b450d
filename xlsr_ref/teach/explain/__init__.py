"""One utterance on one page: from the samples to the words, with every step's picture and a cursor through all of them.

    trace.py      runs the model once and collects what the page shows
    compact.py      arrays as few bytes: levels from 0 to 255, in base64
    stages.py       what the page says of each stage
    stills.py       the pictures for a reader without JavaScript
    figures.py      the figures of each stage, as HTML
    header.py       how far to trust the text, its errors, where the weights come from
    script_data.py  the numbers that the script draws, as JSON
    page.py         puts the HTML together, with page.html, page.css and the files of script/

The page is one file and asks for nothing else: no font, no script, no picture from a network.
"""

from xlsr_ref.teach.explain.page import explain, page
from xlsr_ref.teach.explain.trace import LONGEST, Trace, trace_of

__all__ = ["LONGEST", "Trace", "explain", "page", "trace_of"]
