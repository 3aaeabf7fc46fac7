# containerd and dockerd of one host. Sourced by hosts.sh.
#
# Each host has a containerd of its own: a dockerd left to choose would take the machine's, and
# the hosts would share their containers.

START_SECONDS=60
LOG_TAIL=25

# overlay2 where the file system allows it, then FUSE, then plain copies.
choose_driver() {
    DRIVER=$WANT_DRIVER
    [[ -z $DRIVER ]] || return 0
    local probe
    probe=$(mktemp -d "$STATE/.probe.XXXXXX")
    mkdir "$probe"/{lower,upper,work,merged}
    if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" \
        "$probe/merged" 2>/dev/null; then
        umount "$probe/merged"
        DRIVER=overlay2
    elif command -v fuse-overlayfs >/dev/null && [[ -e /dev/fuse ]]; then
        DRIVER=fuse-overlayfs
    else
        DRIVER=vfs
    fi
    rm -rf "$probe"
}

containerd_config() {
    cat <<TOML
version = 2
root = "$1/data/containerd"
state = "$1/exec/containerd"
oom_score = -500
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$1/exec/containerd.sock"
[ttrpc]
  address = "$1/exec/containerd.sock.ttrpc"
TOML
}

dockerd_config() {
    cat <<JSON
{
  "data-root": "$2/data",
  "exec-root": "$2/exec/docker",
  "pidfile": "$2/docker.pid",
  "hosts": ["unix://$2/docker.sock"],
  "containerd": "$2/exec/containerd.sock",
  "bip": "172.31.$1.1/24",
  "storage-driver": "$DRIVER",
  "insecure-registries": ["$(gateway):5000"],
  "live-restore": $LIVE_RESTORE,
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "cgroup-parent": "/$CGROUPS/$PREFIX/$(host_name "$1")",
  "log-driver": "json-file",
  "log-opts": {"max-size": "5m", "max-file": "2"},
  "shutdown-timeout": 10
}
JSON
}

# alive FILE: the pid in FILE is a process of this prefix (a number alone could be reused).
alive() {
    local pid
    [[ -s $1 ]] || return 1
    pid=$(<"$1")
    [[ -d /proc/$pid ]] && grep -q "/$CGROUPS/$PREFIX/" "/proc/$pid/cgroup" 2>/dev/null
}

docker_answers() {
    timeout 5 docker -H "unix://$(host_dir "$1")/docker.sock" version --format '{{.Server.Version}}' \
        >/dev/null 2>&1
}

# A host that has no namespace boots: an empty /run, a new boot id, a new namespace.
prepare_host() {
    local index=$1 dir
    dir=$(host_dir "$index")
    mkdir -p "$dir/data"
    host_exists "$index" && return 0
    clear_host "$PREFIX" "$index" "$STATE"
    insert_disk "$index"
    cat /proc/sys/kernel/random/uuid >"$dir/boot_id"
    wire_host "$index"
}

start_containerd() {
    local index=$1 dir
    dir=$(host_dir "$index")
    alive "$dir/containerd.pid" && return 0
    mkdir -p "$dir/exec"
    rm -f "$dir/exec/containerd.sock" "$dir/exec/containerd.sock.ttrpc"
    containerd_config "$dir" >"$dir/containerd.toml"
    run_in_group "$(host_name "$index")/daemons" "$dir/containerd.log" \
        nsenter --net="$(netns_path "$index")" -- containerd --config "$dir/containerd.toml" \
        >"$dir/containerd.pid"
}

start_dockerd() {
    local index=$1 dir
    dir=$(host_dir "$index")
    alive "$dir/dockerd.pid" && return 0
    rm -f "$dir/docker.pid" "$dir/docker.sock"
    dockerd_config "$index" "$dir" >"$dir/daemon.json"
    run_in_group "$(host_name "$index")/daemons" "$dir/docker.log" \
        nsenter --net="$(netns_path "$index")" -- dockerd --config-file "$dir/daemon.json" \
        >"$dir/dockerd.pid"
}

# wait_for NAME PIDFILE LOG CONDITION...
wait_for() {
    local what=$1 pidfile=$2 log=$3 deadline=$((SECONDS + START_SECONDS))
    shift 3
    until "$@"; do
        if [[ $SECONDS -ge $deadline || ! -d /proc/$(<"$pidfile") ]]; then
            tail -n "$LOG_TAIL" "$log" >&2
            die "$what did not start within $START_SECONDS s; the end of its log ($log) is above"
        fi
        sleep 0.05
    done
}

wait_containerd() {
    local dir
    dir=$(host_dir "$1")
    wait_for "containerd of $(host_name "$1")" "$dir/containerd.pid" "$dir/containerd.log" \
        test -S "$dir/exec/containerd.sock"
}

wait_dockerd() {
    local dir
    dir=$(host_dir "$1")
    wait_for "dockerd of $(host_name "$1")" "$dir/dockerd.pid" "$dir/docker.log" docker_answers "$1"
}
