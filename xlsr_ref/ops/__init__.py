"""Array operations that know nothing of speech. Each file is one idea: equation, shapes, code, twin and kernel."""
