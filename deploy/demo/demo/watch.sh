# Waiting for the cluster, and showing what it does. Sourced by demo.sh.

# The exit code speaks of the instances; callers read the answer. None is no answer.
status_json() { paasta status -s hello --json -v 2>/dev/null || true; }

# holds FILTER: of the status on stdin. (jq -e calls an empty input a success.)
holds() { [[ $(jq "$@" 2>/dev/null || true) == true ]]; }

desired_app() { status_json | jq -r '.instances[] | select(.instance == "main") | .desired_app'; }

# As it should be: every instance runs its desired app and nothing else, all of it happy.
IS_HEALTHY='.instances | length > 0 and all(.[];
    .desired_app != "" and (.bounce == null) and (.apps | length) == 1
    and .counts.happy == .wanted and (.replicas | length) == .wanted)'

COUNTS='def n(w): (.counts[w] // 0);
    .instances[] | "\(.service).\(.instance) \(.deploy_status): \(n("happy")) of \(.wanted) happy, "
    + "\(n("starting")) starting, \(n("unhealthy")) unhealthy"'

# wait_healthy SECONDS
wait_healthy() {
    step "waiting until every replica is healthy"
    local deadline=$((SECONDS + $1)) now last="" text
    while true; do
        now=$(status_json)
        text=$(jq -r "$COUNTS" <<<"$now" 2>/dev/null || true)
        if [[ -n $text && $text != "$last" ]]; then
            while read -r line; do printf '[%3d s]   %s\n' "$SECONDS" "$line"; done <<<"$text"
            last=$text
        fi
        ! holds "$IS_HEALTHY" <<<"$now" || return 0
        [[ $SECONDS -lt $deadline ]] || not_in_time "hello is not healthy after $1 s"
        sleep 0.5
    done
}

not_in_time() {
    paasta why hello.main || true
    paasta why hello.worker || true
    tails coordinator-{1..3} $(seq -f 'agent-%g' 1 "$HOSTS")
    die "$1: what it waits for and the ends of the logs are above"
}

# Where the replicas answer that a load balancer would use, from a status on stdin.
replica_urls() {
    jq -r '.instances[] | select(.instance == "main") | .replicas[]
        | select(.host_port != null and .class == "happy")
        | "http://\(.address):\(.host_port)/"' 2>/dev/null || true
}

# The apps of main, the old one first, each with its replicas by class.
LIVE='.instances[] | select(.instance == "main") | [.apps | sort_by(.app != $old)[]
    | "\(if .app == $old then "old" else "new" end) \(.git_sha[0:8]): "
    + ([(.counts | to_entries[] | select(.key != "running" and .value > 0) | "\(.value) \(.key)")]
       | if . == [] then "none" else join(", ") end)] | join("    ")'

# watch_bounce OLD_APP SECONDS: a line each second until only another app than OLD is left.
watch_bounce() {
    local old=$1 deadline=$((SECONDS + $2)) now line
    ANSWERED_BY=() FAILED=0
    while true; do
        now=$(status_json)
        line=$(jq -r --arg old "$old" "$LIVE" <<<"$now" 2>/dev/null || true)
        ask_replicas <<<"$now"
        [[ -z $line ]] || printf '[%3d s]   %s\n' "$SECONDS" "$line"
        ! holds --arg old "$old" "($IS_HEALTHY) and (.instances[] | select(.instance == \"main\")
            | .desired_app != \$old)" <<<"$now" || break
        [[ $SECONDS -lt $deadline ]] || not_in_time "the bounce has not ended after $2 s"
        sleep 1
    done
    say "requests during the bounce: $(by_version); failed: $FAILED"
}

declare -A ANSWERED_BY=()

# A few requests to every replica of the status on stdin.
ask_replicas() {
    local url answer version
    for url in $(replica_urls); do
        for _ in 1 2 3; do
            if answer=$(curl -fsS -m 2 "$url" 2>/dev/null); then
                version=${answer#*version=}
                version=${version%% *}
                ANSWERED_BY[$version]=$((${ANSWERED_BY[$version]:-0} + 1))
            else
                FAILED=$((FAILED + 1))
            fi
        done
    done
}

by_version() {
    local version parts=()
    for version in "${!ANSWERED_BY[@]}"; do parts+=("${ANSWERED_BY[$version]} answered by $version"); done
    ((${#parts[@]} == 0)) || printf '%s\n' "${parts[@]}" | sort | paste -sd, | sed 's/,/, /g'
}
