"""The likeliest text: CTC prefix beam search, and the language models that weigh its texts. Start at beam.py."""
