# The end of a host: by power loss (its disk stays) or for good. Sourced by hosts.sh.

# Sockets of container shims live in a directory shared by the whole machine.
remove_shim_sockets() {
    local socket
    while read -r socket; do
        case $socket in unix:///run/containerd/s/*) rm -f "${socket#unix://}" ;; esac
    done < <(find "$1/exec/containerd" -name address -type f -exec sh -c 'cat "$1"; echo' _ {} \; 2>/dev/null)
}

# Deepest first; lazily, because a dead FUSE server leaves a mount that answers nothing.
unmount_below() {
    local target
    while read -r target; do
        umount -l "$target" 2>/dev/null || true
    done < <(awk -v below="$1/" 'index($5 "/", below) == 1 {print $5}' /proc/self/mountinfo | sort -r)
}

# clear_host PREFIX INDEX STATE: what a power loss takes away, once no process is left.
clear_host() {
    local dir=$3/$1-$2
    remove_shim_sockets "$dir"
    unwire_host "$1" "$2"
    unmount_below "$dir"
    remove_cgroups "$1/$1-$2"
    rm -rf "$dir/exec"
    rm -f "$dir"/{docker.pid,dockerd.pid,containerd.pid,docker.sock}
}

kill_host() {
    local index=$1
    # The wire goes first: dying processes must not say good-bye to their peers.
    if host_exists "$index"; then set_link "$index" cut; fi
    end_all "$PREFIX/$(host_name "$index")" host_pids "$index"
    clear_host "$PREFIX" "$index" "$STATE"
}

# purge PREFIX STATE: everything, from what the kernel knows as well as from what was recorded.
purge() {
    local prefix=$1 state=$2 dir
    end_all "$prefix" prefix_pids "$prefix"
    for dir in "$state/$prefix"-*; do
        [[ ! -d $dir ]] || remove_shim_sockets "$dir"
    done
    remove_network "$prefix"
    unmount_below "$state"
    remove_cgroups "$prefix"
    remove_cgroup_parent
    for dir in "$state/$prefix"-*; do
        [[ ! -d $dir ]] || rm -rf --one-file-system "$dir"
    done
    rm -rf --one-file-system "$state/registry"
    rm -rf "$state"/.probe.*
    rm -f "$CLAIMS/$prefix"
    rmdir "$CLAIMS" 2>/dev/null || true
    rm -f "$state/network"
}
