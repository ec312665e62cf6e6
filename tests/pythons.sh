#!/usr/bin/env bash
# Run the tests on the Pythons of newer Debians, each in a folder of its own that debootstrap makes.
#
#     tests/pythons.sh MIRROR FOLDER [SUITE…] [-- PYTEST ARGUMENT…]
#
# MIRROR is where Debian's packages come from, such as that of the machine; FOLDER keeps what is made, so that the next time
# is short; the suites are trixie (Python 3.13) and forky (3.14) unless given. It needs root and debootstrap.
set -euo pipefail

if [[ $# -lt 2 || $1 == -* || $2 == -* ]]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
mirror=$1 folder=$(realpath -m "$2")
shift 2
suites=()
while [[ $# -gt 0 && $1 != -- ]]; do
    suites+=("$1")
    shift
done
[[ $# -eq 0 ]] || shift
[[ ${#suites[@]} -gt 0 ]] || suites=(trixie forky)
[[ $(id -u) -eq 0 ]] || { echo "a chroot needs root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "install debootstrap first" >&2; exit 2; }
# An old debootstrap does not know the newest suites, which are all made in one way.
scripts=/usr/share/debootstrap/scripts
project=$(cd "$(dirname "$0")/.." && pwd)

mounted=()
leave() {
    local index
    for ((index = ${#mounted[@]} - 1; index >= 0; index--)); do
        umount -l "${mounted[index]}"
    done
    mounted=()
}
trap leave EXIT

enter() {
    mount --bind "$1" "$2"
    mounted+=("$2")
}

failed=()
for suite in "${suites[@]}"; do
    root=$folder/$suite
    if [[ ! -e $root/made ]]; then
        packages=python3,python3-venv,python3-dev,python3-tk,gcc,libc6-dev,git,procps,ca-certificates
        debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" "$scripts/sid" \
            >"$folder-$suite.log" 2>&1 ||
            { echo "debootstrap has failed: see $folder-$suite.log" >&2; exit 1; }
        touch "$root/made"
    fi
    for each in proc sys dev dev/shm dev/pts; do
        mkdir -p "$root/$each"
        enter "/$each" "$root/$each"
    done
    # What pip and the resolver are told here, they are told there.
    for each in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        [[ ! -e $each ]] || cp -L --remove-destination "$each" "$root$each"
    done
    rm -rf "$root/project" && mkdir -p "$root/project"
    (cd "$project" && git ls-files -z --cached --others --exclude-standard | tar -cf - --null -T -) | tar -xf - -C "$root/project"
    chroot "$root" git init -q /project
    chroot "$root" /bin/bash -c '
        set -e
        cd /project && git add -A && git -c user.name=tests -c user.email=tests@localhost commit -qm tests
        [[ -e /venv ]] || python3 -m venv /venv
        /venv/bin/python -m pip install -qq --disable-pip-version-check -e ".[dev]"
        /venv/bin/python --version
        exec /venv/bin/python -m pytest "$@"' - "$@" || failed+=("$suite")
    leave
done
[[ ${#failed[@]} -eq 0 ]] || { echo "the tests have failed on ${failed[*]}" >&2; exit 1; }
