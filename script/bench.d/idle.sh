# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench, whose variables it shares
# (c) What a daemon that has nothing to do keeps in memory.

idle() {
  say "(c) Idle memory with 100 repositories"
  local n hook_port rss_turnout pss_turnout rss_webhook
  mkdir -p "$work/srv" "$work/small"
  [ -d "$work/ten-srv" ] || {
    ten_services >"$work/small/docker-compose.prod.yml"
    make_remote "$work/small" "$work/ten.git" "$work/ten-dev"
    git clone -q "$work/ten.git" "$work/ten-srv"
    printf 'COLOR=red\nDEBUG=false\n' >"$work/ten-srv/.env"
  }
  echo "repos:" >"$work/hundred.yaml"
  jq -n --arg secret "$secret" '[range(100) as $n | {id: "deploy\($n)", "execute-command": "/bin/true", "trigger-rule":
    {match: {type: "payload-hmac-sha256", $secret, parameter: {source: "header", name: "X-Hub-Signature-256"}}}}]' >"$work/hundred.json"
  for ((n = 0; n < 100; n++)); do
    cp -r "$work/ten-srv" "$work/srv/repo$n"
    printf '  repo%s: %s/srv/repo%s\n' "$n" "$work" "$n" >>"$work/hundred.yaml"
  done
  serve hundred "$work/hundred.yaml"
  come_to_rest "$daemon"
  rss_turnout=$(rss "$daemon") pss_turnout=$(pss "$daemon")
  retire "$daemon"
  hook_port=$(free_port)
  webhook -hooks "$work/hundred.json" -ip 127.0.0.1 -port "$hook_port" >"$work/webhook.out" 2>&1 8>&- 9>&- &
  local peer=$!
  pids+=("$peer")
  come_to_rest "$peer"
  rss_webhook=$(rss "$peer")
  retire "$peer"
  row "idle memory, 100 repositories" "$(mb "$rss_turnout") MiB" "$(mb "$rss_webhook") MiB (\`webhook\`, 100 hooks)" \
    "$(divide "$rss_turnout" "$rss_webhook")" "at most 20 MB" "$(verdict $((rss_turnout * 1024)) '<=' 20000000)"
  method "Idle memory" <<END
\`VmRSS\` once it has not changed for three seconds after the start, with 100 repositories in
\`repos.yaml\` (100 clones on disk), respectively 100 hooks. Proportional set size of turnout: $(mb "$pss_turnout") MiB.
END
}

rss() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
pss() { awk '/^Pss:/ {print $2}' "/proc/$1/smaps_rollup" 2>/dev/null || echo 0; }
mb() { awk -v kb="$1" 'BEGIN { printf "%.1f", kb / 1024 }'; }
# Idle: its memory has been the same for three seconds.
at_rest() {
  local now
  now=$(rss "$1")
  [ "$now" = "${last_rss:-}" ] && still=$((still + 1)) || still=0
  last_rss=$now
  [ "$still" -ge 15 ]
}
come_to_rest() {
  last_rss='' still=0
  wait_for 60 at_rest "$1" || note "memory of $1 did not come to rest in 60 s"
}
