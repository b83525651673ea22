#!/usr/bin/env bash
# One step of the package's test:  package_test.sh STEP SOURCE_DIR BUILD_DIR CXX MAKE_MODEL
set -euo pipefail
step=$1 source=$2 build=$3 cxx=$4 make_model=$5
work=$build/package prefix=$build/package/prefix

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

install_package() {
  rm -rf "$work"
  mkdir -p "$work"
  cmake --install "$build" --prefix "$prefix" >"$work/install.log" || fail "cmake --install failed"
  "$make_model" "$work/model"
  # A moved tree works as well: nothing in it may hold the folder it was first installed to.
  mv "$prefix" "$prefix.moved" && mv "$prefix.moved" "$prefix"
  ! grep -rlF -e "$source" "$prefix" --include='*.cmake' --include='*.pc' --include='*.h' || fail "paths of this machine"
}

# Every public header compiles alone, against the installed tree, and needs the standard library only.
headers() {
  local bad=0
  export -f check_header
  export cxx prefix work
  find "$prefix/include/mica" -name '*.h' -printf '%P\n' | sort |
    xargs -P "$(nproc)" -I {} bash -c 'check_header {}' || bad=1
  [ $bad = 0 ] || fail "public headers are not whole in themselves"
}

check_header() {
  local found dependencies=$work/${1//\//_}.d
  "$cxx" -std=c++20 -Wall -Wextra -Wshadow -Werror -I"$prefix/include" -include "mica/$1" -x c++ /dev/null \
    -fsyntax-only -MD -MF "$dependencies" || { echo "mica/$1 does not compile alone" >&2 && return 1; }
  found=$(grep -oE '[^ ]*(nlohmann|Eigen|/hwy/|CLI/|CLI11|utf8proc|omp\.h|gtest)[^ ]*' "$dependencies" | head -n 1) || true
  [ -z "$found" ] || { echo "mica/$1 needs $found" >&2 && return 1; }
}

# The program with everything in it but GPU code is 8 MB at most (cmake/size.cmake).
size() {
  strip -o "$work/mica" "$prefix/bin/mica"
  local bytes
  bytes=$(stat -c %s "$work/mica")
  [ "$bytes" -le 8000000 ] || fail "the stripped program has $bytes bytes, more than 8 MB"
}

# shellcheck disable=SC2016 # fences of Markdown
# The README's C++ compiles: its includes and usings, and the rest as the body of a function.
readme() {
  sed -n '/^```cpp$/,/^```$/p' "$source/README.md" | grep -v '^```' >"$work/readme.txt"
  {
    grep -E '^(#include|using)' "$work/readme.txt"
    echo 'void readme() {'
    grep -vE '^(#include|using)' "$work/readme.txt"
    echo '}'
  } >"$work/readme.cpp"
  "$cxx" -std=c++20 -I"$prefix/include" -fsyntax-only "$work/readme.cpp" || fail "the C++ in README.md does not compile"
}

# The shared library shows mica's public names and nothing else.
symbols() {
  local library names other
  library=$(find "$prefix" -name libmica.so)
  [[ $(readelf -d "$library") == *SONAME*libmica.so.[0-9]* ]] || fail "no versioned SONAME"
  names=$(nm --dynamic --defined-only --demangle "$library" | cut -d ' ' -f 3-)
  other=$(grep -vE '(^|[ *&>:])mica::' <<<"$names") && fail "symbols that are not mica's: $(head -n 5 <<<"$other")"
  other=$(grep -E '(^|for |to )mica::cpu::' <<<"$names") && fail "the CPU kernels' inside shows: $(head -n 5 <<<"$other")"
  local name
  for name in 'mica::AutoConfig::from_pretrained(' 'typeinfo for mica::Error' 'mica::Tokenizer::from_pretrained(' \
    'mica::Model::from_pretrained('; do
    grep -qF "$name" <<<"$names" || fail "$name is missing"
  done
}

# What an example is given: a model that has its head, or a text to train on.
argument_of() {
  case $1 in
    */train_causal_lm.cpp) echo "$source/tests/data/models/stories260K" ;;
    */train_seq2seq.cpp) echo "$source/tests/data/models/aren-transliteration" ;;
    */pretrain.cpp) echo "$source/README.md" ;;
    *) echo "$work/model" ;;
  esac
}

# find_package, with the shared or the static library: builds the examples and runs each on the tiny model.
examples() {
  cmake -S "$source/examples" -B "$work/examples-$1" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DMICA_KIND="$1" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >"$work/$1.log" || fail "see $work/$1.log"
  cmake --build "$work/examples-$1" >>"$work/$1.log" || { cat "$work/$1.log" && fail "the examples do not build"; }
  local example program libraries
  for example in "$source"/examples/*.cpp; do
    program=$work/examples-$1/$(basename "$example" .cpp)
    libraries=$(ldd "$program")
    if [ "$1" = shared ]; then
      [[ $libraries == *"=> $prefix/"*libmica.so* ]] || fail "$program does not use the shared library"
    else
      [[ $libraries != *libmica* ]] || fail "$program uses the shared library"
    fi
    (cd "$work" && "$program" $(argument_of "$example")) >"$program.txt" || fail "$program failed"
    [ -s "$program.txt" ] || fail "$program printed nothing"
  done
}

pkg_config() {
  local folder flags archive libraries
  folder=$(dirname "$(find "$prefix" -name mica.pc)")
  archive=$(find "$prefix" -name libmica.a)
  export PKG_CONFIG_PATH=$folder
  # shellcheck disable=SC2046 # flags are words
  "$cxx" "$source/examples/auto_config.cpp" -o "$work/pc-shared" $(pkg-config --cflags --libs mica) \
    -Wl,-rpath,"$(pkg-config --variable=libdir mica)"
  "$work/pc-shared" "$work/model" >/dev/null
  # The static library by name, and after it what pkg-config says that it needs.
  flags=$(pkg-config --static --libs mica)
  # shellcheck disable=SC2046,SC2086
  "$cxx" "$source/examples/auto_config.cpp" -o "$work/pc-static" $(pkg-config --cflags mica) ${flags/-lmica/$archive}
  libraries=$(ldd "$work/pc-static")
  [[ $libraries != *libmica* ]] || fail "the static program uses the shared library"
  "$work/pc-static" "$work/model" >/dev/null
}

case $step in
  install) install_package ;;
  headers) headers ;;
  readme) readme ;;
  symbols) symbols ;;
  size) size ;;
  shared | static) examples "$step" ;;
  pkg_config) pkg_config ;;
  *) fail "no step $step" ;;
esac
