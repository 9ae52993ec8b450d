"""Tools around the weights: what happens before and after a model runs, each one a command of its own.

    python -m weights_tools inspect|convert|verify|download …    checkpoints of all toolkits
    python -m weights_tools.build_corpus CORPUS FILE …       the corpus of the recipes, from packages, voices and cuts
    python -m weights_tools.bundle_model FOLDER              ship a model folder inside the package, as float16
    python -m weights_tools.bundle_clips CORPUS              ship a few recordings with their transcripts
    python -m weights_tools.average_models TARGET MODEL …    the mean of several models
    python -m weights_tools.bundle_lm CORPUS                 ship a language model of the train texts, or tune it
    python -m weights_tools.evaluate_model FOLDER CORPUS     error per language, as the model card's table
    python -m weights_tools.words_heard FOLDER CORPUS        wrong words by how often training heard them
    python -m weights_tools.few_labels CORPUS --out RUNS     what pre-trained weights know: probes; few_labels_finetune
    python -m weights_tools.record_goldens                   the arrays in tests/golden, recorded from transformers
    python -m weights_tools.record_foreign                   checkpoints as other programs write them, for the tests
    python -m weights_tools.evaluate_beams CORPUS            the same: greedy, with a beam, with a language model
    python -m weights_tools.compare_beams --help             our beam search beside pyctcdecode's (record_beams.py)
    python -m weights_tools.draw_pipeline                    the README's picture

CORPUS is a folder of recordings with their words: asterisk.tsv, and where there are any fsdd.tsv and librivox.tsv, are
tables with tabs between the columns path (below CORPUS), lang, speaker, seconds, split (train, dev or test) and text.

They are the workshop of the package: they import it, it never imports them, and the wheel is without them. Reading
and converting checkpoints is xlsr_ref/checkpoint/. torch and transformers are only needed to record.
"""
