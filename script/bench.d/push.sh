# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # sourced by script/bench, whose variables it shares
# (f) From a push to the word that it runs, against the same steps by hand.

push() {
  local by_hand="git pull && docker compose up -d --build --wait"
  say "(f) From an accepted push to its verdict"
  mkdir -p "$work/push/site"
  push_services >"$work/push/docker-compose.prod.yml"
  printf 'FROM %s\nRUN mkdir /www\nCOPY index.html /www/\nCMD ["httpd", "-f", "-p", "8080", "-h", "/www"]\n' \
    "$TURNOUT_TEST_BASE" >"$work/push/site/Dockerfile"
  echo 'version 0' >"$work/push/site/index.html"
  local who round kind name=push-$TURNOUT_TEST_RUN
  for who in ours theirs; do
    make_remote "$work/push" "$work/push-$who.git" "$work/push-$who-dev"
    git clone -q "$work/push-$who.git" "$work/push-$who"
    printf 'COLOR=red\nDEBUG=false\n' >"$work/push-$who/.env"
  done
  # With no time to settle, both wait for the same: that containers run, and are healthy where they say so.
  push_repos 0s >"$work/push.yaml"
  serve push-home "$work/push.yaml"
  "$program" --socket "$socket" deploy push >"$work/said" 2>&1 || { cat "$work/said"; die "the first deployment failed"; }
  hand_compose() { docker compose --project-directory "$work/push-theirs" -f "$work/push-theirs/docker-compose.prod.yml" -p "hand$name" "$@"; }
  pull_and_up() { git -C "$work/push-theirs" pull -q && hand_compose up -d --build --wait; }
  [ -z "$compose_version" ] || milliseconds pull_and_up >/dev/null

  # Round 0 warms both up and is not counted.
  for ((round = 0; round <= rounds; round++)); do
    for kind in unchanged changed; do
      for who in ours ${compose_version:+theirs}; do one_push "$who" "$kind" "$round"; done
    done
  done
  retire "$daemon"
  # As it is without being told: judged by the health check, which looks each second.
  push_repos >"$work/push.yaml"
  serve push-settling "$work/push.yaml"
  for round in 1 2 3; do one_push ours settled "$round"; done
  retire "$daemon"
  # The same without one: nobody speaks for the container, so it must stay up for a while.
  push_services unchecked >"$work/push-ours-dev/docker-compose.prod.yml"
  serve push-unchecked "$work/push.yaml"
  for round in 1 2 3; do one_push ours unchecked "$round"; done
  retire "$daemon"
  [ -z "$compose_version" ] || hand_compose down --rmi local >/dev/null 2>&1
  remove_objects "$name"

  local ours theirs words
  for kind in unchanged changed; do
    words="a push that changes no image"
    [ $kind = unchanged ] || words="a push that changes an image"
    ours=$(median "$work/push-$kind-ours")
    if [ -n "$compose_version" ]; then
      theirs=$(median "$work/push-$kind-theirs")
      row "$words, to its verdict" "$ours ms" "$theirs ms (by hand)" "$(divide "$ours" "$theirs")" "beside it" -
    else
      row "$words, to its verdict" "$ours ms" "not measured: the docker compose plugin is not installed" - "beside it" -
    fi
  done
  row "the same with the settle time that is the default" "$(median "$work/push-settled-ours") ms" "does not watch" - "beside it" -
  row "the same, and no health check" "$(median "$work/push-unchecked-ours") ms" "does not watch" - "beside it" -
  method "From a push to its verdict" <<END
Two services, one of them built (\`FROM\`, \`RUN\`, \`COPY\`) and with a health check each second, in two stacks from two
clones of two equal remotes. In turn a commit is pushed and delivered to turnout as a signed webhook, and one is brought up by
hand: \`$by_hand\`; $rounds times each after one round to warm up,
once with a file that no image holds and once with one that it does. Medians of the time from sending the webhook until
the deployment's end was told, and of the wall time of the two commands
(turnout: $(spread "$work/push-unchanged-ours") and $(spread "$work/push-changed-ours") ms$([ -z "$compose_version" ] ||
    echo "; by hand: $(spread "$work/push-unchanged-theirs") and $(spread "$work/push-changed-theirs") ms")).
\`timeouts: { settle: 0s }\`, so that both wait for the same: that everything runs and is healthy. By default turnout also
watches for 10 s whether what was started without a health check stays up: with the check that costs nothing, without it
the 10 s (three pushes each that change an image).
The script fails if what is served afterwards is not what was pushed.
END
}

# push_repos [SETTLE]: the list of repositories.
push_repos() {
  printf 'repos:\n  push:\n    path: %s\n    remote: %s\n    branch: main\n    full_name: acme/push\n    project: %s\n' \
    "$work/push-ours" "$work/push-ours.git" "$name"
  [ -z "${1-}" ] || printf '    timeouts: { settle: %s }\n' "$1"
}

# one_push WHO KIND ROUND: changes a file and brings it up; the time goes into a file of the kind.
one_push() {
  local who=$1 kind=$2 round=$3 dev=$work/push-$1-dev before took
  before=$(git -C "$dev" rev-parse HEAD)
  case $kind in
    unchanged) echo "round $round" >"$dev/notes.txt" ;;
    *) echo "version $round, $kind, of $who" >"$dev/site/index.html" ;;
  esac
  git_push "$dev" "Round $round, $kind"
  if [ "$who" = ours ]; then took=$(pushed "$before" "$(git -C "$dev" rev-parse HEAD)"); else took=$(milliseconds pull_and_up); fi
  [ "$round" = 0 ] || echo "$took" >>"$work/push-$kind-$who"
  serves "$who" "$dev" || die "$who: what runs is not what was pushed ($kind, round $round)"
}

# push_services [unchecked]: the Compose file.
push_services() {
  cat <<END
services:
  web:
    build: ./site
    init: true
    stop_grace_period: 1s
$([ "${1-}" = unchecked ] || printf '    healthcheck: { test: ["CMD", "wget", "-qO-", "http://127.0.0.1:8080/"], interval: 1s }\n')
  aside:
    image: $TURNOUT_TEST_BASE
    command: ["sleep", "1000000"]
    init: true
END
}

# pushed BEFORE AFTER: delivers a push and waits for the end of its deployment; the time in milliseconds.
pushed() {
  push_payload acme/push "$1" "$2" >"$work/body"
  local mac from to number
  mac=$(signature "$secret" "$work/body")
  from=$EPOCHREALTIME
  number=$(curl -fsS -H 'content-type: application/json' -H 'x-github-event: push' -H "x-github-delivery: $2" \
    -H "x-hub-signature-256: $mac" --data-binary "@$work/body" "http://127.0.0.1:$port/webhook" | jq -er .deployment) ||
    die "the push was not accepted"
  curl -fsS --unix-socket "$socket" "http://localhost/v1/deployments/$number/log?follow=true" >"$work/followed"
  to=$EPOCHREALTIME
  tail -n 1 "$work/followed" | jq -e '.ended.state == "succeeded"' >/dev/null ||
    { cat "$work/followed" >&2; die "the deployment failed"; }
  awk -v us=$((${to/./} - ${from/./})) 'BEGIN { printf "%.2f\n", us / 1e3 }'
}

# serves WHO DEV: whether the stack serves what was pushed to it.
serves() {
  local project=red$name id
  [ "$1" = ours ] || project=hand$name
  id=$(docker ps -q --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=web)
  docker exec "$id" cat /www/index.html | cmp -s - "$2/site/index.html"
}
