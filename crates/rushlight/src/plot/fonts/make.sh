#!/usr/bin/env bash
# usage: make.sh FOLDER_OF_DEJAVU_FONTS: makes the fonts of this folder (needs fontTools).
set -euo pipefail
cd "$(dirname "$0")"
for font in DejaVuSansCondensed DejaVuSansCondensed-Bold; do
    pyftsubset "$1/$font.ttf" --output-file="$font.ttf" --no-hinting --layout-features='' --notdef-outline \
        --drop-tables+=GSUB,GPOS,GDEF,FFTM,gasp,post --name-IDs='0,1,2,4,5,6,13,14' \
        --unicodes='U+0020-007E,U+00A0-00FF,U+0391-03C9,U+2010-2015,U+2018-201E,U+2022,U+2026,U+2190-2193,U+2212,U+221E'
done
