# What the jobs of .ci/nightly share; each begins with:  source .ci/common.sh
#
# .ci/nightly gives a job, beside a working folder at the root of the repository:
#   $work        an empty folder of its own, which is deleted afterwards
#   $dist        where the sdist and the wheel are, once build_dist has made them
#   $figures     a file; its lines are repeated in the summary at the end
# and takes the exit status as the result: 0 passed, 77 skipped, all else failed.
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE # each run would compile all tests again
all=(-m "slow or not slow")   # a plain pytest leaves the slow tests out

# One line for the summary, and for who reads along.
figure() { echo "$*" | tee -a "$figures"; }

# Ends the job as skipped, with the reason.
skip() {
    figure "$*, skipped"
    exit 77
}

# The sdist, and the wheel that was built from it, once for all jobs of a run.
build_dist() {
    if ! compgen -G "$dist/*.whl" > /dev/null; then
        rm -rf "$dist" "$dist.tools"
        python3 -m venv "$dist.tools"
        "$dist.tools/bin/pip" install -q "build>=1.2"
        "$dist.tools/bin/python" -m build -q --outdir "$dist" .
    fi
    sdist=$(echo "$dist"/pygru-*.tar.gz)
    wheel=$(echo "$dist"/pygru-*.whl)
    export sdist wheel
}

# debootstrap with the mounts that it makes in a namespace of its own, so that none is left when
# it fails.
new_debian() { unshare --mount debootstrap "$@"; }

# system_packages COMMAND PACKAGE...: installs the packages if the command is missing and this
# runs as root on a Debian; otherwise the job is skipped.
system_packages() {
    local command=$1
    shift
    if command -v "$command" > /dev/null; then return; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        skip "$command not found"
    fi
    echo "installing system packages: $*"
    local apt=(apt-get -y -q --no-install-recommends -o DPkg::Lock::Timeout=600)
    if ! { DEBIAN_FRONTEND=noninteractive "${apt[@]}" install "$@" ||
        { apt-get -q update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" install "$@"; }; } \
        > "$work/apt.txt" 2>&1; then
        cat "$work/apt.txt"
        skip "$command could not be installed"
    fi
}
