#!/bin/sh
# One of the six runs of the bundled model, in this order: from-nothing, first, prompts, voices, short, final; then mean.
#   sh weights_tools/train_small_ctc.sh RUN CORPUS       in the folder of the runs; the same line goes on after a stop
set -e
case "$1" in
from-nothing | first | prompts | voices | short) recipe="small-ctc-$1" ;;
final) recipe=small-ctc ;;
mean) exec python -m weights_tools.average_models mean final/model short/model ;;
*) echo "train_small_ctc.sh: give from-nothing, first, prompts, voices, short, final or mean, and a corpus" >&2; exit 2 ;;
esac
test "$1" != prompts || python -m weights_tools.bundle_model first/model --target first/rounded
xlsr-ref finetune "$recipe" --data "$2" --out "$1" $(test ! -d "$1/checkpoints" || echo --resume)
