#!/usr/bin/env bash
# Puts the C library of an old Linux into a folder, for gcc with the options
# "--sysroot=FOLDER -LFOLDER/usr/lib/x86_64-linux-gnu" (or another processor's).
#
#   tools/old_c_library.sh FOLDER [ARCHITECTURE]      (amd64, arm64, ...; this machine's if none)
#
# What is compiled and linked against it runs on that Linux and on all newer ones. It is the one of
# Debian 11, glibc 2.31 (decision 44). debootstrap downloads it; no program of it runs.
# Needs debootstrap, dpkg-deb, and the right to run debootstrap (root).
set -euo pipefail
folder=${1:?give a folder}
architecture=${2:-$(dpkg --print-architecture)}
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
debootstrap --download-only --variant=minbase --arch="$architecture" --include=libc6-dev \
    bullseye "$packages/debian" > "$packages/log.txt" || { cat "$packages/log.txt"; exit 1; }
mkdir -p "$folder"
for package in libc6 libc6-dev linux-libc-dev libcrypt1 libcrypt-dev; do
    dpkg-deb -x "$packages/debian/var/cache/apt/archives/${package}"_*.deb "$folder"
done
# Its absolute links would lead to the C library of this machine.
find "$folder" -type l | while read -r link; do
    target=$(readlink "$link")
    [[ $target != /* ]] || ln -sfn --relative "$folder$target" "$link"
done
