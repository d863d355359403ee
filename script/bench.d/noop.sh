# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # sourced by script/bench, whose variables it shares
# (a) A deployment that changes nothing, against `docker compose up -d` that changes nothing.

noop() {
  say "(a) No-op deployment of 10 services"
  mkdir -p "$work/ten"
  ten_services >"$work/ten/docker-compose.prod.yml"
  make_remote "$work/ten" "$work/ten.git" "$work/ten-dev"
  git clone -q "$work/ten.git" "$work/ten-srv"
  printf 'COLOR=red\nDEBUG=false\n' >"$work/ten-srv/.env"
  local project=ten-$TURNOUT_TEST_RUN round contender took running
  printf 'repos:\n  ten:\n    path: %s\n    project: %s\n' "$work/ten-srv" "$project" >"$work/ten.yaml"
  serve noop "$work/ten.yaml"
  "$program" --socket "$socket" deploy ten >"$work/said" 2>&1 || { cat "$work/said"; die "the first deployment failed"; }
  running=$(containers "red$project")
  [ "$(wc -l <<<"$running")" = 10 ] || die "the first deployment did not make 10 containers"

  compose_up() { docker compose --project-directory "$work/ten-srv" -f "$work/ten-srv/docker-compose.prod.yml" -p "red$project" up -d; }
  turnout_deploy() { "$program" --socket "$socket" deploy ten; }
  for ((round = 0; round <= rounds; round++)); do
    # Round 0 warms both up and is not counted.
    for contender in turnout_deploy ${compose_version:+compose_up}; do
      took=$(milliseconds "$contender")
      [ $round = 0 ] || echo "$took" >>"$work/$contender"
    done
  done
  [ "$running" = "$(containers "red$project")" ] || die "a no-op run changed containers: these are no no-ops"
  retire "$daemon"
  remove_objects "$project"

  local ours theirs
  ours=$(median "$work/turnout_deploy")
  if [ -n "$compose_version" ]; then
    theirs=$(median "$work/compose_up")
    figure "no-op deployment, 10 services" "$ours ms" "$theirs ms (\`docker compose up -d\`)" "$(divide "$ours" "$theirs")" '<=' 0.25
  else
    figure "no-op deployment, 10 services" "$ours ms" "not measured: the docker compose plugin is not installed" - '<=' 0.25
  fi
  method "No-op deployment" <<END
A project of 10 services (one image, a chain of \`depends_on\`) is deployed once by turnout. Then
\`turnout deploy\`, against a running daemon, and \`docker compose up -d\` take turns on that same project, $rounds times each
after one round to warm up; the figures are medians of the wall time of the whole command (turnout: $(spread "$work/turnout_deploy") ms$([ -z "$compose_version" ] || echo "; compose: $(spread "$work/compose_up") ms")).
turnout's part includes fetching from the git remote, the decision, and recording the deployment; compose's does not.
The script fails if any container is not the same afterwards.
END
}

ten_services() {
  local n
  echo "services:"
  for n in 1 2 3 4 5 6 7 8 9 10; do
    printf '  service%s:\n    image: %s\n    command: ["sleep", "1000000"]\n    init: true\n' "$n" "$TURNOUT_TEST_BASE"
    printf '    environment:\n      NUMBER: "%s"\n      LOG_LEVEL: info\n    labels:\n      role: bench\n' "$n"
    [ "$n" = 1 ] || printf '    depends_on: [service%s]\n' $((n - 1))
  done
}
