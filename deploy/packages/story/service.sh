# The service of the story: an image, a registry, a git remote, its configuration on the masters,
# and requests to its replicas. Sourced by story.sh.


service_up() {
    mkdir -p "$WORK/registry" "$WORK/git" "$WORK/image/www"
    cat >"$WORK/registry.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: $GATEWAY:5000}
YAML
    docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 &
    printf '%s' $! >"$WORK/registry.pid"
    git init -q --bare -b main "$WORK/git/hello.git"
    git daemon --reuseaddr --export-all "--listen=$GATEWAY" "--base-path=$WORK/git" >"$WORK/git.log" 2>&1 &
    printf '%s' $! >"$WORK/git.pid"
}

service_down() {
    local one pid
    for one in registry git; do
        [[ -s $WORK/$one.pid ]] || continue
        pid=$(<"$WORK/$one.pid")
        kill -TERM "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
}

deploy() {
    step "deploying the service hello: four replicas"
    local sha clone=$WORK/clone name
    git clone -q "$WORK/git/hello.git" "$clone" 2>/dev/null
    git -C "$clone" -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m one
    git -C "$clone" push -q origin HEAD:main
    sha=$(git -C "$clone" rev-parse HEAD)
    cp "$(command -v busybox)" "$WORK/image/busybox"
    echo fine >"$WORK/image/www/status"
    tar -C "$WORK/image" -c . | on s1 docker import -q \
        --change 'CMD ["/busybox", "httpd", "-f", "-p", "8888", "-h", "/www"]' \
        - "$GATEWAY:5000/services-hello:paasta-$sha" >/dev/null
    on s1 docker push -q "$GATEWAY:5000/services-hello:paasta-$sha" >/dev/null
    for name in m1 m2 m3; do
        mkdir -p "$WORK/$name/nail/etc/services/hello"
        echo "git_url: git://$GATEWAY/hello.git" >"$WORK/$name/nail/etc/services/hello/service.yaml"
        echo 'pipeline: [{step: everything}]' >"$WORK/$name/nail/etc/services/hello/deploy.yaml"
        cat >"$WORK/$name/nail/etc/services/hello/marathon-main.yaml" <<YAML
main:
  instances: 4
  cpus: 0.1
  mem: 64
  deploy_group: everything
  healthcheck_mode: http
  healthcheck_uri: /status
  healthcheck_grace_period_seconds: 5
YAML
    done
    git -C "$clone" push -q origin "HEAD:refs/tags/paasta-everything-$(date -u +%Y%m%dT%H%M%S)-deploy"
    healthy 4
    on m1 paasta status -s hello
}

# Waits until so many replicas answer.
healthy() {
    local deadline=$((SECONDS + 120))
    until [[ $(replicas | wc -l) -ge $1 ]] && all_answer; do
        ((SECONDS < deadline)) || { on m1 paasta why hello.main || true; die "not $1 healthy replicas within 120 s"; }
        sleep 0.5
    done
}

all_answer() {
    local at
    for at in $(replicas); do curl -fs -m 2 -o /dev/null "http://$at/status" || return 1; done
}

# ADDRESS:PORT of each running container of the service.
replicas() {
    local name
    for name in s1 s2; do
        on "$name" docker ps --filter label=paasta_service=hello --format '{{.Ports}}' 2>/dev/null |
            sed -n "s/^[^:]*:\([0-9]*\)->.*/${ADDRESS[$name]}:\1/p"
    done
}

containers_of() { on "$1" docker ps -q --filter label=paasta_service=hello --no-trunc | sort; }
containers() { for each in s1 s2; do containers_of "$each"; done | sort; }

traffic_begin() {
    replicas >"$WORK/targets"
    : >"$WORK/failed"
    : >"$WORK/answered"
    touch "$WORK/traffic"
    (
        while [[ -e $WORK/traffic ]]; do
            while read -r at; do
                if curl -fs -m 2 -o /dev/null "http://$at/status"; then echo "$at" >>"$WORK/answered"; else echo "$at" >>"$WORK/failed"; fi
            done <"$WORK/targets"
        done
    ) &
    printf '%s' $! >"$WORK/traffic.pid"
}

traffic_end() {
    rm -f "$WORK/traffic"
    [[ -s $WORK/traffic.pid ]] || return 0
    wait "$(<"$WORK/traffic.pid")" 2>/dev/null || true
    rm -f "$WORK/traffic.pid"
}

# measure WORDS FAILURES CONTAINERS -- CMD...: does it under requests; the containers must be the
# same afterwards, and at most so many requests may fail.
measure() {
    local words=$1 allowed=$2 before=$3 failed
    shift 4
    step "$words"
    traffic_begin
    "$@"
    on m1 sh -c 'until paasta metastatus >/dev/null 2>&1; do sleep 0.3; done'
    traffic_end
    failed=$(wc -l <"$WORK/failed")
    say "$(wc -l <"$WORK/answered") requests answered, $failed failed"
    [[ $(containers) == "$before" ]] || die "$words: the containers are others"
    ((failed <= allowed)) || die "$words: $failed requests failed, at most $allowed may"
    (($(wc -l <"$WORK/answered") > 20)) || die "$words: too few requests to say anything"
}
