# Coordinators and agents: configuration, identities, start, end. Sourced by demo.sh.
#
# A daemon is recorded as "pid starttime" in $DEMO/run/NAME, so that a number that was used again
# is never taken for it. With several hosts each also sits in a cgroup of hosts.sh, whose `down`
# therefore ends it even when the record is lost.

STOP_SECONDS=15
INIT_SECONDS=20

write_config() {
    mkdir -p "$DEMO/config"
    cat >"$DEMO/config/paasta.yaml" <<YAML
cluster: demo
docker_registry: $REGISTRY
volumes: []
soa_dir: $DEMO/soa
coordinator:
  # A demo need not wait long for a host that was switched off.
  lost_after_ms: 6000
agent:
  coordinators: [$COORDINATORS]
cli:
  coordinators: [$COORDINATORS]
YAML
}

start_time() {
    local fields
    fields=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -r -a fields <<<"${fields##*) }"
    [[ ${fields[0]} != Z ]] || return 1
    printf '%s' "${fields[19]}"
}

# Prints the pid of a recorded daemon that still runs.
running() {
    local pid start
    [[ -s $DEMO/run/$1 ]] || return 1
    read -r pid start <"$DEMO/run/$1"
    [[ $(start_time "$pid") == "$start" ]] || return 1
    printf '%s' "$pid"
}

# start_daemon NAME GROUP CMD...: a session of its own, its output in $DEMO/logs/NAME.
start_daemon() {
    local name=$1 group=$2 pid
    shift 2
    ! running "$name" >/dev/null || return 0
    if [[ $MODE == hosts ]]; then
        # shellcheck disable=SC2016 # the inner shell expands it
        set -- bash -c 'mkdir -p "$0" && echo $$ >"$0/cgroup.procs" && exec "$@"' \
            "$(cgroup_root)/paasta-hosts/$PREFIX/$group" "$@"
    fi
    setsid "$@" >>"$DEMO/logs/$name" 2>&1 </dev/null 7>&- &
    pid=$!
    printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$DEMO/run/$name"
}

# The same choice as that of hosts/processes.sh.
cgroup_root() {
    local root
    for root in /sys/fs/cgroup/pids /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        if [[ -f $root/cgroup.procs ]]; then printf '%s' "$root"; return; fi
    done
    die "no cgroups are mounted on /sys/fs/cgroup"
}

# in_time WHAT CMD...: tries until it succeeds, for INIT_SECONDS; prints the first line of what it says.
in_time() {
    local what=$1 deadline=$((SECONDS + INIT_SECONDS)) said
    shift
    until said=$("$@" 2>&1); do
        if [[ $SECONDS -ge $deadline ]]; then
            say "$said"
            tails coordinator-1 coordinator-2 coordinator-3
            die "$what: not within $INIT_SECONDS s; the ends of the logs are above"
        fi
        sleep 0.3
    done
    say "${said%%$'\n'*}"
}

# The cluster, its authority, the identity of the first coordinator and the administrator's files.
# Where they are, `init` changes nothing but an administrator's certificate that is half over.
make_cluster() {
    INIT_SAID=$("$BIN/paasta-coordinator" init --cluster demo --config-dir "$DEMO/config" \
        --node-id 1 --data-dir "$DEMO/data/coordinator-1" --advertise "$GATEWAY:7001" \
        --admin-dir "$DEMO/admin")
    say "${INIT_SAID%%$'\n'*}"
}

# Prints the join token for coordinators or agents that `init` has printed, or a new one.
join_token() {
    grep -o "PAASTA1-${1:0:1}-[^ ]*" <<<"$INIT_SAID" || paasta token create "$1"
}

# identify KIND NAME DIR CMD...: CMD joins with a token for coordinators or agents, unless DIR holds
# the identity of NAME already.
identify() {
    local kind=$1 name=$2 dir=$3 token
    shift 3
    [[ ! -e $dir/certificate.pem ]] || return 0
    token=$(join_token "$kind")
    PAASTA_JOIN_TOKEN=$token in_time "$name joins" "$@" "$GATEWAY:7001"
}

start_coordinators() {
    step "making a cluster of three coordinators: $COORDINATORS"
    local id data
    make_cluster
    for id in 1 2 3; do
        data=$DEMO/data/coordinator-$id
        identify coordinator "coordinator-$id" "$data.identity" "$BIN/paasta-coordinator" join \
            --config-dir "$DEMO/config" --node-id "$id" --data-dir "$data"
        start_daemon "coordinator-$id" "coordinator-$id" "$BIN/paasta-coordinator" run \
            --config-dir "$DEMO/config" --node-id "$id" --listen "$GATEWAY:700$id" \
            --http-listen "$GATEWAY:710$id" --data-dir "$data" --soa-dir "$DEMO/soa"
    done
    # Of members that have a vote both change nothing.
    for id in 2 3; do
        in_time "coordinator $id is added" paasta coordinator add "$id=$GATEWAY:700$id"
        in_time "coordinator $id has a vote" paasta coordinator promote "$id"
    done
}

start_agents() {
    step "starting $HOSTS agent(s)"
    local index in_host=() flags
    for index in $(seq 1 "$HOSTS"); do
        if ! host_is_on "$index"; then say "$PREFIX-$index is off"; continue; fi
        if [[ $MODE == hosts ]]; then in_host=(nsenter "--net=/run/netns/$PREFIX-$index" --); fi
        flags=(--config-dir "$DEMO/config" --host-id "$PREFIX-$index" --state-dir "$DEMO/data/agent-$index")
        identify agent "agent-$index" "$DEMO/data/agent-$index/identity" \
            "${in_host[@]}" "$BIN/paasta-agent" join "${flags[@]}"
        start_daemon "agent-$index" "$PREFIX-$index/agent" "${in_host[@]}" "$BIN/paasta-agent" run \
            "${flags[@]}" --address "$(host_address "$index")" \
            --http-listen "$(host_address "$index"):7403" \
            --docker-socket "$(docker_socket "$index")" --coordinators "$COORDINATORS"
    done
}

# What does not run any more is started again; what runs is not touched.
repair() {
    bring_up_machines
    start_coordinators
    start_agents
}

# Agents first: they must not see the coordinators leave and must not restart anything.
end_daemons() {
    local name pid deadline=$((SECONDS + STOP_SECONDS))
    for name in agent-{1..3} coordinator-{1..3}; do
        ! pid=$(running "$name") || kill -TERM "$pid" 2>/dev/null || true
    done
    for name in agent-{1..3} coordinator-{1..3}; do
        while pid=$(running "$name"); do
            [[ $SECONDS -lt $deadline ]] || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.1
        done
        rm -f "$DEMO/run/$name"
    done
}

tails() {
    local name
    for name in "$@"; do
        printf -- '--- the end of %s\n' "$DEMO/logs/$name"
        tail -n 20 "$DEMO/logs/$name" 2>/dev/null || true
    done
}
