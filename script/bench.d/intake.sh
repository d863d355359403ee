# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench, whose variables it shares
# (b) How many signed pushes are taken in, each on disk before its answer, against `webhook`.

intake() {
  say "(b) Webhook intake, $connections connections"
  local commits round contender kind most=$((seconds * 40000))
  # As many commits as make an ordinary push of 8.5 kB. Its last member is a number, which makes every push another one.
  for commits in {1..20}; do
    push_payload acme/shop "$(printf '1%.0s' {1..40})" "$(printf '2%.0s' {1..40})" "$commits" >"$work/next"
    [ "$(stat -c %s "$work/next")" -le 8500 ] || break
    mv "$work/next" "$work/body"
  done
  printf '%s,"number":"' "$(sed 's/}$//' "$work/body")" >"$work/prefix"
  signatures "$work/prefix" "$most" >"$work/signatures"
  # The first one is for trying a server before it is measured.
  { cat "$work/prefix"; printf '%09d"}' 0; } >"$work/body"
  body_bytes=$(stat -c %s "$work/body")
  [ "$(signature "$secret" "$work/body")" = "sha256=$(head -n 1 "$work/signatures")" ] || die "the signatures are wrong"

  cat >"$work/push.lua" <<END
local distinct = os.getenv("BENCH_KIND") == "distinct"
local function read(name) local file = io.open(name, "rb"); local all = file:read("*a"); file:close(); return all end
local threads, each = 0, math.floor($most / 2)
function setup(thread) thread:set("number", threads); threads = threads + 1 end
local prefix, signatures, at, last, count
function init()
  prefix, signatures, count = read("$work/prefix"), read("$work/signatures"), 0
  at = number * each + 1
  last = (number + 1) * each
end
function request()
  if at >= last then error("no signed pushes left") end
  local body, mac = prefix .. string.format('%09d"}', at), string.sub(signatures, at * 65 + 1, at * 65 + 64)
  count = count + 1
  if distinct then at = at + 1 end
  return wrk.format("POST", nil, {
    ["Content-Type"] = "application/json", ["X-GitHub-Event"] = "push",
    ["X-GitHub-Delivery"] = string.format("%s-%d-%d", os.getenv("BENCH_ROUND"), number, count),
    ["X-Hub-Signature-256"] = "sha256=" .. mac,
  }, body)
end
END
  cat >"$work/hooks.json" <<END
[{"id": "deploy", "execute-command": "/bin/true", "response-message": "accepted", "trigger-rule": {"and": [
  {"match": {"type": "payload-hmac-sha256", "secret": "$secret", "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
  {"match": {"type": "value", "value": "refs/heads/main", "parameter": {"source": "payload", "name": "ref"}}}]}}]
END
  # The lane is kept busy by a remote that accepts and never answers: pushes are recorded and coalesced, as during any
  # deployment, and no deployment's own work is measured. /bin/true is the least that webhook can be told to do.
  local silent
  silent=$(free_port)
  busybox nc -ll -p "$silent" -e "$(command -v sleep)" 3600 8>&- 9>&- &
  pids+=($!)
  mkdir -p "$work/srv"
  printf 'repos:\n  shop:\n    path: %s/srv/shop\n    remote: http://127.0.0.1:%s/shop.git\n    branch: main\n    full_name: acme/shop\n' \
    "$work" "$silent" >"$work/intake.yaml"

  # Only the one that is measured runs: webhook goes on starting programs long after its last answer.
  for kind in distinct repeats; do
    for round in 1 2 3; do
      for contender in turnout webhook; do
        "start_$contender" "$kind$round"
        BENCH_KIND=$kind BENCH_ROUND=$kind-$round-$contender-$$ wrk -t2 -c"$connections" -d"${seconds}s" --latency \
          -s "$work/push.lua" "$url" >"$work/wrk" 2>&1 || { cat "$work/wrk"; die "wrk failed"; }
        if grep -Eq 'Non-2xx|Socket errors|signed pushes left' "$work/wrk"; then cat "$work/wrk"; die "$contender refused some of the pushes"; fi
        awk '/^Requests\/sec/ {print $2}' "$work/wrk" >>"$work/$kind.$contender.rps"
        awk '/^ +99%/ {v = $2; if (v ~ /us$/) f = 0.001; else if (v ~ /ms$/) f = 1; else f = 1000; print v * f}' "$work/wrk" >>"$work/$kind.$contender.p99"
        retire "$contender_pid"
        wait_for 60 none_runs || true
      done
    done
    local rps p99 peer_rps peer_p99 what="webhook intake"
    [ "$kind" = distinct ] || what="webhook intake of repeats"
    rps=$(median "$work/$kind.turnout.rps") p99=$(median "$work/$kind.turnout.p99")
    peer_rps=$(median "$work/$kind.webhook.rps") peer_p99=$(median "$work/$kind.webhook.p99")
    figure "$what, requests a second" "$rps" "$peer_rps (\`webhook\`)" "$(divide "$rps" "$peer_rps")" '>=' 2
    figure "$what, 99th percentile" "$p99 ms" "$peer_p99 ms (\`webhook\`)" "$(divide "$p99" "$peer_p99")" '<' 0.5
  done
  method "Intake" <<END
\`wrk\` with 2 threads and $connections connections posts signed pushes of $body_bytes bytes, each with a delivery number of its own, to
either server in turn, three times $seconds seconds each; medians (turnout: $(spread "$work/distinct.turnout.rps") requests a second, 99th
percentile $(spread "$work/distinct.turnout.p99") ms; webhook: $(spread "$work/distinct.webhook.rps") and $(spread "$work/distinct.webhook.p99") ms).
Every push is another one, signed before the measurement, and queues a deployment that supersedes the one before it;
the lane is busy all the time with a git remote that never answers. For the repeats one thread sends one and the same
push again and again, which turnout records as a repeat of the first. turnout verifies and records on disk before it
answers. webhook verifies the HMAC and the branch, and runs \`/bin/true\`. Each server runs alone, started before its turn
and ended after it: webhook was seen to go on starting about 700 programs a second for seconds after its last answer.
Any answer outside 200–299 fails the script.
END
}

# signatures FILE COUNT: one hexadecimal HMAC a line, for FILE with each number from 0 appended as in the push.
signatures() {
  python3 - "$secret" "$1" "$2" <<'END'
import hmac, sys
secret, prefix, count = sys.argv[1].encode(), open(sys.argv[2], "rb").read(), int(sys.argv[3])
begun = hmac.new(secret, prefix, "sha256")
for number in range(count):
    mac = begun.copy()
    mac.update(b'%09d"}' % number)
    sys.stdout.write(mac.hexdigest() + "\n")
END
}

post() {
  curl -sS -o "$work/said" -w '%{http_code}' -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' \
    -H "X-GitHub-Delivery: first-$RANDOM" -H "X-Hub-Signature-256: $2" --data-binary "@$work/body" "$1"
}
answers() { [ "$(post "$1" "$2" 2>/dev/null)" = "$3" ]; }

# start_CONTENDER ROUND: sets $url and $contender_pid, once it takes the push and refuses a wrong signature.
start_turnout() {
  serve "intake$1" "$work/intake.yaml"
  url=http://127.0.0.1:$port/webhook contender_pid=$daemon
  wait_for 20 answers "$url" "$(signature "$secret" "$work/body")" 202 || { cat "$work/said"; die "turnout does not accept the push"; }
  answers "$url" sha256=00 401 || die "turnout accepts a wrong signature"
}
start_webhook() {
  local hook_port
  hook_port=$(free_port)
  webhook -hooks "$work/hooks.json" -ip 127.0.0.1 -port "$hook_port" >"$work/webhook.out" 2>&1 8>&- 9>&- &
  contender_pid=$! url=http://127.0.0.1:$hook_port/hooks/deploy
  pids+=("$contender_pid")
  wait_for 20 answers "$url" "$(signature "$secret" "$work/body")" 200 || die "webhook does not accept the push"
  [ "$(post "$url" sha256=00)" != 200 ] || grep -q 'not satisfied' "$work/said" || die "webhook accepts a wrong signature"
}
none_runs() { ! pgrep -x true >/dev/null; }
