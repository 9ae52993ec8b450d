"""Text: the CTC tokenizer, best-path decoding, and the formats of a transcript. Knows nothing of the network."""
