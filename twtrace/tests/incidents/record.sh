#!/bin/sh
# Acts the incidents of scenes.py again and records each: tests/golden/NAME.arrows. As root; takes a minute.
#
#     twtrace/tests/incidents/record.sh [SCENE…]
#
# Then read them anew: INSTA_UPDATE=always cargo test -p twtrace --test report --test view, and look at what changed.
#
# A recording has the whole host in it. examples/pare.rs leaves what happened in the incident's own network namespace,
# so that nothing of whoever makes it gets into the repository.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$here/../../..
cd "$root"
cargo build --quiet -p twtrace --bin twtrace --example pare
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ $# -eq 0 ]; then
    set -- flood exhausted leak proxy queue idle healthy
fi
for scene in "$@"; do
    TWTRACE=$root/target/debug/twtrace unshare --net -- sh -eu -c '
        ip link set lo up
        ip address add 10.0.0.1/32 dev lo
        ip address add 10.0.0.2/32 dev lo
        mkfifo "$3/end.$2"
        python3 "$1/scenes.py" set "$2"
        "$TWTRACE" record -w "$3/$2.arrows" 2>"$3/$2.log" &
        tracer=$!
        until [ -s "$3/$2.arrows" ] && grep -q . "$3/$2.log"; do sleep 0.2; done
        sleep 0.5
        python3 "$1/scenes.py" act "$2" <"$3/end.$2" >"$3/acted" &
        actors=$!
        exec 9>"$3/end.$2"
        until grep -q acted "$3/acted"; do sleep 0.2; done
        kill -TERM "$tracer"
        wait "$tracer" || { cat "$3/$2.log" >&2; exit 1; }
        exec 9>&-
        wait "$actors"
    ' sh "$here" "$scene" "$scratch"
    target/debug/examples/pare "$scratch/$scene.arrows" "twtrace/tests/golden/$scene.arrows"
    ls -l "twtrace/tests/golden/$scene.arrows"
done
