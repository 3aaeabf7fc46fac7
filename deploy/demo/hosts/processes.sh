# Which processes belong to a host, and how to end all of them. Sourced by hosts.sh.
#
# A process belongs to a host when it is in the host's cgroups (daemons, shims, containers) or in
# the host's network namespace (what was started with exec). Nothing else is ever killed.

CGROUPS=paasta-hosts
KILL_SECONDS=20

cgroup_roots() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts; }

# The hierarchy in which daemons are put to be found again: one that every kernel set-up has.
tracking_root() {
    local root
    for root in /sys/fs/cgroup/pids /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        if [[ -f $root/cgroup.procs ]]; then printf '%s' "$root"; return; fi
    done
    die "no cgroups are mounted on /sys/fs/cgroup: run deploy/demo/install.sh"
}

# Cgroup directories of $1 (PREFIX or PREFIX/HOST) in every hierarchy.
cgroup_dirs() {
    local root
    for root in $(cgroup_roots); do
        [[ ! -d $root/$CGROUPS/$1 ]] || printf '%s\n' "$root/$CGROUPS/$1"
    done
}

cgroup_pids() {
    local dir
    for dir in $(cgroup_dirs "$1"); do
        # A container's group may vanish while we look.
        find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done
}

netns_pids() {
    local inode
    inode=$(stat -L -c %i "/run/netns/$1" 2>/dev/null) || return 0
    find /proc/[0-9]*/ns/net -maxdepth 0 -lname "net:\[$inode\]" 2>/dev/null | cut -d/ -f3 || true
}

host_pids() { { cgroup_pids "$PREFIX/$(host_name "$1")"; netns_pids "$(host_name "$1")"; } | sort -un; }

# All of a prefix: every host, and the registry.
prefix_pids() {
    local index
    { cgroup_pids "$1"; for index in $(known_indices "$1"); do netns_pids "$1-$index"; done; } | sort -un
}

# Field 22 of stat is the start time; the name before it may hold spaces, so cut after the ")".
describe_pid() {
    local stat fields
    stat=$(cat "/proc/$2/stat" 2>/dev/null) || return 0
    read -r -a fields <<<"${stat##*) }"
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "${fields[19]}" "$(cat "/proc/$2/comm" 2>/dev/null)"
}

# A frozen container (docker pause) takes no signal before it is thawed.
thaw() {
    local dir
    for dir in $(cgroup_dirs "$1"); do
        find "$dir" -name freezer.state -exec sh -c 'echo THAWED >"$1"' _ {} \; 2>/dev/null || true
        find "$dir" -name cgroup.freeze -exec sh -c 'echo 0 >"$1"' _ {} \; 2>/dev/null || true
    done
}

# end_all CGROUP LISTER ARG: SIGKILL to whatever LISTER names until it names nothing.
end_all() {
    local group=$1 pids deadline=$((SECONDS + KILL_SECONDS))
    shift
    while pids=$("$@"); [[ -n $pids ]]; do
        [[ $SECONDS -lt $deadline ]] || die "processes that do not die: $(tr '\n' ' ' <<<"$pids")"
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        thaw "$group"
        sleep 0.02
    done
}

# Groups stay busy for a moment after their last process has died.
remove_cgroups() {
    local deadline=$((SECONDS + KILL_SECONDS)) dirs
    while dirs=$(cgroup_dirs "$1"); [[ -n $dirs ]]; do
        # shellcheck disable=SC2086
        find $dirs -depth -type d -exec rmdir {} + 2>/dev/null || true
        [[ -n $(cgroup_dirs "$1") ]] || break
        [[ $SECONDS -lt $deadline ]] || die "cgroups that cannot be removed: $dirs"
        sleep 0.05
    done
}

remove_cgroup_parent() {
    local root
    for root in $(cgroup_roots); do rmdir "$root/$CGROUPS" 2>/dev/null || true; done
}

# run_in_group NAME LOG CMD...: a daemon of its own session in PREFIX/NAME; prints its pid.
run_in_group() {
    local group log
    group=$(tracking_root)/$CGROUPS/$PREFIX/$1 log=$2
    shift 2
    mkdir -p "$group"
    # shellcheck disable=SC2016 # the inner shell expands it
    setsid bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@" \
        >>"$log" 2>&1 </dev/null 8>&- 9>&- &
    printf '%s' $!
}
