# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317 # sourced by script/bench, whose variables it shares
# (i) Blue/green: whole deployments under load, the time to live, the time of a way back, what two colours cost.

switch() {
  local switches=${BENCH_SWITCHES:-50} boot name=switch-$TURNOUT_TEST_RUN web number took before load lost=0 answered page road again
  say "(i) $switches deployments with \`switch\` under load"
  web=$(free_port)
  mkdir -p "$work/switch"
  switch_stack "$web" >"$work/switch/docker-compose.prod.yml"
  # busybox's httpd keeps nine connections waiting; with 64 clients and a build beside it the tenth is asked again after seconds.
  nginx_image "nginx-$name"
  printf 'FROM nginx-%s\nCOPY page /www/index.html\nCMD ["nginx", "-c", "/nginx.conf"]\n' "$name" >"$work/switch/Dockerfile"
  echo 0 >"$work/switch/page"
  make_remote "$work/switch" "$work/switch.git" "$work/switch-dev"
  git clone -q "$work/switch.git" "$work/switch-ours"
  printf 'DEBUG=false\n' >"$work/switch-ours/.env"
  printf 'repos:\n  push:\n    path: %s\n    remote: %s\n    branch: main\n    full_name: acme/push\n    project: %s\n    switch: { bake: 10m }\n' \
    "$work/switch-ours" "$work/switch.git" "$name" >"$work/switch.yaml"
  # Its recorder tells of phases and of the beginning of steps, too: where the time goes is read from that.
  TURNOUT_LOG_LEVEL=info,turnout::deploy::recorder=debug serve switch-home "$work/switch.yaml"
  turnout_() { "$program" --socket "$socket" "$@" >"$work/said" 2>&1 || { cat "$work/said"; die "failed: turnout $*"; }; }
  turnout_ deploy push

  # As many deployments as were asked for, each from a push to the first answer of the new colour.
  # Some 1,000 requests a second: so many that none of them can miss a switch, and not so many that nothing else is done.
  echo 'function delay() return 60 end' >"$work/switch.lua"
  wrk -t1 -c64 -d$((switches * 60))s -s "$work/switch.lua" "http://127.0.0.1:$web/" >"$work/switch.wrk" 2>&1 &
  load=$!
  pids+=("$load")
  for ((number = 1; number <= switches; number++)); do
    before=$(git -C "$work/switch-dev" rev-parse HEAD)
    echo "$number" >"$work/switch-dev/page"
    git_push "$work/switch-dev" "Version $number"
    first_answer "$number" switch_push "$before" >>"$work/switch.live"
    # It is live; the bake goes on until it is ended, as good.
    wait_for 30 switch_live || die "the switch was not recorded"
    turnout_ promote push
  done
  kill -INT "$load"
  wait "$load" || true
  answered=$(awk '/requests in/ { print $1 }' "$work/switch.wrk")
  lost=$(awk '/Non-2xx/ { sum += $NF } /Socket errors/ { gsub(",", ""); sum += $4 + $6 + $8 + $10 } END { print sum + 0 }' "$work/switch.wrk")

  # Of what kind, for whoever reads the run.
  [ "$lost" = 0 ] || grep -E 'Non-2xx|Socket errors' "$work/switch.wrk" || true

  # As it is without load: an image that is built anew, and one that is in the cache of the builder.
  for road in anew cached; do
    for number in -3 -2 -1 0 1 2 3 4 5 6 7 8 9; do
      page="$road $number"
      [ $road = anew ] || page="$road $((number & 3))"
      before=$(git -C "$work/switch-dev" rev-parse HEAD)
      echo "$page" >"$work/switch-dev/page"
      git_push "$work/switch-dev" "$road $number"
      again=$(first_answer "$page" switch_push "$before")
      wait_for 30 switch_live || die "the switch was not recorded"
      [ "$number" -lt 1 ] || { echo "$again" >>"$work/switch.$road" && tail -n 1 "$work/first.times" >>"$work/switch.$road.times"; }
      turnout_ promote push
    done
  done

  # The way back while both colours run, to what was pushed last and kept.
  for number in 1 2 3 4 5 6 7 8 9 10; do
    before=$(git -C "$work/switch-dev" rev-parse HEAD)
    echo "back $number" >"$work/switch-dev/page"
    git_push "$work/switch-dev" "Back $number"
    first_answer "back $number" switch_push "$before" >/dev/null
    wait_for 30 switch_live || die "the switch was not recorded"
    first_answer "$page" "$program" --socket "$socket" rollback push >>"$work/switch.back"
    wait_for 60 switch_rests || die "the way back did not end"
  done
  switch_idle
  retire "$daemon"
  {
    printf '## From a push to the first answer of the new colour\n\nIn ms: median, least, most, without other load. Method: below.\n'
    for road in anew cached; do
      printf '\n| image %s | median | least | most |\n|---|---|---|---|\n' "$([ $road = anew ] && echo 'built anew' || echo 'from the cache of the builder')"
      python3 -B "$root/script/bench.d/road.py" "$work/switch-home/out" "$work/switch.$road.times" || die "script/bench.d/road.py failed"
    done
    printf '\n| the engine alone | median | least | most |\n|---|---|---|---|\n'
    python3 -B "$root/script/bench.d/alone.py" "$TURNOUT_TEST_BASE" "alone$TURNOUT_TEST_RUN" 9 "$work/switch.boot" "red$name-web" || die "script/bench.d/alone.py failed"
    echo
  } >>"$work/tables"
  pkill -f "turnout-proxy run.*$work" || true
  docker ps -aq --filter "label=com.docker.compose.project=red$name" --filter "label=com.docker.compose.project=blue$name" | xargs -r docker rm -f >/dev/null
  remove_objects "$name"
  figure "$switches deployments under 64 connections kept open: requests failed, of $answered" "$lost" - "$lost" '<=' 0
  boot=$(median "$work/switch.boot")
  row "from an accepted push to the first answer of the new colour, image built anew, under 64 connections" "$(median "$work/switch.live") ms" - - stated -
  row "the same without load" "$(median "$work/switch.anew") ms" - - stated -
  row "the same, image from the cache of the builder" "$(median "$work/switch.cached") ms" "$boot ms (the application's boot: its container started raw, until it answers)" - stated -
  figure "of that, beyond the application's boot" "$(minus "$(median "$work/switch.cached")" "$boot") ms" - "$(minus "$(median "$work/switch.cached")" "$boot")" '<=' 1500
  figure "\`rollback\`, the colour before running: from the command to its first answer" "$(median "$work/switch.back") ms" - \
    "$(median "$work/switch.back")" '<=' 50
  method "Blue/green" <<END
A stack of a built web service, a built worker and what stays (an image with a named volume), \`switch: { bake: 10m }\`.
Each deployment is a push, delivered as a signed webhook; the clock starts when that is answered (in the tables below "Where the time goes": when the
program that delivers it is started) and stops when a client that asks each 2 ms sees the new page (spread
under load, with an image that is built anew: $(spread "$work/switch.live") ms; of the way back: $(spread "$work/switch.back") ms). \`turnout promote\` then ends the bake, the next push follows.
\`wrk\` with 64 connections asks all the while, each again 60 ms after an answer; what failed is what it counts: connections, reads, writes, time-outs, and answers other than 200. Then nine pushes
each without that load, after four to warm up. Where the time goes is read from the daemon's log (\`script/bench.d/road.py\`), whose recorder tells
of phases and the beginning of steps: a part ends where the next one begins, and what is done side by side counts as what was waited for.
The engine alone: \`script/bench.d/alone.py\`, the same calls raw on its socket, on two networks as a colour has them; nobody who uses the engine
so can be faster than their sum.
END
}

# What two colours cost while nobody asks: processor time of turnout, its proxy and the engine in 20 s, and memory.
switch_idle() {
  local kind proxy engine live
  proxy=$(pgrep -f "turnout-proxy run.*$work" | head -n 1)
  engine=$(pgrep -x dockerd | head -n 1)
  for kind in one two without; do
    if [ $kind != one ]; then
      [ $kind = two ] || sed -i 's/bake: 10m/bake: 10m, analysis: off/' "$work/switch-home/repos.yaml"
      before=$(git -C "$work/switch-dev" rev-parse HEAD)
      echo "idle $kind" >"$work/switch-dev/page"
      git_push "$work/switch-dev" "Idle $kind"
      first_answer "idle $kind" switch_push "$before" >/dev/null
      wait_for 30 switch_live || die "the switch was not recorded"
    fi
    # What a deployment leaves to be done is done by then.
    sleep 5
    before="$(ran_for "$daemon") $(ran_for "$proxy") $(ran_for "$engine")"
    sleep 20
    echo "$before $(ran_for "$daemon") $(ran_for "$proxy") $(ran_for "$engine") $(rss_of "$daemon") $(rss_of "$proxy")" >"$work/switch.idle.$kind"
    [ $kind = one ] || turnout_ rollback push
    [ $kind = one ] || wait_for 60 switch_rests || die "the way back did not end"
  done
  live=$("$program" --socket "$socket" status --json push | jq -r '.repos[] | select(.name == "push") | .live.project')
  {
    printf '## What two colours cost while nobody asks\n\nProcessor time in ms a second over 20 s, and resident memory in MiB.\n\n'
    printf '| | turnout | turnout-proxy | the engine | turnout, MiB | turnout-proxy, MiB |\n|---|---|---|---|---|---|\n'
    for kind in one two without; do
      awk -v what="$(case $kind in one) echo 'one colour, at rest' ;; two) echo 'two, while one bakes' ;; *) echo 'the same with `analysis: off`' ;; esac)" '{
        printf "| %s | %.2f | %.2f | %.2f | %.1f | %.1f |\n", what, ($4 - $1) / 2e7, ($5 - $2) / 2e7, ($6 - $3) / 2e7, $7 / 1024, $8 / 1024 }' "$work/switch.idle.$kind"
    done
    printf '\nA colour of two containers, of nginx and a shell: %s MiB of their own, and %s MiB of the engine'"'"'s processes that look after them.\n\n' \
      "$(containers "$live" | xargs docker inspect --format '{{.State.Pid}}' | own_memory)" \
      "$(containers "$live" | xargs docker inspect --format '{{.State.Pid}}' | while read -r pid; do awk '/^PPid/ { print $2 }' "/proc/$pid/status"; done | own_memory)"
  } >>"$work/tables"
}

# ran_for PID: the processor time of all its threads so far, in ns. rss_of PID: its resident memory in KiB.
ran_for() { cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
rss_of() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
# own_memory: of processes whose numbers come in, and of what they started, what would be free without them, in MiB.
own_memory() {
  local pid
  while read -r pid; do
    cat "/proc/$pid/smaps_rollup" 2>/dev/null
    pgrep -P "$pid" | while read -r pid; do
      # Of a process of the engine's these are the containers themselves.
      grep -q containerd-shim "/proc/$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")/cmdline" || cat "/proc/$pid/smaps_rollup" 2>/dev/null
    done
  done | awk '/^Pss:/ { sum += $2 } END { printf "%.1f", sum / 1024 }'
}

# nginx_image NAME: an image with this machine's nginx, which serves /www on 8000.
nginx_image() {
  local tree=$work/nginx-image file
  mkdir -p "$tree"/{www,var/lib/nginx,var/log/nginx,run}
  cp "$(command -v nginx)" "$tree/nginx"
  ldd "$tree/nginx" | grep -o '/[^ ]*' | while read -r file; do cp -L --parents "$file" "$tree"; done
  cat >"$tree/nginx.conf" <<'END'
daemon off; worker_processes 1; error_log stderr; pid /run/nginx.pid;
events { worker_connections 1024; }
http { access_log off; server { listen 8000; root /www; } }
END
  printf 'FROM %s\nCOPY . /\nRUN mv /nginx /bin/nginx && echo nobody:x:65534:65534::/: >>/etc/passwd && echo nogroup:x:65534: >>/etc/group\n' "$TURNOUT_TEST_BASE" >"$work/nginx-dockerfile"
  docker build -q -t "$1" -f "$work/nginx-dockerfile" "$tree" >/dev/null || die "the image of nginx was not built"
}

switch_stack() {
  cat <<END
services:
  web:
    build: .
    ports: ["127.0.0.1:$1:8000"]
    depends_on: [db]
    init: true
  worker:
    build: .
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]
    init: true
  db:
    image: $TURNOUT_TEST_BASE
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]
    init: true
    volumes: ["data:/data"]
volumes:
  data:
END
}

# first_answer BODY COMMAND...: runs the command; the time in milliseconds until a client saw the body: of a push from its answer on,
# else from the beginning of the command.
first_answer() {
  local body=$1 from accepted till
  shift
  mkfifo "$work/probe.$$"
  python3 "$root/script/bench.d/probe.py" 127.0.0.1 "$web" "$body" 120 >"$work/probe.$$" 2>"$work/probe.err" &
  exec 7<"$work/probe.$$"
  rm "$work/probe.$$"
  read -r _ <&7
  from=$EPOCHREALTIME
  "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; die "failed: $*"; }
  accepted=$EPOCHREALTIME
  read -r till <&7 || { cat "$work/probe.err" >&2; die "the answer $body did not come"; }
  exec 7<&-
  echo "$from $accepted $till" >>"$work/first.times"
  awk -v from="$([ "$1" = switch_push ] && echo "$accepted" || echo "$from")" -v till="$till" 'BEGIN { printf "%.2f\n", (till - from) * 1e3 }'
}

# switch_push BEFORE: delivers the newest commit; answers once it was accepted.
switch_push() {
  local after mac
  after=$(git -C "$work/switch-dev" rev-parse HEAD)
  push_payload acme/push "$1" "$after" >"$work/body"
  mac=$(signature "$secret" "$work/body")
  curl -fsS -o /dev/null -H 'content-type: application/json' -H 'x-github-event: push' -H "x-github-delivery: $after" \
    -H "x-hub-signature-256: $mac" --data-binary "@$work/body" "http://127.0.0.1:$port/webhook"
}

# Whether what is live was made from the newest commit, and the store knows it.
switch_live() {
  "$program" --socket "$socket" status --json push | jq -e --arg commit "$(git -C "$work/switch-dev" rev-parse HEAD)" \
    '.repos[] | select(.name == "push") | .live.commit == $commit and .bakes_until != null' >/dev/null
}

# Whether a way back has ended: nothing is next any more, and the colour that was left is at rest.
switch_rests() {
  "$program" --socket "$socket" status --json push | jq -e '.repos[] | select(.name == "push") | .next == null and .bakes_until == null' >/dev/null
}
