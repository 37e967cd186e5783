#!/bin/sh
# Builds the C core with its own tests and runs them; needs no Python and no BLAS.
# Usage: tests/core/run.sh [MODE] [arguments of test_core...]
#   plain     optimised, with OpenMP beside the pool; buffers end at forbidden pages; checks symbols too
#   sanitize  AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
#   pool      without OpenMP; with gaps between the scratch buffers, in which nothing may be written
#   tsan      ThreadSanitizer, on the pool's threads
#   archer    the same with OpenMP's threads too; needs clang with its libomp and libarcher.so. If all threads of
#             OpenMP add to one counter of take_tasks() without an atomic, it is reported at once
#   coverage  counts which lines run, and prints those that do not; fails below 95 %
#   valgrind  memcheck on a small part of the tests
#   neon      a small part of the tests on an emulated 64-bit ARM
#   windows   the same for 64-bit Windows, by MinGW-w64, under Wine
#   hashes    a core without threads, and only the hashes of results; the other modes compare them too
#   cross     for another system, without OpenMP: RUNNER runs the program (RUNNER=true: it is only built)
# CC chooses the compiler, for neon and windows CROSS_CC, OPT the level of optimisation instead of -O2, and
# LDFLAGS flags of the linker. Any finding, warning included, makes the exit status non-zero. It is 77
# if a tool is missing, so that nothing was tested.
set -eu

mode=${1:-plain}
[ $# -eq 0 ] || shift
here=$(cd "$(dirname "$0")" && pwd)
core=$(cd "$here/../../src_c" && pwd) # not below $here: those files are compiled differently
CC=${CC:-cc}
build=$(mktemp -d)
program=$build/test_core
# Threads that wait asleep: there are more of them in these tests than processors.
export OMP_WAIT_POLICY=passive
trap 'rm -rf "$build"' EXIT INT TERM

skip() {
    echo "run.sh: $*, skipped"
    exit 77
}

# Whether the compiler can link a program with this option, that is, has its runtime.
can_link() {
    echo 'int main(void) { return 0; }' > "$build/empty.c"
    $CC "$1" "$build/empty.c" -o "$build/empty" 2> /dev/null # CC may be "ccache gcc"
}

# The tool that tells ThreadSanitizer about OpenMP's threads; it belongs to clang's libomp.
archer_of() {
    find "$(dirname "$(readlink -f "$(command -v "$1")")")/../lib" -name libarcher.so | head -n 1
}

# The arithmetic flags are those of the product, in build_support/flags.py; a test compares them.
flags="-std=c11 -Wall -Wextra -Wshadow -Wconversion -Werror
       -fno-math-errno -fno-trapping-math -ffp-contract=off -fvisibility=hidden"

core_flags=
test_flags=
link_flags=${LDFLAGS:-}
runner=
optimised=${OPT:--O2}
case $mode in
plain) flags="$flags $optimised -fopenmp" ;;
pool) flags="$flags $optimised -DPYGRU_SCRATCH_GAP=16" ;;
hashes) flags="$flags $optimised -DPYGRU_NO_POOL" ;;
cross) flags="$flags $optimised" runner=$RUNNER ;;
sanitize)
    # Undefined behaviour is looked for in the core; checking the loops of the tests as well
    # would take most of the time.
    flags="$flags -O1 -g -fopenmp -fno-omit-frame-pointer -fsanitize=address -Wno-pass-failed"
    core_flags="-fsanitize=undefined -fno-sanitize-recover=all"
    link_flags="-fsanitize=undefined"
    set -- malloc "$@"
    # New memory is filled with 0xFF bytes, which are NaN. Without the last option the leak
    # check of clang 14 crashes: https://github.com/google/sanitizers/issues/1267
    ASAN_OPTIONS="detect_leaks=1:max_malloc_fill_size=1073741824:malloc_fill_byte=255"
    export ASAN_OPTIONS="$ASAN_OPTIONS:intercept_tls_get_addr=0"
    export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
    ;;
tsan | archer)
    flags="$flags -O1 -g -fsanitize=thread -Wno-pass-failed"
    export TSAN_OPTIONS="exitcode=66:history_size=4"
    if [ "$mode" = archer ]; then
        CC=${CLANG:-clang}
        command -v "$CC" >/dev/null || skip "$CC not found"
        OMP_TOOL_LIBRARIES=$(archer_of "$CC")
        [ -n "$OMP_TOOL_LIBRARIES" ] || skip "libarcher.so not found"
        export OMP_TOOL_LIBRARIES
        TSAN_OPTIONS="$TSAN_OPTIONS:ignore_noninstrumented_modules=1" # libomp itself
        flags="$flags -fopenmp"
        can_link -fopenmp || skip "libomp not found"
    fi
    can_link -fsanitize=thread || skip "ThreadSanitizer not found"
    set -- malloc "$@"
    ;;
coverage)
    command -v gcov >/dev/null || skip "gcov not found"
    CC=gcc
    flags="$flags -O1 --coverage"
    set -- malloc "$@"
    ;;
valgrind)
    command -v valgrind >/dev/null || skip "valgrind not found"
    flags="$flags -O1 -g -gdwarf-4 -fopenmp -Wno-pass-failed"
    set -- quick malloc "$@"
    ;;
