# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench, whose variables it shares
# (g) Good deliveries while somebody else besieges the port, and what it costs in memory, against `webhook`.

# MiB that turnout may have in memory under any of these; docs/security.md states it.
siege_bound=192

siege() {
  say "(g) Good deliveries under siege"
  local scenario contender taken of slowest memory
  push_payload acme/shop "$(printf '1%.0s' {1..40})" "$(printf '2%.0s' {1..40})" 5 >"$work/body"
  siege_hooks
  local silent
  silent=$(free_port)
  busybox nc -ll -p "$silent" -e "$(command -v sleep)" 3600 8>&- 9>&- &
  pids+=($!)
  mkdir -p "$work/srv"
  printf 'repos:\n  shop:\n    path: %s/srv/shop\n    remote: http://127.0.0.1:%s/shop.git\n    branch: main\n    full_name: acme/shop\n' \
    "$work" "$silent" >"$work/siege.yaml"
  # The repository that is pushed to has a secret of its own, so that what is unproven must be looked through.
  { cat "$work/siege.yaml"; printf '    secret_env: OWN\n'; } >"$work/siege-own.yaml"

  {
    printf '\n## Under siege\n\n'
    echo '| deliveries answered of 20, slowest answer, peak of memory | turnout | turnout, secret of the repository | webhook |'
    echo '|---|---|---|---|'
  } >>"$work/tables"
  : >"$work/siege"
  for scenario in quiet half64 half2000 idle2000 chunks64 wrong unsigned25 wrong25 signed25; do
    local cells=""
    for contender in turnout own webhook; do
      "besieged_$contender" "$scenario"
      if python3 "$root/script/bench.d/siege.py" "$scenario" "$url" "$contender_pid" "$siege_secret" "$work/body" \
        >"$work/said" 2>"$work/siege.err"; then
        read -r taken of slowest memory <"$work/said"
        cells+=" $taken of $of, $slowest ms, $memory MiB |"
        [ "$contender" = webhook ] || echo "$taken $of $slowest $memory" >>"$work/siege"
      else
        [ "$contender" = webhook ] || { cat "$work/siege.err"; die "siege $scenario of $contender failed"; }
        cells+=" no answer |"
      fi
      retire "$contender_pid"
      note "$scenario, $contender: $(cat "$work/said")"
    done
    echo "| $(siege_words "$scenario") |$cells" >>"$work/tables"
  done
  echo >>"$work/tables"
  local all=no lost slow most
  lost=$(awk '{ n += $2 - $1 } END { print n }' "$work/siege")
  slow=$(sort -n -k 3 "$work/siege" | awk 'END { print $3 }') most=$(sort -n -k 4 "$work/siege" | awk 'END { print $4 }')
  row "under siege: good deliveries lost, slowest answer" "$lost, $slow ms" - - 'none, below 1000 ms' \
    "$([ "$lost" -eq 0 ] && [ "$slow" -lt 1000 ] && echo yes || echo '**no**')"
  row "under siege: peak of memory" "$most MiB" - - "at most $siege_bound MiB" \
    "$([ "$most" -le "$siege_bound" ] && echo yes || echo '**no**')"
  method "Siege" <<'END'
`script/bench.d/siege.py` besieges one server from one address while twenty signed pushes are delivered, one every tenth
of a second, each over a connection of its own; a delivery without an answer after 15 seconds is lost. Who is cut off
comes again after a second. Large bodies are 25 MB of lists in lists, eight at one time; bodies
in chunks of a byte have half a million of them. Memory is the server's peak of
resident memory during the scenario (`VmHWM`). The second column is turnout with a secret of that one repository, where
a body must be looked through before it is known whose secret is to prove it. webhook runs with its settings as they
come.
END
}

siege_words() {
  case $1 in
    quiet) echo "no siege" ;;
    half64) echo "64 half-sent bodies" ;;
    half2000) echo "2,000 half-sent bodies" ;;
    idle2000) echo "2,000 idle connections" ;;
    chunks64) echo "64 bodies in chunks of a byte" ;;
    wrong) echo "a flood of wrong signatures" ;;
    unsigned25) echo "25 MB bodies, unsigned" ;;
    wrong25) echo "25 MB bodies, wrongly signed" ;;
    signed25) echo "25 MB bodies, signed" ;;
  esac
}

siege_hooks() {
  cat >"$work/hooks.json" <<END
[{"id": "deploy", "execute-command": "/bin/true", "response-message": "accepted", "trigger-rule": {"and": [
  {"match": {"type": "payload-hmac-sha256", "secret": "$secret", "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
  {"match": {"type": "value", "value": "refs/heads/main", "parameter": {"source": "payload", "name": "ref"}}}]}}]
END
}

# besieged_CONTENDER SCENARIO: sets $url, $contender_pid and $siege_secret.
besieged_turnout() {
  serve "siege-$1" "$work/siege.yaml"
  url=http://127.0.0.1:$port/webhook contender_pid=$daemon siege_secret=$secret
}
besieged_own() {
  OWN=the-repository-has-its-own serve "siege-own-$1" "$work/siege-own.yaml"
  url=http://127.0.0.1:$port/webhook contender_pid=$daemon siege_secret=the-repository-has-its-own
}
besieged_webhook() {
  local hook_port
  hook_port=$(free_port)
  webhook -hooks "$work/hooks.json" -ip 127.0.0.1 -port "$hook_port" >"$work/webhook.out" 2>&1 8>&- 9>&- &
  contender_pid=$! url=http://127.0.0.1:$hook_port/hooks/deploy siege_secret=$secret
  pids+=("$contender_pid")
  wait_for 20 curl -sS -o /dev/null "http://127.0.0.1:$hook_port/" || die "webhook does not answer"
}
