#!/usr/bin/env bash
# Small whole files for each target to begin with.
set -e
cd "$(dirname "$0")"
files=../crates/rushlight/tests/formats/files
mkdir -p corpus/{hdf5,models,members,arrays,functions,backups,data}
cp ../crates/rushlight-hdf5/tests/files/*.h5 corpus/hdf5/
cp $files/*.keras $files/*.h5 $files/*.onnx corpus/models/
cp $files/legacy.npz $files/*.h5 $files/*.safetensors corpus/arrays/
cp $files/checkpoint-v1.safetensors corpus/backups/
find ../crates/rushlight/tests/goldens/data -name "*.png" -o -name "*.jp*g" -o -name "*.tfrecord" | xargs -I{} cp {} corpus/data/
printf 'a,b\n1,2.5\nx,"y, z"\n' > corpus/data/table.csv
# What is inside of an archive: the config, a zero byte, the weights.
for model in $files/*.keras; do
    name=$(basename "$model" .keras)
    { unzip -p "$model" config.json; printf '\0'; unzip -p "$model" model.weights.h5; } > "corpus/members/$name"
done
unzip -p $files/legacy.npz input_0.npy > corpus/arrays/input.npy
cp ../crates/rushlight-core/tests/files/*.safetensors corpus/functions/
