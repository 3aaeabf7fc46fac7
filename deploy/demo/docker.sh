#!/usr/bin/env bash
# The machine's own dockerd, which builds images: started by hand where no init system does it.
#
#   docker.sh up     start one if none answers, and remember that we did
#   docker.sh down   stop the one that we started; any other is left alone
set -euo pipefail

RUN=/run/paasta-docker
LOG=/var/log/paasta-dockerd.log
START_SECONDS=60
STOP_SECONDS=30

say() { printf '%s\n' "$*" >&2; }
die() { printf 'docker.sh: %s\n' "$*" >&2; exit 1; }

answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A machine booted without an init system may have no cgroups mounted; dockerd needs them.
mount_cgroups() {
    ! awk '$3 == "cgroup" || $3 == "cgroup2" {found = 1} END {exit !found}' /proc/mounts || return 0
    mount -t cgroup2 cgroup2 /sys/fs/cgroup || die "cannot mount cgroups on /sys/fs/cgroup"
    say "mounted cgroup2 on /sys/fs/cgroup"
}

# Only where no driver was chosen: one that works on this file system.
driver_flag() {
    ! grep -qs storage-driver /etc/docker/daemon.json || return 0
    [[ ! -d /var/lib/docker/image ]] || return 0
    local probe driver=vfs
    mkdir -p /var/lib/docker
    probe=$(mktemp -d /var/lib/docker/.probe.XXXXXX)
    mkdir "$probe"/{lower,upper,work,merged}
    if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" \
        "$probe/merged" 2>/dev/null; then
        umount "$probe/merged"
        driver=overlay2
    elif command -v fuse-overlayfs >/dev/null && [[ -e /dev/fuse ]]; then
        driver=fuse-overlayfs
    fi
    rm -rf "$probe"
    printf -- '--storage-driver=%s' "$driver"
}

# ours: prints the pid of the dockerd that we started, if it is still that process.
ours() {
    local pid start fields
    [[ -s $RUN/pid ]] || return 1
    read -r pid start <"$RUN/pid"
    fields=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    read -r -a fields <<<"${fields##*) }"
    [[ ${fields[19]} == "$start" ]] || return 1
    printf '%s' "$pid"
}

up() {
    if answers; then say "dockerd answers"; return; fi
    if [[ -d /run/systemd/system ]] && systemctl start docker; then
        answers && { say "dockerd started by systemd"; return; }
    fi
    mount_cgroups
    mkdir -p "$RUN"
    local pid fields flag deadline=$((SECONDS + START_SECONDS))
    flag=$(driver_flag)
    setsid dockerd ${flag:+"$flag"} >>"$LOG" 2>&1 </dev/null &
    pid=$!
    until answers; do
        if [[ $SECONDS -ge $deadline || ! -d /proc/$pid ]]; then
            tail -n 25 "$LOG" >&2
            die "dockerd did not start within $START_SECONDS s; the end of its log ($LOG) is above"
        fi
        sleep 0.1
    done
    read -r -a fields <<<"$(sed 's/.*) //' "/proc/$pid/stat")"
    printf '%s %s\n' "$pid" "${fields[19]}" >"$RUN/pid"
    say "dockerd started, pid $pid, log $LOG"
}

down() {
    local pid deadline=$((SECONDS + STOP_SECONDS))
    if pid=$(ours); then
        kill -TERM "$pid"
        while ours >/dev/null; do
            [[ $SECONDS -lt $deadline ]] || die "dockerd (pid $pid) did not stop in $STOP_SECONDS s: see $LOG"
            sleep 0.1
        done
        say "dockerd stopped"
    else
        say "no dockerd of ours runs"
    fi
    rm -f "$RUN/pid"
    rmdir "$RUN" 2>/dev/null || true
}

export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
[[ $(id -u) -eq 0 ]] || die "needs root: run it with sudo"
case ${1:-} in
    up) up ;;
    down) down ;;
    *) die "use docker.sh up|down" ;;
esac
