"""The corpus of the recipes, built from what others publish: packages and archives that are given as files.

debian.py       the files inside a Debian package
prompts.py      asterisk.tsv: telephone prompts in five languages, from asterisk-core-sounds-*-g722
digits.py       fsdd.tsv: the Free Spoken Digit Dataset, from an archive of its repository
stamps.py       tuxpaint.tsv: descriptions of pictures, from tuxpaint-stamps-default
handbook.py     handbook-texts.tsv: sentences of a book in five languages, from debian-handbook
synthetic.py    kokoro.tsv and others: train sentences in synthetic voices
splices.py      spliced.tsv and others: words of train clips, joined in another order
texts.py        the letters of each language, and texts of them alone
write.py        a list and its sound files
"""