neon)
    CC=${CROSS_CC:-aarch64-linux-gnu-gcc}
    runner=qemu-aarch64
    for tool in "$CC" "$runner"; do
        command -v "$tool" >/dev/null || skip "$tool not found"
    done
    flags="$flags $optimised"
    link_flags=-static
    set -- quick malloc "$@"
    ;;
windows)
    CC=${CROSS_CC:-x86_64-w64-mingw32-gcc}
    runner=wine
    program=$program.exe
    for tool in "$CC" "$runner"; do
        command -v "$tool" >/dev/null || skip "$tool not found"
    done
    flags="$flags $optimised"
    test_flags=-Wno-float-conversion # MinGW's isnan converts
    link_flags=-static
    export WINEPREFIX="$build/wine" WINEDEBUG=-all
    wineboot -i >"$build/wine.txt" 2>&1
    trap 'wineserver -k || true; rm -rf "$build"' EXIT INT TERM
    set -- quick "$@"
    ;;
*)
    echo "usage: run.sh [plain|sanitize|pool|tsan|archer|coverage|valgrind|neon|windows|hashes|cross]" >&2
    exit 2
    ;;
esac

# shellcheck disable=SC2086 # lists of flags
$CC $flags $test_flags -I"$core" -c "$here/test_core.c" -o "$build/tests.o" &
compilers=$!
objects=
for source in "$core"/*.c "$core"/kernels/*.c "$here"/*_kernels.c; do
    case $source in
    *.tpl.c) continue ;; # included by the files of a precision or instruction set
    esac
    extra=
    case $source in
    # Their vectors never leave a file, so it does not matter how they would be passed. The
    # sanitizers see the same templates as the kernels of the core, and these take long.
    "$here"/*) extra="-I$core -Wno-psabi -O1 -fno-sanitize=all" ;;
    esac
    object=$build/$(basename "$source" .c).o
    # shellcheck disable=SC2086 # lists of flags
    $CC $flags $core_flags $extra -c "$source" -o "$object" &
    compilers="$compilers $!"
    objects="$objects $object"
done
for compiler in $compilers; do
    wait "$compiler"
done

# The core does not print, allocate or end the process. Where the compiler guards stacks by itself,
# as Ubuntu's does, it refers to __stack_chk_fail, too; that is not the core's own call.
if [ "$mode" = plain ] || [ "$mode" = pool ]; then
    forbidden='_*(v?[sf]?n?printf(_chk)?|f?puts|putchar|fwrite|perror|abort|_?exit|raise'
    forbidden="$forbidden|malloc|calloc|realloc|free|aligned_alloc|posix_memalign"
    forbidden="$forbidden|assert_fail|stdout|stderr)"
    # shellcheck disable=SC2086
    if nm -u $objects | grep -Ew "U $forbidden"; then
        echo "run.sh: the core refers to the symbols above" >&2
        exit 1
    fi
fi

# Each public call is tried with bad arguments: those that the test names are those that the core
# exports.
exported() {
    # shellcheck disable=SC2086
    readelf -sW $objects | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" { print $8 }' | sort
}

# shellcheck disable=SC2086
$CC $flags "$build/tests.o" $objects -lm -lpthread $link_flags -o "$program"

if [ "$mode" = plain ] || [ "$mode" = sanitize ]; then
    exported > "$build/exported"
    "$program" calls | sort > "$build/tried"
    if ! diff "$build/exported" "$build/tried"; then
        echo "run.sh: every_call.h does not try the exported calls (<), or others (>)" >&2
        exit 1
    fi
fi

if [ "$mode" = valgrind ]; then
    # OpenMP keeps its threads until the end, so only memory that is lost for certain counts,
    # and clang's OpenMP loses some in a forked child.
    # Vectors have unused lanes, in which there may be memory that was never written. In the
    # activations, compilers turn a choice for each lane into jumps. What comes out of an
    # uninitialised number remains uninitialised for memcheck, so if a result depends on it, the
    # tests that compare results are reported.
    cat > "$build/suppressions" <<END
{
    memory of the OpenMP library itself
    Memcheck:Leak
    ...
    obj:*/libomp.so*
}
{
    choices between two values of one lane
    Memcheck:Cond
    fun:sigmoid_f*
}
{
    choices between two values of one lane
    Memcheck:Cond
    fun:hyperbolic_tangent_f*
}
END
    runner="valgrind --quiet --error-exitcode=1 --leak-check=full
        --errors-for-leak-kinds=definite --show-leak-kinds=definite
        --suppressions=$build/suppressions"
fi
# shellcheck disable=SC2086 # a command with its arguments
$runner "$program" "$@" "hashes=$here/hashes.txt"
if [ "$mode" != hashes ]; then
    # shellcheck disable=SC2086
    $runner "$program" "$@"
fi
if [ "$mode" = coverage ]; then
    cd "$build"
    # A template is compiled several times; a line of it counts if it ran once.
    for object in $objects; do
        gcov --stdout "$object"
    done | awk -F: -v least=95 -f "$here/coverage.awk"
fi
