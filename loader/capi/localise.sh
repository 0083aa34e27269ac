#!/bin/sh
# Usage: localise.sh LIBRARY.a HEADERS OUT.a
#
# Makes the static library for distribution: what the API's functions need, in one object whose only global symbols are those functions.
# As cargo writes it, the library also exports every function of its dependencies. They would collide with the host's own copy of the same
# library, or silently replace it.
#
# The functions by which plugins are linked into a program (loader/linked.h) stay global too.
#
# HEADERS is the directory that has dynvm/loader.h. LD, OBJCOPY and AR name GNU's tools.
set -eu
library=$1 headers=$2 out=$3
object=$out.o
functions=$(cat "$headers"/dynvm/loader.h "$headers"/dynvm/loader/*.h | grep -v '^ *[/*]' | grep -o 'dynvm_[a-z0-9_]*(' | tr -d '(' | sort -u)

# As the library's own index spells them.
entries=$(grep -aoE 'dynvm_(hc|libc)_[A-Za-z0-9_]+' "$library" | sort -u)

roots='' kept=''
for function in $functions $entries; do
  roots="$roots --undefined=$function" kept="$kept --keep-global-symbol=$function"
done
# shellcheck disable=SC2086 # words
"${LD:-ld}" -r --gc-sections $roots "$library" -o "$object"
# Bitcode of Rust's standard library is for link-time optimization by rustc only.
# shellcheck disable=SC2086
"${OBJCOPY:-objcopy}" $kept --remove-section=.llvmbc --remove-section=.llvmcmd --strip-debug "$object"
rm -f "$out"
"${AR:-ar}" rcs "$out" "$object"
rm "$object"
