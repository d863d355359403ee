# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench, whose variables it shares
# (d) `turnout compose` against `docker compose`: time and peak memory, and how both grow with the project.

compose() {
  if [ -z "$compose_version" ]; then
    note "NOT RUN: the Compose figures, as the docker compose plugin is not installed here"
    method "Compose" <<<"Not measured: the docker compose plugin is not installed here."
    return
  fi
  helpers
  configs
  grow
}

turnout_compose() { "$program" compose "$@"; }
docker_compose() { docker compose "$@"; }

# measured NAME TOOL ARGUMENT...: wall time to NAME.TOOL.ms, peak memory of the largest process to NAME.TOOL.kb.
measured() {
  local name=$1 tool=$2 program_of took peak
  shift 2
  case $tool in turnout) program_of=("$program" compose) ;; docker) program_of=(docker compose) ;; esac
  "$measuring" "$work/took" "${program_of[@]}" "$@" >"$work/said" 2>&1 || {
    # With many containers docker compose's own down was seen to come before the last one has left the network.
    if [ "$tool" != docker ] || [ "${*: -1}" != down ]; then
      cat "$work/said"
      die "failed: ${program_of[*]} $*"
    fi
    note "docker compose down failed, is not counted and is done again: $(tail -n 1 "$work/said" | cut -c1-160)"
    echo "$name" >>"$work/failed-downs"
    wait_for 60 docker compose "$@" >"$work/said" 2>&1
    return 0
  }
  read -r took peak <"$work/took"
  echo "$took" >>"$work/$name.$tool.ms"
  echo "$peak" >>"$work/$name.$tool.kb"
}
# warmed NAME TOOL ARGUMENT...: the same right after an uncounted `config`. A kernel that takes back memory which nobody
# has touched for half a minute would otherwise have the larger projects measure the reading of programs from the disk.
warmed() {
  local tool=$2
  if [ "$tool" = turnout ]; then
    turnout_compose "${@:3:4}" config >"$work/said" 2>&1
  else
    docker_compose "${@:3:4}" config >"$work/said" 2>&1
  fi
  measured "$@"
}
total() { awk '{ sum += $1 } END { printf "%.1f", sum }' "$1"; }
mib() { awk -v kb="$1" 'BEGIN { printf "%.1f MiB", kb / 1024 }'; }

# ---------------------------------------------------------------- config

