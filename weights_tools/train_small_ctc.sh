#!/bin/sh
# One of the nine runs of the bundled model, or a mean of two, in this order: from-nothing, first, prompts, voices, short,
# final, mean, spliced, parts, last, bundled.
#   sh weights_tools/train_small_ctc.sh RUN CORPUS       in the folder of the runs; the same line goes on after a stop
set -e
case "$1" in
from-nothing | first | prompts | voices | short | final | spliced | parts) recipe="small-ctc-$1" ;;
last) recipe=small-ctc ;;
mean) exec python -m weights_tools.average_models mean final/model short/model ;;
bundled) exec python -m weights_tools.average_models bundled last/model parts/model ;;
*) echo "train_small_ctc.sh: $1 is no run: the first lines of this file name them" >&2; exit 2 ;;
esac
test "$1" != prompts || python -m weights_tools.bundle_model first/model --target first/rounded
xlsr-ref finetune "$recipe" --data "$2" --out "$1" $(test ! -d "$1/checkpoints" || echo --resume)
