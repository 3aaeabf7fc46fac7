# Debian machines with systemd, each a tree that systemd-nspawn boots in a network namespace of its
# own on one bridge. Sourced by story.sh.

BRIDGE=paasta-story
SUBNET=10.83.0
GATEWAY=$SUBNET.1
MACHINES=(m1 m2 m3 s1 s2)
declare -A ADDRESS=([m1]=$SUBNET.11 [m2]=$SUBNET.12 [m3]=$SUBNET.13 [s1]=$SUBNET.21 [s2]=$SUBNET.22)
# What a machine has beside Debian's base.
INCLUDE=systemd,systemd-sysv,dbus,ca-certificates,libpam-systemd,git,iproute2,curl,docker.io,iptables,procps

base() {
    [[ -f $CACHE/complete ]] && return
    step "making a Debian tree in $CACHE/base (some minutes, once)"
    rm -rf "$CACHE/base"
    mkdir -p "$CACHE"
    debootstrap --variant=minbase "--include=$INCLUDE" bookworm "$CACHE/base" >"$CACHE/log" 2>&1 ||
        die "debootstrap failed: $CACHE/log"
    touch "$CACHE/complete"
}

bridge_up() {
    ip link show "$BRIDGE" >/dev/null 2>&1 && return
    ip link add "$BRIDGE" type bridge
    ip address add "$GATEWAY/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
}

# The namespace outlives the machine, as a cable does.
namespace_up() {
    local name=$1 netns=story-$1
    ip netns list | grep -qw "$netns" && return
    ip netns add "$netns"
    ip link add "story-$name" type veth peer name host0 netns "$netns"
    ip link set "story-$name" master "$BRIDGE" up
    ip -n "$netns" link set lo up
    ip -n "$netns" address add "${ADDRESS[$name]}/24" dev host0
    ip -n "$netns" link set host0 up
    ip -n "$netns" route add default via "$GATEWAY"
}

tree() {
    local name=$1 tree=$WORK/$1
    cp -a "$CACHE/base" "$tree"
    printf '%s\n' "$name" >"$tree/etc/hostname"
    printf '127.0.0.1 localhost %s\n' "$name" >"$tree/etc/hosts"
    printf '{"insecure-registries": ["%s:5000"], "log-level": "warn"}\n' "$GATEWAY" >"$tree/etc/docker/daemon.json"
    if [[ $name == m* ]]; then
        ln -sf /dev/null "$tree/etc/systemd/system/docker.service"
        ln -sf /dev/null "$tree/etc/systemd/system/docker.socket"
        ln -sf /dev/null "$tree/etc/systemd/system/containerd.service"
    fi
    # nspawn mounts the cgroups of the first version without the right to write.
    cat >"$tree/etc/systemd/system/cgroups-writable.service" <<'UNIT'
[Unit]
DefaultDependencies=no
Before=docker.service containerd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mount -o remount,rw /sys/fs/cgroup || true; for each in /sys/fs/cgroup/*; do [ -L $each ] || mount -o remount,rw,bind $each || true; done'
[Install]
WantedBy=sysinit.target
UNIT
    mkdir -p "$tree/etc/systemd/system/sysinit.target.wants"
    ln -sf ../cgroups-writable.service "$tree/etc/systemd/system/sysinit.target.wants/"
}

boot() {
    local name=$1
    systemd-nspawn -D "$WORK/$name" --boot --register=no --keep-unit --link-journal=no \
        --machine="$name" "--network-namespace-path=/run/netns/story-$name" --capability=all \
        --system-call-filter='@keyring bpf @mount @privileged' --bind-ro="$DEBS:/debs" \
        >>"$WORK/$name.console" 2>&1 </dev/null &
    printf '%s' $! >"$WORK/$name.pid"
}

# The first process inside.
leader() { pgrep -P "$(<"$WORK/$1.pid")"; }

# on NAME CMD...: runs a command on the machine.
on() {
    local name=$1 leader
    shift
    leader=$(leader "$name") || die "$name is off: ${*}"
    nsenter -t "$leader" -m -u -i -p -n -C -- "$@"
}

# What is running must be up within a minute.
wait_booted() {
    local name=$1 deadline=$((SECONDS + 60)) state
    until state=$(on "$name" systemctl is-system-running 2>/dev/null); [[ $state == running || $state == degraded ]]; do
        ((SECONDS < deadline)) || die "$name has not booted within 60 s: $WORK/$name.console"
        sleep 0.3
    done
}

power_off() {
    local name=$1 pid
    pid=$(<"$WORK/$name.pid")
    on "$name" systemctl poweroff >/dev/null 2>&1 || true
    local deadline=$((SECONDS + 60))
    while kill -0 "$pid" 2>/dev/null; do
        ((SECONDS < deadline)) || { kill -KILL "$pid"; break; }
        sleep 0.2
    done
    wait "$pid" 2>/dev/null || true
}

machines_down() {
    local name pid
    for name in "${MACHINES[@]}"; do
        [[ -s $WORK/$name.pid ]] || continue
        pid=$(<"$WORK/$name.pid")
        ! kill -0 "$pid" 2>/dev/null || kill -KILL "$(leader "$name")" "$pid" 2>/dev/null || true
        ip netns delete "story-$name" 2>/dev/null || true
        ip link delete "story-$name" 2>/dev/null || true
    done
    ip link delete "$BRIDGE" 2>/dev/null || true
}