configs() {
  say "(d) config of published stacks"
  local corpus=${TURNOUT_SHARED:-$root/../shared}/compose-corpus case directory argument count=0 round tool
  [ -d "$corpus/cases" ] || {
    note "NOT RUN: config of published stacks, as $corpus is not there"
    method "config" <<<"Not measured: the collection of published stacks was not at hand."
    return
  }
  for case in "$corpus"/cases/{real-world,awesome-compose}/*/case.json; do
    [ "$(jq -r .expect "$case")" = ok ] || continue
    mapfile -t arguments < <(jq -r '[(.project_name // empty | "--project-name", .),
      (.project_directory // empty | "--project-directory", .), (.env_files[] | "--env-file", .),
      (.profiles[] | "--profile", .), (.compose_files[] | "-f", .), "config", .config_flags[]] | .[]' "$case")
    mapfile -t variables < <(jq -r '.env | del(.HOME, .PATH) | to_entries[] | "\(.key)=\(.value)"' "$case")
    directory=$work/stacks/proj
    rm -rf "$work/stacks" && mkdir -p "$work/stacks" && cp -r "$(dirname "$case")/project" "$directory"
    for round in 1 2 3; do
      for tool in turnout docker; do
        (
          cd "$directory" || exit
          for argument in "${variables[@]}"; do export "${argument?}"; done
          # The first round warms both up.
          measured "config.$round" "$tool" "${arguments[@]}"
        ) || die "config of $case"
      done
    done
    count=$((count + 1))
  done
  cat "$work"/config.[23].turnout.ms >"$work/config.turnout.ms"
  cat "$work"/config.[23].docker.ms >"$work/config.docker.ms"
  cat "$work"/config.[23].turnout.kb >"$work/config.turnout.kb"
  cat "$work"/config.[23].docker.kb >"$work/config.docker.kb"
  figure "\`config\`, $count published stacks" "$(median "$work/config.turnout.ms") ms" \
    "$(median "$work/config.docker.ms") ms (\`docker compose\`)" \
    "$(divide "$(total "$work/config.turnout.ms")" "$(total "$work/config.docker.ms")")" '<=' 0.05
  figure "\`config\`, peak memory" "$(mib "$(median "$work/config.turnout.kb")")" \
    "$(mib "$(median "$work/config.docker.kb")") (\`docker compose\`)" \
    "$(divide "$(total "$work/config.turnout.kb")" "$(total "$work/config.docker.kb")")" '<=' 0.25
  method "config" <<END
\`turnout compose config\` and \`docker compose config\` take turns on each of $count stacks as their projects publish
them, twice after one round to warm up, each started and timed by \`examples/measured.rs\` (earlier pages: by a shell that
started GNU time, 2 ms more for either). The columns show the median of one command (process start included; turnout:
$(spread "$work/config.turnout.ms") ms, docker compose: $(spread "$work/config.docker.ms") ms), the ratio is that of
the sums. Peak memory is the largest resident set of any one process of the command, as wait4(2) tells it; for
\`docker compose\` that leaves out the smaller of \`docker\` and its plugin.
END
}

# ---------------------------------------------------------------- up and down

# services COUNT VALUE FILE: a project of that many services; VALUE is an environment value of the middle one.
services() {
  local n middle=$((($1 + 1) / 2)) value
  {
    echo "services:"
    for ((n = 1; n <= $1; n++)); do
      value=constant
      [ "$n" != "$middle" ] || value=$2
      printf '  service%s:\n    image: %s\n    command: ["sleep", "1000000"]\n    init: true\n' "$n" "$TURNOUT_TEST_BASE"
      printf '    environment:\n      NUMBER: "%s"\n      VALUE: "%s"\n    labels:\n      role: bench\n' "$n" "$value"
    done
  } >"$3"
}

grow() {
  local size round tool times again file project=grow-$TURNOUT_TEST_RUN value=0 before
  local -A rounds_of=([1]=3 [10]=7 [50]=2 [100]=2)
  local sizes=(1 10 50 100)
  # shellcheck disable=SC2206 # a list of numbers, on purpose
  [ -z "${BENCH_SIZES:-}" ] || sizes=($BENCH_SIZES)
  [[ ${BENCH_TIMES:-1} =~ ^[1-9][0-9]*$ ]] || die "BENCH_TIMES is '$BENCH_TIMES', not one number of rounds"
  for size in "${sizes[@]}"; do
    say "(d) up and down, $size services"
    file=$work/grow$size.yaml
    times=${BENCH_TIMES:-${rounds_of[$size]:-3}}
    for ((round = 0; round < times; round++)); do
      for tool in turnout docker; do
        services "$size" "$((value += 1))" "$file"
        [ "$size" != 10 ] || raw_calls_once
        warmed "up.$size" "$tool" -p "$project" -f "$file" up -d
        [ "$(containers "$project" | wc -l)" = "$size" ] || die "$tool did not make $size containers"
        before=$(containers "$project")
        # Of the larger ones there are few rounds, and this is soon done.
        for ((again = size < 50 ? 5 : 1; again <= 5; again++)); do warmed "noop.$size" "$tool" -p "$project" -f "$file" up -d; done
        [ "$before" = "$(containers "$project")" ] || die "$tool changed containers with nothing to do"
        services "$size" "$((value += 1))" "$file"
        warmed "change.$size" "$tool" -p "$project" -f "$file" up -d
        [ "$(comm -13 <(echo "$before") <(containers "$project") | wc -l)" = 1 ] || die "$tool did not change one container"
        warmed "config.$size" "$tool" -p "$project" -f "$file" config
        warmed "down.$size" "$tool" -p "$project" -f "$file" down
        [ -z "$(containers "$project")" ] || die "$tool left containers"
      done
    done
  done
  compose_page "${sizes[@]}"
}

# ratio NAME UNIT: of the medians. both NAME UNIT WORD: the medians, as two cells.
ratio() { divide "$(median "$work/$1.turnout.$2")" "$(median "$work/$1.docker.$2")"; }
ours() { echo "$(median "$work/$1.turnout.ms") ms"; }
theirs() { echo "$(median "$work/$1.docker.ms") ms (\`docker compose\`)"; }

# share NAME RAW...: what these raw calls take together, of docker compose's time for NAME.
share() {
  local name=$1 raw sum=0
  shift
  for raw in "$@"; do sum=$(awk -v a="$sum" -v b="$(median "$work/raw.$raw.ms")" 'BEGIN { print a + b }'); done
  divide "$sum" "$(median "$work/$name.docker.ms")"
}

compose_page() {
  local size name words rounds_said=''
  for size in "$@"; do
    rounds_said+=${rounds_said:+, }"$(wc -l <"$work/noop.$size.turnout.ms") times for $size"
  done
  rounds_said+=" services"
  for size in 10 50 100; do
    [ -f "$work/noop.$size.turnout.ms" ] || continue
    figure "\`up -d\` with nothing to do, $size services" "$(ours "noop.$size")" "$(theirs "noop.$size")" "$(ratio "noop.$size" ms)" '<=' 0.10
  done
  if [ -f "$work/up.10.turnout.ms" ]; then
    figure "\`up -d\` from nothing, 10 services" "$(ours up.10)" "$(theirs up.10)" "$(ratio up.10 ms)" '<=' 0.80
    figure "the same against ten raw create and start calls side by side" "$(ours up.10)" "$(median "$work/raw.up.ms") ms (the calls)" \
      "$(divide "$(median "$work/up.10.turnout.ms")" "$(median "$work/raw.up.ms")")" '<=' 1.15
    figure "\`down\`, 10 services" "$(ours down.10)" "$(theirs down.10)" "$(ratio down.10 ms)" '<=' 0.80
    figure "peak memory of \`up -d\` from nothing, 10 services" "$(mib "$(median "$work/up.10.turnout.kb")")" \
      "$(mib "$(median "$work/up.10.docker.kb")") (\`docker compose\`)" "$(ratio up.10 kb)" '<=' 0.3
  fi
  [ ! -f "$work/change.50.turnout.ms" ] ||
    figure "changing one of 50 services" "$(ours change.50)" "$(theirs change.50)" "$(ratio change.50 ms)" '<=' 0.30
  if [ -f "$work/raw.up.ms" ]; then
    cat <<END >>"$work/tables"
## The engine's own part

What the same work costs with nothing but the calls to the engine (medians, and from the least to the most): creating
and starting ten containers $(median "$work/raw.up.ms") ms ($(spread "$work/raw.up.ms")), replacing one
$(median "$work/raw.change.ms") ms ($(spread "$work/raw.change.ms")), stopping and removing ten $(median "$work/raw.down.ms") ms
($(spread "$work/raw.down.ms")), making and removing their network $(median "$work/raw.made.ms") and
$(median "$work/raw.removed.ms") ms. Nobody who uses the engine so can be faster than that.

| 10 services, of docker compose's time | the calls alone | turnout |
|---|---|---|
| \`up -d\` from nothing, with the network | $(share up.10 up made) | $(ratio up.10 ms) |
| \`up -d\`, one changed | $(share change.10 change) | $(ratio change.10 ms) |
| \`down\`, with the network | $(share down.10 down removed) | $(ratio down.10 ms) |

END
  fi
  {
    echo "## Growth with the number of services"
    echo
    echo "turnout / docker compose (ratio): medians of wall time in ms, then of peak memory in MiB."
    echo
    printf '|'
    for size in "" "$@"; do printf ' %s |' "$size"; done
    printf '\n|---|'
    for size in "$@"; do printf '%s' '---|'; done
    echo
    for name in config:config "up:up -d from nothing" "noop:up -d, nothing to do" "change:up -d, one changed" down:down; do
      words=${name#*:} name=${name%%:*}
      printf '| %s, ms |' "$words"
      for size in "$@"; do
        awk -v a="$(median "$work/$name.$size.turnout.ms")" -v b="$(median "$work/$name.$size.docker.ms")" \
          'BEGIN { printf " %.0f / %.0f (%.2f) |", a, b, a / b }'
      done
      echo
    done
    for name in "up:up -d from nothing" "noop:up -d, nothing to do"; do
      words=${name#*:} name=${name%%:*}
      printf '| %s, MiB |' "$words"
      for size in "$@"; do
        awk -v a="$(median "$work/$name.$size.turnout.kb")" -v b="$(median "$work/$name.$size.docker.kb")" \
          'BEGIN { printf " %.1f / %.1f (%.2f) |", a / 1024, b / 1024, a / b }'
      done
      echo
    done
  } >>"$work/tables"
  method "Compose" <<END
A project of independent services (one image, \`sleep\`, one network). turnout and docker compose take turns: \`up -d\`
from nothing, \`up -d\` with nothing to do, \`up -d\` after one value of one service changed, \`down\`; $rounds_said.
Wall time and peak memory are of the whole command, timed as above. Before each of them the same tool runs \`config\` on
the same file, uncounted: a kernel may take back memory that nobody has touched for half a minute (this machine's does),
and then what is measured is the reading of programs from the disk. The script fails where a step did not leave what it
should$([ ! -f "$work/failed-downs" ] || echo "; \`docker compose down\` that failed with \"has active endpoints\" ($(wc -l <"$work/failed-downs") times) is not counted"). The raw calls: \`examples/raw_calls.rs\`, ten tasks each creating and starting one container
of the same image and command on a network that is there already, measured from the first call to the last answer;
\`up\` makes the network too, reads the file, looks at what is there, and starts a process.
END
}

# ---------------------------------------------------------------- the least that can be asked of the engine

helpers() {
  note "building examples/raw_calls.rs and examples/measured.rs"
  local flags=(--release)
  [ "$profile" = release ] || flags=()
  (cd "$root" && cargo build --locked --quiet "${flags[@]}" --example raw_calls --example measured)
  raw_program=$(dirname "$program")/examples/raw_calls
  measuring=$(dirname "$program")/examples/measured
}
raw_calls_once() {
  "$raw_program" "$TURNOUT_TEST_BASE" "raw-$TURNOUT_TEST_RUN" 10 >"$work/raw" || die "the raw calls failed"
  local up replace down made removed
  read -r up replace down made removed <"$work/raw"
  echo "$up" >>"$work/raw.up.ms"
  echo "$replace" >>"$work/raw.change.ms"
  echo "$down" >>"$work/raw.down.ms"
  echo "$made" >>"$work/raw.made.ms"
  echo "$removed" >>"$work/raw.removed.ms"
}
