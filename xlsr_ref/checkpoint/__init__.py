"""Checkpoints of every toolkit: from bytes to names, tensors and settings. Nothing in a file is ever run.

    open.py                        the one door: a folder, a file or a name on the Hub → config, vocabulary, tensors
    read.py                        any file or folder → tensors that are still in their file (tensors.py)
    safetensors_file, torch_file, torch_legacy, msgpack      one file format each
    unpickle, pickle_names, zip_directory                    what torch's formats are made of
    names, infer, fairseq          toolkits' names for one network; what shapes and settings say of it
    hub, languages                 models by name; the adapters of a model with many languages
    convert, verify, compare, inspect                        what ``xlsr-ref weights`` does

Nothing here knows the network's layers: that a config and the tensors fit is checked in model/load_params.py.
"""
