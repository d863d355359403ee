# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # sourced by script/bench, whose variables it shares
# (e) What goes into an image is judged, against `git status` on the same tree.

context() {
  local megabytes=${BENCH_CONTEXT_MB:-2048} tree=$work/context-srv round project=context-$TURNOUT_TEST_RUN
  say "(e) A build context of $megabytes MB"
  mkdir -p "$tree/app"
  make_context "$tree" "$megabytes"
  printf 'repos:\n  context:\n    path: %s\n    project: %s\n' "$tree" "$project" >"$work/context.yaml"
  serve context "$work/context.yaml"
  # Digests of files that are younger than two seconds are not kept, as git keeps none of a racy file.
  wait_for 30 old_enough "$tree"
  "$program" --socket "$socket" plan context >"$work/said" 2>&1 || { cat "$work/said"; die "no plan"; }

  turnout_plan() { "$program" --socket "$socket" plan context; }
  git_status() { git -C "$tree" status --porcelain; }
  local digests=$work/context/state/inputs
  for ((round = 0; round <= rounds; round++)); do
    [ $round -gt 2 ] || {
      # Cold: nothing is remembered of any file. The files themselves are in the page cache for both.
      rm -f "$digests"/*.digests
      milliseconds turnout_plan >>"$work/plan-cold"
      rm "$tree/.git/index"
      milliseconds git -C "$tree" reset -q >>"$work/status-cold"
    }
    local plan status
    plan=$(milliseconds turnout_plan) status=$(milliseconds git_status)
    [ $round = 0 ] || { echo "$plan" >>"$work/plan-warm"; echo "$status" >>"$work/status-warm"; }
  done
  retire "$daemon"

  local kind ours theirs
  for kind in cold warm; do
    ours=$(median "$work/plan-$kind") theirs=$(median "$work/status-$kind")
    row "judging a context of $megabytes MB, $kind" "$ours ms" "$theirs ms (\`git status\`)" "$(divide "$ours" "$theirs")" "beside it" -
  done
  method "Judging a context" <<END
A repository whose one service is built of $(find "$tree/app" -type f | wc -l) files, $megabytes MB in all (8 KB each,
and a few of 64 MB). \`turnout plan\`, against a running daemon, and \`git status\` take turns on that tree,
$rounds times each after one round to warm up; medians of the wall time of the whole command. Cold: three rounds after what
is remembered of the files was removed (for git: its index, filled again by \`git reset\`), with the files in the page cache.
END
}

old_enough() { [ -z "$(find "$1/app" -newermt '-3 seconds' -print -quit)" ]; }

# make_context TREE MEGABYTES: a quarter of it in large files, the rest in small ones.
make_context() {
  python3 - "$1/app" "$2" <<'END'
import os, sys
root, left = sys.argv[1], int(sys.argv[2]) << 20
def put(name, size):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as out:
        out.write(os.urandom(size))
large = 0
while large + (64 << 20) <= left // 4:
    put(f"{root}/large/{large}", 64 << 20)
    large += 64 << 20
for number in range((left - large) // 8192):
    put(f"{root}/d{number % 200}/f{number}", 8192)
END
  printf 'FROM %s\nCOPY . /app\n' "$TURNOUT_TEST_BASE" >"$1/app/Dockerfile"
  printf 'services:\n  app:\n    build: ./app\n' >"$1/docker-compose.prod.yml"
  printf 'COLOR=red\nDEBUG=false\n' >"$1/.env"
  git -C "$1" init -q -b main
  # Nothing tidies up beside the measurement.
  git -C "$1" config gc.auto 0
  git -C "$1" config maintenance.auto false
  git -C "$1" add -A
  git -C "$1" -c user.name=bench -c user.email=bench@localhost commit -qm one
  git -C "$1" -c user.name=bench -c user.email=bench@localhost commit -q --allow-empty -m two
}
