#!/usr/bin/env bash
# Runs targets of the Makefile one after the other, as `make test` does. The output of each is kept
# in target/stages/TARGET.log, the first that fails ends the run, and the times are printed last.
#
#   tests/stages.sh unit e2e,daemons+sim+docs
#
# In e2e,daemons+sim+docs the targets before the first + run side by side: they wait for containers
# and processes most of their time. The others run beside them, one after the other, with the
# processor time that nothing else wants (SCHED_IDLE): only what measures no time may stand there.
# With job control each job is a process group, which ends with this script.
set -uom pipefail
trap 'for job in $(jobs -p); do kill -- "-$job" 2>/dev/null; done' EXIT
trap 'exit 130' INT TERM

cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=${CARGO_TARGET_DIR:-target}/stages
mkdir -p "$logs"
rm -f "$logs"/*

# Runs one target; what precedes the target's name is put before make.
run() {
    local target=${*: -1} begin=$SECONDS status
    "${@:1:$#-1}" "${MAKE:-make}" --no-print-directory "$target" >"$logs/$target.log" 2>&1
    status=$?
    printf '%-10s %5d s   exit %d\n' "$target" "$((SECONDS - begin))" "$status" >>"$logs/times"
    return "$status"
}

beside() {
    local target
    # All of them in the process group of this job.
    set +m
    for target in "$@"; do
        run chrt --idle 0 "$target" || return
    done
}

# Ends the run when a target has failed.
judge() {
    (($1 != 0)) || return 0
    cat "$logs/times"
    printf '== failed; the output of each target is in %s\n' "$logs"
    exit "$1"
}

# Runs targets side by side, the first of them on this terminal. The first that fails ends the rest.
front() {
    local target status=0 ended
    local -A job=()
    for target in "$@"; do
        : >"$logs/$target.log"
        run env "$target" &
        job[$!]=$target
    done
    tail -n +1 -F "$logs/$1.log" 2>/dev/null &
    shown=$!
    while ((${#job[@]} > 0 && status == 0)); do
        wait -n -p ended "${!job[@]}"
        status=$?
        [[ ${job[$ended]} == "$1" || $status -eq 0 ]] || failed=${job[$ended]}
        unset "job[$ended]"
    done
    for ended in "${!job[@]}"; do
        kill -- "-$ended" 2>/dev/null
        wait "$ended" 2>/dev/null
    done
    sleep 1
    kill -- "-$shown" 2>/dev/null
    wait "$shown" 2>/dev/null
    return "$status"
}

# Prints the outputs that were not on this terminal.
show_others() {
    local target
    for target in "$@"; do
        if [[ -f $logs/$target.log ]]; then
            printf '== %s, beside %s\n' "$target" "${fronts[0]}"
            cat "$logs/$target.log"
        fi
    done
}

for stage in "$@"; do
    IFS=+ read -ra targets <<<"$stage"
    IFS=, read -ra fronts <<<"${targets[0]}"
    printf '== %s %s\n' "${fronts[*]}" "${targets[*]:1}"
    beside "${targets[@]:1}" &
    side=$!
    failed=
    front "${fronts[@]}"
    status=$?
    # The rest has not ended when one has failed: of it, only that one's output is of use.
    [[ -z $failed ]] || show_others "$failed"
    judge "$status"
    show_others "${fronts[@]:1}"
    wait "$side"
    status=$?
    show_others "${targets[@]:1}"
    judge "$status"
done
cat "$logs/times"
printf '%-10s %5d s\n' all "$SECONDS"
