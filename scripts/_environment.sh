# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Shared by the scripts beside it: packages, a Python environment, the collection in it.
# Sourced; the caller has set -euo pipefail.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Root's cache is not in its home, so that a test user can read it.
if ((EUID == 0)); then cache=${XDG_CACHE_HOME:-/var/cache}/maqet-qemu
else cache=${XDG_CACHE_HOME:-$HOME/.cache}/maqet-qemu; fi

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# quietly WHAT COMMAND...: runs it without its output, which is shown only if it fails.
quietly() {
    local what=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; return; fi
    tail -n 30 "$log" >&2
    rm -f "$log"
    die "Failed: $what"
}

# need_debian PACKAGE=WHY...: elsewhere, names the packages that the script would need, and ends.
need_debian() {
    local pair family name
    # shellcheck source=/dev/null
    family=$(. /etc/os-release 2>/dev/null && echo " ${ID:-} ${ID_LIKE:-} ") || family=
    if [[ $family == *" debian "* ]]; then return; fi
    # shellcheck source=/dev/null
    name=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-${NAME:-}}") || name=
    say "This script installs what it needs on Debian and its family only; this is ${name:-unknown}." >&2
    say "Here, install what these Debian packages hold, then use the collection as README.md tells:" >&2
    for pair in "$@"; do say "  ${pair%%=*}: ${pair#*=}" >&2; done
    exit 1
}

# need_packages PACKAGE=WHY...: installs those that are missing, saying why.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "${pair%%=*}" 2>/dev/null | grep -qx installed \
            || missing+=("$pair")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        die "Missing packages, and no sudo to install them: ${missing[*]%%=*}"
    fi
    say "Installing packages:"
    for pair in "${missing[@]}"; do say "  ${pair%%=*}: ${pair#*=}"; done
    as_root true || die "Not allowed to become root. Install them yourself: ${missing[*]%%=*}"
    quietly "apt-get update" as_root apt-get -q update
    quietly "apt-get install ${missing[*]%%=*}" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install --yes --no-install-recommends "${missing[@]%%=*}"
}

# The Python of the distribution: what root has in ~/.pyenv no other user could read.
python_packages=("python3=runs Ansible" "python3-venv=the environment for Ansible")

need_python() {
    need_packages "${python_packages[@]}"
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || die "The pinned ansible-core needs Python 3.11; this is $(/usr/bin/python3 -V)."
}

# make_environment NAME: a virtual environment from requirements/NAME.txt, in $environment.
# The second time it only compares a stamp.
make_environment() {
    local name=$1 stamp lists=(requirements.txt requirements/demo.txt requirements/constraints.txt)
    lists+=("requirements/$name.txt")
    environment=$cache/$name
    stamp=$(cd "$checkout" && { cat "${lists[@]}"; /usr/bin/python3 -V; echo "$environment"; } | sha256sum)
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    if [[ $(cat "$environment/stamp" 2>/dev/null) != "$stamp" ]]; then
        say "Making the environment $environment (once)"
        rm -rf "$environment"
        quietly "python3 -m venv" /usr/bin/python3 -m venv "$environment"
        quietly "pip install" "$environment/bin/python" -m pip install --disable-pip-version-check \
            -r "$checkout/requirements/$name.txt" -c "$checkout/requirements/constraints.txt"
        printf '%s\n' "$stamp" >"$environment/stamp"
    fi
    flock -u 9
    # No other Python than the distribution's.
    export PATH=$environment/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
    export ANSIBLE_HOME=${ANSIBLE_HOME:-$environment/ansible}
    export ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false
    # No one's own settings reach in; what differs from the defaults is above.
    printf '[defaults]\n' >"$environment/ansible.cfg"
    export ANSIBLE_CONFIG=$environment/ansible.cfg
}

# The files of the checkout as git would commit them, NUL-separated; all of them without git.
list_checkout() (
    cd "$checkout" || exit
    if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
    else
        find . -type f -print0
    fi | while IFS= read -rd '' file; do if [[ -f $file ]]; then printf '%s\0' "$file"; fi; done
)

# copy_checkout DIRECTORY: those files, in a new directory.
copy_checkout() {
    rm -rf "$1"
    mkdir -p "$1"
    list_checkout | tar -C "$checkout" --null -T - -cf - | tar -C "$1" --no-same-owner -xf -
}

# install_collection: the checkout, built and installed as any user would, into the environment.
install_collection() {
    local stamp build=$environment/build
    export ANSIBLE_COLLECTIONS_PATH=$environment/collections
    stamp=$(cd "$checkout" && list_checkout | xargs -0 sha256sum | sha256sum)
    if [[ $(cat "$environment/collection" 2>/dev/null) == "$stamp" ]]; then return; fi
    copy_checkout "$build/source"
    quietly "ansible-galaxy collection build" ansible-galaxy collection build --force \
        --output-path "$build" "$build/source"
    rm -rf "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/maqet"
    quietly "ansible-galaxy collection install" ansible-galaxy collection install --force --offline \
        --collections-path "$ANSIBLE_COLLECTIONS_PATH" "$build"/maqet-qemu-*.tar.gz
    rm -rf "$build"
    printf '%s\n' "$stamp" >"$environment/collection"
}
