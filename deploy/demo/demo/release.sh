# The example service: its soa-configs, its git remote, and how a version is made and deployed.
# Sourced by demo.sh.

# What the service's own repository holds.
SOURCES=(Cargo.toml Cargo.lock Dockerfile Makefile .gitignore src)
CLONE=$DEMO/git/hello

# Git, untouched by the configuration of the user of the demo.
git_in_clone() {
    env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE GIT_CONFIG_GLOBAL=/dev/null \
        GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 \
        git -C "$CLONE" -c user.name=Author -c user.email=author@example.com "$@"
}

make_service() {
    step "making the service hello: a git remote and a yelpsoa-configs directory"
    if [[ ! -d $CLONE/.git ]]; then
        rm -rf "$CLONE" "$CLONE.git"
        mkdir -p "$CLONE"
        git init -q --bare -b main "$CLONE.git"
        git_in_clone init -q -b main
        git_in_clone remote add origin "$CLONE.git"
        local name
        for name in "${SOURCES[@]}"; do cp -r "$ROOT/deploy/example/$name" "$CLONE/"; done
    fi
    if [[ ! -e $DEMO/soa/hello ]]; then
        # Complete before it is seen: a coordinator may be watching the directory.
        rm -rf "$DEMO/git/soa"
        cp -r "$ROOT/deploy/example/soa/hello" "$DEMO/git/soa"
        sed -i "s|^git_url:.*|git_url: file://$CLONE.git|" "$DEMO/git/soa/service.yaml"
        mkdir -p "$DEMO/soa"
        mv "$DEMO/git/soa" "$DEMO/soa/hello"
    fi
    say "remote  $CLONE.git"
    say "configs $DEMO/soa/hello"
}

# release WORD: a commit whose answers begin with WORD, its image, its deploy tag.
release() {
    local word=$1 sha image tag
    sed -i "s/\"[a-z0-9A-Z ]*service={service}/\"$word service={service}/" "$CLONE/src/identity.rs"
    grep -q "\"$word service={service}" "$CLONE/src/identity.rs" || die "the example's answer was not found in $CLONE/src/identity.rs"
    git_in_clone add --all
    git_in_clone commit -q --allow-empty -m "Say $word"
    git_in_clone push -q origin main
    sha=$(git_in_clone rev-parse HEAD)
    image=$REGISTRY/services-hello:paasta-$sha
    say "commit  $sha"
    cook "$image"
    tag=paasta-demo.everything-$(date -u +%Y%m%dT%H%M%S)-deploy
    git_in_clone push -q origin "+$sha:refs/tags/$tag"
    say "tag     $tag"
    paasta generate-deployments -s hello -d "$DEMO/soa"
}

cook() {
    local socket log=$DEMO/logs/cook-image
    socket=$(docker_socket 1)
    if ! DOCKER_HOST=unix://$socket make -C "$CLONE" cook-image "DOCKER_TAG=$1" \
        "CONTEXT=$DEMO/context" "CARGO_TARGET_DIR=$ROOT/target/example" >"$log" 2>&1; then
        tail -n 30 "$log"
        die "the image could not be built; the end of $log is above"
    fi
    say "image   $1"
    [[ $MODE != hosts ]] || docker -H "unix://$socket" push -q "$1" >/dev/null
}
