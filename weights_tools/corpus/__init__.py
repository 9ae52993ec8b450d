"""The corpus of the recipes, built from what others publish: packages and archives that are given as files.

debian.py       the files inside a Debian package
prompts.py      asterisk.tsv: telephone prompts in five languages, from asterisk-core-sounds-*-g722
digits.py       fsdd.tsv: the Free Spoken Digit Dataset, from an archive of its repository
stamps.py       tuxpaint.tsv: descriptions of pictures, from tuxpaint-stamps-default
synthetic.py    kokoro.tsv: train sentences in synthetic voices
write.py        a list and its sound files
"""
