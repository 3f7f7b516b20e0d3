# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Who runs the tests: the caller, if a systemd user manager answers there; for root a scratch
# user with a real user manager, started for it even where systemd does not run as PID 1.
# Sourced after _environment.sh.

tester=
tester_made_run=
tester_manager=
tester_log=
tester_groups=()

has_user_manager() {
    ((EUID != 0)) || return 1
    export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$EUID}
    systemctl --user show-environment >/dev/null 2>&1
}

# make_tester: afterwards as_tester runs a command as the one who has a user manager.
make_tester() {
    if has_user_manager; then return; fi
    tester=${MAQET_TEST_USER:-maqet-test}
    exec 8>"/run/lock/$tester"
    flock --nonblock 8 || die "Another run of these tests has the user $tester."
    if id "$tester" >/dev/null 2>&1; then remove_user; fi
    useradd --create-home --shell /bin/bash "$tester"
    tester_uid=$(id -u "$tester")
    tester_runtime=/run/user/$tester_uid
    if [[ -S /run/systemd/private ]]; then loginctl enable-linger "$tester"; else start_manager; fi
    for ((i = 0; i < 100; i++)); do
        if as_tester systemctl --user show-environment >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    if [[ -n $tester_log ]]; then tail -n 20 "$tester_log" >&2; fi
    die "No systemd user manager came up for $tester."
}

# start_manager: what PID 1 and logind would do for the user.
start_manager() {
    local hierarchy
    if [[ ! -e /run/systemd/system ]]; then
        mkdir -p /run/systemd/system
        tester_made_run=yes
    fi
    mkdir -p "$tester_runtime"
    chown "$tester:" "$tester_runtime"
    chmod 0700 "$tester_runtime"
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [[ -e $hierarchy/cgroup.procs ]] && mkdir "$hierarchy/$tester" 2>/dev/null; then
            chown -R "$tester:" "$hierarchy/$tester"
            tester_groups+=("$hierarchy/$tester")
        fi
    done
    tester_log=$(mktemp)
    # shellcheck disable=SC2016
    setsid bash -c '
        user=$1; shift
        for group; do echo $$ >"$group/cgroup.procs"; done
        exec setpriv --reuid "$user" --regid "$user" --init-groups env -i HOME="/home/$user" \
            USER="$user" LOGNAME="$user" PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 \
            XDG_RUNTIME_DIR="/run/user/$(id -u "$user")" /lib/systemd/systemd --user
    ' manager "$tester" "${tester_groups[@]}" >"$tester_log" 2>&1 </dev/null 8>&- 9>&- &
    tester_manager=$!
}

# as_tester COMMAND...: in a clean environment, as a login would make it.
as_tester() {
    local variable keep=()
    for variable in $(compgen -e); do
        case $variable in
            CI | PATH | LC_ALL | PYTHON* | ANSIBLE_* | MAQET_*) keep+=("$variable=${!variable}") ;;
        esac
    done
    if [[ -z $tester ]]; then env "${keep[@]}" "$@" 8>&- 9>&-; return; fi
    setpriv --reuid "$tester" --regid "$tester" --init-groups env -i HOME="/home/$tester" \
        USER="$tester" LOGNAME="$tester" XDG_RUNTIME_DIR="$tester_runtime" \
        "${keep[@]}" "$@" 8>&- 9>&-
}

remove_tester() {
    [[ -n $tester ]] || return 0
    if [[ -n $tester_manager ]]; then
        kill -TERM "$tester_manager" 2>/dev/null || true
        for ((i = 0; i < 100; i++)); do
            kill -0 "$tester_manager" 2>/dev/null || break
            sleep 0.1
        done
    fi
    remove_user
    if [[ -n $tester_log ]]; then rm -f "$tester_log"; fi
    if [[ -n $tester_made_run ]]; then rmdir --ignore-fail-on-non-empty /run/systemd/system; fi
}

# remove_user: the scratch user, its processes and its folders, also of a run that was cut off.
remove_user() {
    local uid group
    uid=$(id -u "$tester" 2>/dev/null) || return 0
    if [[ -S /run/systemd/private ]]; then
        loginctl disable-linger "$tester" || true
        loginctl terminate-user "$tester" || true
    fi
    for ((i = 0; i < 50; i++)); do
        pkill -KILL -U "$uid" || break
        sleep 0.1
    done
    for group in /sys/fs/cgroup{,/systemd,/unified}/"$tester"; do
        if [[ -d $group ]]; then find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true; fi
    done
    rm -rf "/run/user/$uid"
    userdel --remove "$tester" 2>/dev/null || true
}
