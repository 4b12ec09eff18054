#!/usr/bin/env bash
# test.sh [--all] [--quick] [CTEST_ARGUMENT...]: every test this machine can run.
#
# Installs what the tests need, builds, tests and checks, and ends with one line
# "N passed, N failed, N skipped"; above it stand the reason of each skip and
# the name of each failure. Logs are in build/test. Status 1 on a failure.
#
#   --all     the slow ones, too: more Linux kernels, VT-x in Bochs, and half a
#             minute of search by each fuzzer
#   --quick   one build, its tests without the nested Linux, the fast checks
#
# What else is given goes to ctest: scripts/test.sh --quick -R uart

set -eu
. "$(dirname "$0")/lib.sh"

all='' quick='' ctest_args=()
for arg; do
    case $arg in
    --help) help_text && exit ;;
    --all) all=1 ;;
    --quick) quick=1 ;;
    *) ctest_args+=("$arg") ;;
    esac
done

cd "$top"
logs=$top/build/test
rm -rf "$logs"
mkdir -p "$logs"
jobs=$(nproc)
: >"$logs/results" # one line each: pass|fail|skip NAME REASON

result() { printf '%s\n' "$*" >>"$logs/results"; }

# check NAME COMMAND...: one test; its output is worth reading if it fails.
check() {
    local name=$1 start=$SECONDS log
    shift
    log=$logs/${name//[^a-zA-Z0-9]/-}.log
    if "$@" >"$log" 2>&1; then
        result pass "$name"
        printf 'ok      %s (%d s)\n' "$name" $((SECONDS - start))
        return 0
    fi
    result fail "$name"
    printf 'FAILED  %s (%d s)\n' "$name" $((SECONDS - start))
    tail -n 60 "$log"
    return 1
}

# build PRESET [CMAKE_ARGUMENT...]
build() {
    local preset=$1
    shift
    cmake --preset "$preset" "$@" && cmake --build "build/$preset" -j "$jobs"
}

clang_build() {
    cmake -S . -B build/clang -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ &&
        cmake --build build/clang -j "$jobs"
}

# run_tests NAME BUILD_DIR CTEST_ARGUMENT...: each ctest entry is one result;
# or each line of its TAP file, where it writes one.
run_tests() {
    local name=$1 dir=$2
    shift 2
    rm -f "$dir"/tap/*.tap
    printf '\n-- tests: %s\n' "$name"
    ctest --test-dir "$dir" -j "$jobs" --no-tests=ignore --output-on-failure \
        --test-output-size-passed 65536 --test-output-size-failed 65536 \
        --output-junit "$logs/$name.xml" "$@" \
        ${ctest_args[@]+"${ctest_args[@]}"} || true
    if [ ! -s "$logs/$name.xml" ]; then
        result fail "$name ctest"
        return
    fi
    awk -v run="$name" -v tap="$dir/tap" -f scripts/test-results.awk \
        "$logs/$name.xml" >>"$logs/results"
}

format() {
    find src guest tests bench \( -name '*.[ch]' -o -name '*.cc' \) \
        -exec clang-format --dry-run -Werror {} +
}

# Both leave out conf/toml.cc: most of what they would read there is toml++.
tidy() {
    find src -name '*.c' -print0 | xargs -0 -n 4 -P "$jobs" \
        clang-tidy -p build/clang --quiet
}

analyse() {
    find src -name '*.c' -print0 | xargs -0 cppcheck -j "$jobs" --quiet \
        --error-exitcode=1 --std=c11 --library=posix,gnu --inline-suppr \
        --enable=warning,performance,portability \
        --suppressions-list=.cppcheck-suppressions \
        -D_GNU_SOURCE -D__x86_64__ -DAX_VERSION='""' \
        -DAX_HOST_ARCH='"x86_64"' -DAX_SYSCONFDIR='"/etc"' -I src
}

lint_scripts() {
    find scripts tests bench completions packaging .ci \
        \( -name '*.sh' -o -name '*.bash' -o -name 'post[ir]*' \
        -o -path .ci/run \) -exec shellcheck {} +
}

lint_pages() { find man -name '*.[15]' -exec mandoc -T lint -W warning {} +; }

# Only an installed unit names a program that is there.
unit_file() {
    cmake --install build/release --prefix "$logs/installed" &&
        systemd-analyze --man=no --recursive-errors=no verify \
            "$logs/installed/lib/systemd/system/axvm@.service"
}

static_build() {
    build static && strip -o build/static/stripped build/static/axvm-run &&
        stat -c '%s bytes' build/static/stripped
}

"$top/scripts/setup.sh" build test package
for role in lab ${all:+vtx}; do
    [ -n "$quick" ] || "$top/scripts/setup.sh" "$role" ||
        say "the $role packages cannot be installed: its tests will skip"
done

# ---- the product, and its tests on this machine

left_out=(-LE '^(slow|linux)$')
if [ -z "$quick" ]; then
    left_out=(-LE '^slow$')
    [ -z "$all" ] || left_out=()
    # The nested Linux takes this one along.
    check 'static build' static_build || true
fi
if check 'gcc build' build release; then
    run_tests gcc build/release ${left_out[@]+"${left_out[@]}"}
fi

# ---- the same code seen by other tools

printf '\n-- checks\n'
check 'clang-format' format || true
check 'layers' scripts/check-layers.sh build/release || true
check 'headers' scripts/check-headers.sh || true
check 'shellcheck' lint_scripts || true
check 'manual pages' lint_pages || true
if has systemd-analyze; then
    check 'systemd unit' unit_file || true
else
    result skip 'systemd unit: systemd-analyze is not installed'
fi
if [ -z "$quick" ]; then
    if check 'clang build' clang_build; then
        check 'clang-tidy' tidy || true
    fi
    check 'cppcheck' analyse || true
    if check 'asan build' build asan; then
        run_tests asan build/asan -LE '^(linux|slow)$'
    fi
    if check 'tsan build' build tsan; then
        run_tests tsan build/tsan -L '^thread$'
    fi
fi

if [ "$all" ]; then
    "$top/scripts/setup.sh" fuzz
    if check 'fuzz build' build fuzz; then
        for corpus in tests/fuzz/corpus/*/; do
            name=$(basename "$corpus")
            mkdir -p "$logs/found/$name"
            check "fuzz $name" "build/fuzz/tests/fuzz/fuzz_$name" \
                -max_total_time=30 -artifact_prefix="$logs/found/$name-" \
                "$logs/found/$name" "$corpus" || true
        done
    fi
fi

# ---- what came out

count() { grep -c "^$1 " "$logs/results" || true; }

printf '\n'
sed -n 's/^skip /skipped: /p' "$logs/results"
sed -n 's/^fail /FAILED: /p' "$logs/results"
printf '%d passed, %d failed, %d skipped\n' \
    "$(count pass)" "$(count fail)" "$(count skip)"
[ "$(count fail)" = 0 ]
